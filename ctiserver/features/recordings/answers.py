"""What the routes of recordings answer: for the API's description, and held to by its tests."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from ctiserver.model.calls.recording import Recording, RecordingState
from ctiserver.web.routes import Answer


class MaskAnswer(Answer):
    """A stretch of silence in place of what was said."""

    at: datetime
    to: datetime | None
    """None: silence is written now."""
    why: str
    """``hide``: sensitive keys; ``mask``, ``pause``: the flow said so; ``desk``: somebody at the desk."""
    by: str


class RecordingAnswer(Answer):
    """One recording of a call."""

    id: str
    call_id: str
    state: RecordingState
    """``lost``: the file should be there and is not; ``expected``: it may still come."""
    talk_only: bool
    """Only what was said to an agent is in it."""
    started_at: datetime
    stopped_at: datetime | None
    seconds: float | None
    size: int | None
    """Bytes."""
    sha256: str | None
    masked: bool
    """Silence is written now."""
    masks: list[MaskAnswer]

    @classmethod
    def of_recording(cls, recording: Recording, now: datetime) -> Self:
        """A recording as it stands ``now``."""
        masks = [
            {"at": mask["from"], **{key: mask[key] for key in ("to", "why", "by")}}
            for mask in recording.masks
            if isinstance(mask, dict)
        ]
        return cls.of(recording, state=recording.state(now), masks=masks)


class RecordingsAnswer(Answer):
    """A call's recordings, the oldest first."""

    recordings: list[RecordingAnswer]
