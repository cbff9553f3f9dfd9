"""Every service that the supervisor starts has a poison test: part of ``make check``."""

from __future__ import annotations

import asyncio
import importlib
import logging
import sys
import tempfile
from pathlib import Path

import structlog

from tests.poison.registry import COVERED, NOTHING_TO_POISON
from tests.support.whole_server import whole_server


async def services() -> set[str]:
    """The names of all services of a whole server."""
    with tempfile.TemporaryDirectory(prefix="ctiserver-services-", ignore_cleanup_errors=True) as folder:
        async with whole_server(Path(folder)) as app:
            return set(app.supervisor.names)


def lacking(names: set[str]) -> list[str]:
    """Those of them that no test poisons."""
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        importlib.import_module(f"tests.poison.{path.stem}")
    return sorted(names - set(COVERED) - set(NOTHING_TO_POISON))


def main() -> int:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    missing = lacking(asyncio.run(services()))
    for name in missing:
        print(
            f"the service {name} has no poison test: add one to tests/poison and name it with @poison", file=sys.stderr
        )
    return min(1, len(missing))


if __name__ == "__main__":
    sys.exit(main())
