"""Patterns that admins write: regular expressions whose matching can't run away."""

from __future__ import annotations

import re
from functools import lru_cache
from re import _constants as constants  # type: ignore[attr-defined]  # sre's own names; no public ones exist
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

#: Longer texts never match: with at most two open-ended repeats this bounds the work to some ten thousand steps.
MAX_TEXT = 100
_MAX_PATTERN = 200
_OPEN_REPEATS = 2
_REPEATS = (constants.MAX_REPEAT, constants.MIN_REPEAT, constants.POSSESSIVE_REPEAT)


class PatternRefused(ValueError):
    """A pattern is not a regular expression, or one that could take for ever."""


class Pattern:
    """A regular expression that a whole text fits or does not.

    Raises PatternRefused for a repeat inside a repeat, a repeated alternative, more than two open-ended repeats, a
    back-reference or a look-around: what could need exponential time.
    """

    def __init__(self, text: str) -> None:
        self._compiled = _compile(text)

    def fits(self, text: str) -> bool:
        """Whether the whole of ``text`` fits."""
        return len(text) <= MAX_TEXT and self._compiled.fullmatch(text) is not None


@lru_cache(maxsize=512)
def _compile(text: str) -> re.Pattern[str]:
    if len(text) > _MAX_PATTERN:
        raise PatternRefused(f"a pattern is at most {_MAX_PATTERN} characters long")
    try:
        compiled = re.compile(text, re.ASCII)
        open_repeats = _open_repeats(parser.parse(text, re.ASCII), inside=False)
    except (re.error, OverflowError, RecursionError) as error:
        raise PatternRefused(f"{text!r} is not a pattern: {error}") from None
    if open_repeats > _OPEN_REPEATS:
        raise PatternRefused(f"{text!r} has more than {_OPEN_REPEATS} open-ended repeats")
    return compiled


def _open_repeats(parsed: Any, *, inside: bool) -> int:
    count = 0
    for operation, argument in parsed:
        if operation in _REPEATS:
            low, high, body = argument
            if inside:
                raise PatternRefused("a repeat inside a repeat could take for ever; write it out")
            count += (high > low and high > 20) + _open_repeats(body, inside=True)
        elif operation is constants.SUBPATTERN:
            count += _open_repeats(argument[3], inside=inside)
        elif operation is constants.BRANCH:
            if inside:
                raise PatternRefused("a repeated alternative could take for ever; write it out")
            count += max(_open_repeats(branch, inside=inside) for branch in argument[1])
        elif operation in (constants.GROUPREF, constants.GROUPREF_EXISTS, constants.ASSERT, constants.ASSERT_NOT):
            raise PatternRefused("back-references and look-arounds are not used here")
    return count
