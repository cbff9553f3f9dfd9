"""Audio recordings of calls: what the PBX said it would write, and what was found."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from ctiserver.model.ids import CallId, PbxName, RecordingId
from ctiserver.model.json_value import Json

#: ``lost``: the file should be there and is not.
RecordingState = Literal["recording", "expected", "found", "lost", "removed"]
#: How long after its call's end a file that nobody has found is still only late.
LATE = timedelta(seconds=60)
#: As [cti-record] of cti.conf makes it: a day, the channel's id, and which of the channel's files it is.
_FILE = re.compile(r"\d{8}/[A-Za-z0-9._;:@+-]{1,160}-\d{1,6}\.wav")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """One file of one call. It is expected from ``started_at`` on; ``found_at`` says that it was seen to be there."""

    id: RecordingId
    call_id: CallId
    pbx: PbxName
    file: str  #: within the PBX's folder of recordings
    channel: str  #: the one that is recorded; empty where it is not known
    talk_only: bool
    started_at: datetime
    stopped_at: datetime | None = None  #: None while it goes on
    found_at: datetime | None = None
    seconds: float | None = None  #: of sound in the file; None until it was found
    size: int | None = None  #: bytes
    sha256: str | None = None
    removed_at: datetime | None = None  #: its time was over, and the file was deleted
    masks: Sequence[Json] = ()
    """Stretches of silence in place of what was said: ``from``, ``to`` (None: it still is), ``why``, ``by``."""

    @property
    def masked(self) -> bool:
        """Whether silence is written now."""
        return any(isinstance(mask, dict) and mask.get("to") is None for mask in self.masks)

    def state(self, now: datetime) -> RecordingState:
        """How it stands."""
        if self.removed_at is not None:
            return "removed"
        if self.found_at is not None:
            return "found"
        if self.stopped_at is None:
            return "recording"
        return "lost" if now - self.stopped_at > LATE else "expected"


def is_recording_file(name: str) -> bool:
    """Whether a file's name, within the folder of recordings, is one that our dialplan makes."""
    return _FILE.fullmatch(name) is not None
