"""An Asterisk's secret ``systemname``: by it true events are told from what a caller wrote into one.

Asterisk writes its ``systemname`` (asterisk.conf) into each event and puts it before each uniqueid. A name of our shape
is a secret that no caller can know. It is taken off where bytes come in, so that ids, file names, logs, answers and
webhooks are the same with and without it. Why it is short: many CDR tables have 32 characters for a uniqueid, and
seconds, a dot and six digits need 17 of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
_RANDOM = 11  #: 57 bits
_SHAPE = re.compile(rf"cti[a-z0-9]{{{_RANDOM}}}")
_PREFIX = re.compile(rf"(?<![A-Za-z0-9]){_SHAPE.pattern}-")


def new_system_name(choice: Callable[[str], str]) -> str:
    """A fresh one; ``choice`` is ``secrets.choice``."""
    return "cti" + "".join(choice(_LETTERS) for _ in range(_RANDOM))


def is_secret(name: str) -> bool:
    """Whether a systemname has our shape. Any other is the site's own: it proves nothing, and ids keep it."""
    return _SHAPE.fullmatch(name) is not None


def without_system_name(text: str) -> str:
    """``text`` without any secret systemname before a uniqueid."""
    return _PREFIX.sub("", text) if "cti" in text else text


def bearer(text: str) -> str:
    """The secret systemname with which an id begins; empty if it begins with none."""
    found = _PREFIX.match(text)
    return found[0][:-1] if found else ""
