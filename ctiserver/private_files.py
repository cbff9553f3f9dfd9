"""Files that other accounts of the machine must not read: databases hold log-ins and their hashes, secrets say it."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable
from pathlib import Path

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
#: What SQLite puts beside a database, with the database's own mode.
_BESIDE = ("", "-wal", "-shm", "-journal")


def keep_private(database: Path) -> None:
    """Make a SQLite database's file, if it is not there, and let its owner alone read it, and what lies beside it.

    One that belongs to another account stays as it is: then they decide. Raises OSError where it can't be made.
    """
    if not database.exists():
        os.close(os.open(database, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    for suffix in _BESIDE:
        path = database.with_name(database.name + suffix)
        with contextlib.suppress(FileNotFoundError, PermissionError):
            mode = stat.S_IMODE(path.stat().st_mode)
            if mode & _OTHERS:
                path.chmod(mode & ~_OTHERS)


def readable_by_others(paths: Iterable[Path]) -> list[Path]:
    """Those that accounts besides the owner's may read or write."""
    return [path for path in paths if path.is_file() and stat.S_IMODE(path.stat().st_mode) & _OTHERS]
