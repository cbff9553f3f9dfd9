"""What one look at something came to: a line of ``ctiserver doctor``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ctiserver.errors import UserFault

#: unseen: it could not be looked at, and what stands in the way is a line of its own.
Verdict = Literal["good", "bad", "unseen"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line: what was looked at, what was found, and for what is bad, where it stands and what to do."""

    check: str
    verdict: Verdict
    what: str
    where: str = ""
    fix: str = ""


def good(check: str, what: str) -> Finding:
    return Finding(check=check, verdict="good", what=what)


def bad(check: str, what: str, *, where: str = "", fix: str = "") -> Finding:
    return Finding(check=check, verdict="bad", what=what, where=where, fix=fix)


def unseen(check: str, what: str) -> Finding:
    return Finding(check=check, verdict="unseen", what=what)


def of_fault(check: str, fault: UserFault) -> Finding:
    """A fault as a finding."""
    return bad(check, fault.what, where=fault.where or "", fix=fault.fix or "")
