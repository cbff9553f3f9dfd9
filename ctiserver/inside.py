"""The one way from a name that came from outside to a file: it must lie in its folder."""

from __future__ import annotations

from pathlib import Path

from ctiserver.errors import CtiError


class OutsideFolder(CtiError):
    """A file's name leads out of its folder, by itself or by a link; it is neither opened, moved nor deleted."""


def inside(folder: Path, name: str) -> Path:
    """The file ``name`` of ``folder``, with every link followed; it need not be there.

    Raises OutsideFolder where that is the folder itself or lies elsewhere, or where no file can have such a name.
    """
    try:
        root = folder.resolve()
        path = (root / name).resolve()
    except (OSError, RuntimeError, ValueError):  # too long, links in a circle, NUL
        raise OutsideFolder(f"{name[:80]!r} is not a valid file name") from None
    if path == root or not path.is_relative_to(root):
        raise OutsideFolder(f"{name[:80]!r} leads out of {folder}")
    return path
