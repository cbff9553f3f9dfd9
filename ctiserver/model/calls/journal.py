"""The dialplan's journal in AstDB: what it did for callers whom no server took to the end (dialplan/fallback.conf)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from ctiserver.model.ids import CallId, Linkedid, Uniqueid

FAMILY = "cti_journal"
#: A key that can stand in DB_DELETE(): a uniqueid, then -vm and a number where it is about a message, -cb a callback.
_KEY = re.compile(r"(?P<uniqueid>[\w.:@-]+?)(?:-vm\d+|-cb)?")
_VOICEMAIL = "voicemail"
_CALLBACK = "callback"
#: As much of a number as is stored; longer ones are not numbers.
_NUMBER = 64
_SECONDS = re.compile(r"\d{9,10}")


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEntry:
    """One entry. ``at`` is the PBX's clock, to the second."""

    key: str
    uniqueid: Uniqueid
    linkedid: Linkedid
    at: datetime
    kind: Literal["fallback", "voicemail", "callback"]
    why: str = ""  #: of a fallback: FAILURE (no server), SUCCESS (died under way), hung, busy …
    caller: str
    dialled: str
    stage: str
    queue: str = ""
    language: str = ""
    status: str = ""  #: of a message: how it ended, as Record() says; of a callback: ANSWER, the caller was reached
    file: str = ""
    wished_in: CallId | None = None  #: of a callback: the call in which it was wished

    @property
    def epoch(self) -> int:
        """Seconds since 1970: with the key, what tells one entry from all others of its PBX."""
        return round(self.at.timestamp())


def read_entry(key: str, value: str) -> JournalEntry | None:
    """None for what our dialplan did not write.

    A fallback is ``seconds|why|caller|dialled|stage|queue|language|linkedid``, a message
    ``seconds|voicemail|caller|dialled|stage|status|file|linkedid``, a callback that reached its caller
    ``seconds|callback||||status|call|linkedid``; older copies of the dialplan name no linkedid.
    """
    named = _KEY.fullmatch(key)
    parts = value.split("|")
    if named is None or not 7 <= len(parts) <= 8 or not _SECONDS.fullmatch(parts[0]):
        return None
    seconds, why, caller, dialled, stage, sixth, seventh, *linkedid = parts
    message, callback = why == _VOICEMAIL, why == _CALLBACK
    fallback = not message and not callback
    return JournalEntry(
        key=key,
        uniqueid=Uniqueid(named["uniqueid"]),
        linkedid=Linkedid((linkedid[0] if linkedid else "") or named["uniqueid"]),
        at=datetime.fromtimestamp(int(seconds), UTC),
        kind="voicemail" if message else "callback" if callback else "fallback",
        why=why if fallback else "",
        caller=caller[:_NUMBER],
        dialled=dialled[:_NUMBER],
        stage=stage,
        queue=sixth if fallback else "",
        language=seventh if fallback else "",
        status="" if fallback else sixth,
        file=seventh if message else "",
        wished_in=CallId(seventh) if callback else None,
    )
