"""The dialplan's journal in AstDB: what it did for callers whom no server took to the end (dialplan/fallback.conf)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from ctiserver.model.ids import Linkedid, Uniqueid

FAMILY = "cti_journal"
#: A key that can stand in DB_DELETE(): a uniqueid, then -vm and a number where it is about a message.
_KEY = re.compile(r"(?P<uniqueid>[\w.:@-]+?)(?:-vm\d+)?")
_VOICEMAIL = "voicemail"
_SECONDS = re.compile(r"\d{9,10}")


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEntry:
    """One entry. ``at`` is the PBX's clock, to the second."""

    key: str
    uniqueid: Uniqueid
    linkedid: Linkedid
    at: datetime
    kind: Literal["fallback", "voicemail"]
    why: str = ""  #: of a fallback: FAILURE (no server), SUCCESS (died under way), hung, busy …
    caller: str
    dialled: str
    stage: str
    queue: str = ""
    language: str = ""
    status: str = ""  #: of a message: how it ended, as Record() says
    file: str = ""

    @property
    def epoch(self) -> int:
        """Seconds since 1970: with the key, what tells one entry from all others of its PBX."""
        return round(self.at.timestamp())


def read_entry(key: str, value: str) -> JournalEntry | None:
    """None for what our dialplan did not write.

    A fallback is ``seconds|why|caller|dialled|stage|queue|language|linkedid``, a message
    ``seconds|voicemail|caller|dialled|stage|status|file|linkedid``; older copies of the dialplan name no linkedid.
    """
    named = _KEY.fullmatch(key)
    parts = value.split("|")
    if named is None or not 7 <= len(parts) <= 8 or not _SECONDS.fullmatch(parts[0]):
        return None
    seconds, why, caller, dialled, stage, sixth, seventh, *linkedid = parts
    message = why == _VOICEMAIL
    return JournalEntry(
        key=key,
        uniqueid=Uniqueid(named["uniqueid"]),
        linkedid=Linkedid((linkedid[0] if linkedid else "") or named["uniqueid"]),
        at=datetime.fromtimestamp(int(seconds), UTC),
        kind="voicemail" if message else "fallback",
        why="" if message else why,
        caller=caller,
        dialled=dialled,
        stage=stage,
        queue="" if message else sixth,
        language="" if message else seventh,
        status=sixth if message else "",
        file=seventh if message else "",
    )
