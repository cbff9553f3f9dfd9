"""What ctiserver needs of SQLite, which is Python's or the machine's own: it is asked, and one gap is filled.

The version says too little, since who built SQLite chose what is in it; so each need is a statement that is tried.
"""

from __future__ import annotations

import sqlite3
import time
from functools import cache

from ctiserver.errors import UserFault

#: What is needed, and the statements that succeed only where it is there.
_NEEDS: tuple[tuple[str, str], ...] = (
    ("RETURNING (SQLite 3.35 and later)", "INSERT INTO needed VALUES (1) RETURNING n"),
    (
        "the FTS5 index with trigrams (SQLite 3.34 and later, built with FTS5)",
        "CREATE VIRTUAL TABLE windows USING fts5(text, tokenize='trigram')",
    ),
)
#: What the workflow library has SQLite write for "now in seconds, with milliseconds", from Python 3.12 on. SQLite knows
#: it since 3.42; older ones answer NULL (or lack the function, before 3.38), and no row can be written.
_NOW = "SELECT unixepoch('subsec')"
_FIX = (
    "Use a Python whose SQLite is 3.35 or later (Debian 12, Ubuntu 22.04 and later have one), "
    "or PostgreSQL for database.url and workflow.url"
)


def fill_gap(connection: sqlite3.Connection) -> None:
    """Teach a connection ``unixepoch('subsec')`` if its SQLite does not know it.

    Also with Python 3.11, whose workflow library does not use it by itself: the file may have been made with a later
    Python, and then the word stands in its schema.
    """
    if not _knows_subsec():
        connection.create_function("unixepoch", 1, _unixepoch)


def refuse_unable(where: str) -> str:
    """The version of this SQLite; raises UserFault, naming the setting ``where``, if it lacks what is needed."""
    lacking = _lacking()
    if lacking:
        raise UserFault(
            f"SQLite {sqlite3.sqlite_version}, which this Python uses, lacks {' and '.join(lacking)}",
            where=where,
            fix=_FIX,
        )
    return sqlite3.sqlite_version


@cache
def _lacking() -> tuple[str, ...]:
    connection = sqlite3.connect(":memory:")
    try:
        fill_gap(connection)
        connection.execute("CREATE TABLE needed (n INTEGER)")
        lacking = [what for what, statement in _NEEDS if not _works(connection, statement)]
        if _milliseconds(connection) is None:
            lacking.append("unixepoch('subsec') (SQLite 3.42 and later)")
        return tuple(lacking)
    finally:
        connection.close()


@cache
def _knows_subsec() -> bool:
    connection = sqlite3.connect(":memory:")
    try:
        return _milliseconds(connection) is not None
    finally:
        connection.close()


def _works(connection: sqlite3.Connection, statement: str) -> bool:
    try:
        connection.execute(statement).fetchall()
    except sqlite3.OperationalError:
        return False
    return True


def _milliseconds(connection: sqlite3.Connection) -> float | None:
    try:
        (found,) = connection.execute(_NOW).fetchone()
    except sqlite3.OperationalError:
        return None
    return found if isinstance(found, float) else None


def _unixepoch(value: object) -> float | int | None:
    """As SQLite 3.42 answers: seconds since 1970, with milliseconds for ``subsec``; None for anything else."""
    if isinstance(value, str) and value.lower() in ("subsec", "subsecond"):
        return round(time.time(), 3)
    connection = sqlite3.connect(":memory:")  # a connection can't be asked again while it answers
    try:
        (text,) = connection.execute("SELECT strftime('%s', ?)", (value,)).fetchone()
        return None if text is None else int(text)
    finally:
        connection.close()
