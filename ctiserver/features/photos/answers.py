"""What the routes of photos answer."""

from __future__ import annotations

from datetime import datetime

from ctiserver.web.routes import Answer


class PhotoAnswer(Answer):
    """A photo; the picture itself is at ``/api/v1/photos/{id}``."""

    id: str
    order_id: str
    media_type: str
    size: int
    """Bytes."""
    sha256: str
    added_by: str
    added_at: datetime


class PhotosAnswer(Answer):
    """Photos, in the order they came."""

    photos: list[PhotoAnswer]
