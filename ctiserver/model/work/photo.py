"""Photos that somebody takes in the field for a work order, and how their bytes say what they are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ctiserver.model.ids import PhotoId, RecordId, WorkOrderId

#: What is taken, and with what such a file's name ends.
SUFFIXES = {"image/jpeg": "jpg", "image/png": "png", "image/webp": "webp"}
#: How many an order may have: a picture that says nothing new costs anyone who looks.
MOST_OF_AN_ORDER = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Photo:
    """One photo."""

    id: PhotoId
    key: str  #: chosen by who sent it, one of its order's: the same sent twice is kept once
    order_id: WorkOrderId
    record_id: RecordId
    media_type: str  #: of :data:`SUFFIXES`
    size: int  #: bytes
    sha256: str
    added_by: str  #: a log-in
    added_at: datetime


def media_type(content: bytes) -> str | None:
    """What kind of picture these bytes are, whatever their sender calls them; None: none that is taken."""
    if content[:3] == b"\xff\xd8\xff" and content.rstrip(b"\0")[-2:] == b"\xff\xd9":
        return "image/jpeg"
    if content[:8] == b"\x89PNG\r\n\x1a\n" and b"IEND" in content[-16:]:
        return "image/png"
    if (
        content[:4] == b"RIFF"
        and content[8:12] == b"WEBP"
        and int.from_bytes(content[4:8], "little") + 8 == len(content)
    ):
        return "image/webp"
    return None
