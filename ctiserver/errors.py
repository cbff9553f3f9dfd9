"""The one tree of errors.

Whatever a user can cause ends in a :class:`UserFault`: one sentence that says what is wrong, where
(``file:line:col`` or the setting's name) and what to do. The command line prints it and exits with 2; HTTP
answers problem+json with it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar


class CtiError(Exception):
    """Something in ctiserver went wrong."""


class UserFault(CtiError):
    """Something that a user wrote, set or asked for can't be done; the message says what to do."""

    def __init__(self, what: str, *, where: str | None = None, fix: str | None = None) -> None:
        self.what = what
        self.where = where
        self.fix = fix
        text = f"{where}: {what}" if where else what
        super().__init__(f"{text}. {fix}" if fix else text)


X = TypeVar("X", bound=BaseException)


def first_of(error: BaseException, kind: type[X]) -> X | None:
    """The first error of a kind in ``error`` itself or, where TaskGroups wrapped it, anywhere inside; else None."""
    if isinstance(error, kind):
        return error
    if isinstance(error, BaseExceptionGroup):
        return next((found for inner in error.exceptions if (found := first_of(inner, kind)) is not None), None)
    return None


class UnsafeValue(CtiError):
    """A value for the PBX holds CR, LF or NUL; it is refused, never escaped, since it could forge a command."""


class PeerLost(CtiError):
    """The connection to a peer ended while an answer was awaited; nothing is sent again by itself."""


class DeadlineExceeded(CtiError):
    """A peer did not answer within the deadline from settings."""


class PbxRefused(CtiError):
    """The PBX answered that it won't do this: no such channel, queue or member, or the account has no right to."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A place in a file a person wrote; line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing wrong in a file, with its stable code (``CF-nnn`` flows, ``PF-nnn`` processes, ``CT-nnn`` config)."""

    place: Place
    code: str
    message: str
    fix: str = ""
    warning: bool = False

    def __str__(self) -> str:
        kind = "warning" if self.warning else "error"
        return f"{self.place}: {kind} {self.code}: {self.message}" + (f" ({self.fix})" if self.fix else "")


class FileFault(UserFault):
    """A file that a person wrote has errors; each is listed with its place."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = sorted(problems)
        CtiError.__init__(self, "\n".join(str(problem) for problem in self.problems))
        self.what = str(self)
        self.where = str(self.problems[0].place) if self.problems else None
        self.fix = None
