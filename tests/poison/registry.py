"""Which services have a poison test. ``python -m tests.poison`` compares with the names that the supervisor has."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T", bound=Callable[..., object])

#: Services that take in nothing that anybody else has written, and what they do instead.
NOTHING_TO_POISON = {
    "loop-lag": "reads the clock and nothing else",
    "memory": "gives memory back, and reads nothing",
}
COVERED: dict[str, list[str]] = defaultdict(list)


def poison(*services: str) -> Callable[[T], T]:
    """The test poisons what these services take in."""

    def noted(test: T) -> T:
        for service in services:
            COVERED[service].append(test.__name__)
        return test

    return noted
