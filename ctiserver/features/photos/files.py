"""Photos as files: ``<work order>/<SHA-256 of the content>.<suffix>``. Everything here blocks."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from ctiserver.inside import inside
from ctiserver.model.ids import WorkOrderId
from ctiserver.model.work.photo import SUFFIXES


def path_of(folder: Path, order: WorkOrderId, sha256: str, media_type: str) -> Path:
    """Where a photo lies. The content is in the name, so that writing it twice changes nothing.

    Raises OutsideFolder.
    """
    return inside(folder, f"{order}/{sha256}.{SUFFIXES[media_type]}")


def write(path: Path, content: bytes) -> None:
    """Keep a photo, whole or not at all, also when the machine stops. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
