"""Making a backup while the server runs: all of it under its name, or nothing.

The server's database and the workflow engine's must be of one instant. The server hands rows of its outbox to the
engine and notes after that that they were handed; the engine carries them out in the server's database and notes after
that that they are done. So a look at the engine that is older than the look at the server would lose rows that were
handed in between; a newer one would hold work as done that the server's copy does not show. Where both lie in one
PostgreSQL database, one snapshot is that instant. Otherwise nothing may be noted as handed (on SQLite: nothing written
at all) for the few milliseconds in which first the engine and then the server is looked at; copying comes after that.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa

from ctiserver import __version__
from ctiserver.errors import UserFault
from ctiserver.store.database import parse_url
from ctiserver.store.keeping import folders, manifest
from ctiserver.store.keeping.folders import Installation
from ctiserver.store.keeping.manifest import DatabaseEntry, Manifest
from ctiserver.store.keeping.postgres_copy import PostgresSource
from ctiserver.store.keeping.sqlite_copy import SqliteSource


def back_up(installation: Installation, into: Path, now: datetime, environment: dict[str, str]) -> Path:
    """Make a backup in the folder ``into``; returns the backup's own folder, ``ctiserver-<time>``.

    What an earlier run that was killed left there half made is removed.

    Raises UserFault: a database can't be read or is broken, the folder can't be written, there is no space.
    """
    name = f"ctiserver-{now:%Y%m%dT%H%M%SZ}"
    try:
        into.mkdir(mode=0o700, parents=True, exist_ok=True)
        into = into.resolve()
        with folders.private(), _half_made(into, name) as folder:
            databases = _save_databases(installation, folder)
            if not databases["main"].schema_version:
                raise UserFault("the database is empty", where="database.url", fix="There is nothing to back up")
            files = [path for url in _urls(installation) if (path := sqlite_path(url)) is not None]
            installation.copy_to(folder, databases=files, apart=into)
            manifest.write(
                folder,
                Manifest(
                    format=manifest.FORMAT,
                    made_by=f"ctiserver {__version__}",
                    made_at=now.isoformat(),
                    settings=str(installation.settings_file),
                    databases=databases,
                    folders=installation.entries(),
                    secrets=installation.copied_secrets(),
                    left_out=installation.left_out(),
                    environment=folders.overriding(environment),
                    files=manifest.describe(folder),
                ),
            )
            folders.sync(folder)
            folder.rename(into / name)
        folders.sync_one(into)
    except OSError as error:
        raise UserFault(
            f"the backup can't be written ({error.strerror or error})",
            where=str(error.filename or into),
            fix="Check that the folder may be written, and its free space; nothing was left there",
        ) from error
    return into / name


def sqlite_path(url: str) -> Path | None:
    """The file of a SQLite database; None for PostgreSQL. Raises UserFault for what is neither."""
    parsed = parse_url(url)
    return Path(parsed.database or "").absolute() if parsed.get_backend_name() == "sqlite" else None


def same_database(one: str, other: str) -> bool:
    """Whether two PostgreSQL URLs lead to one database."""

    def place(url: str) -> tuple[object, ...]:
        parsed = sa.make_url(url)
        return parsed.host, parsed.port or 5432, parsed.database, tuple(sorted(parsed.query.items()))

    return place(one) == place(other)


def _urls(installation: Installation) -> tuple[str, str]:
    return installation.settings.database_url, installation.settings.workflow_url


def _save_databases(installation: Installation, folder: Path) -> dict[str, DatabaseEntry]:
    """Look at both databases in one instant, then copy what was seen."""
    main_url, workflow_url = _urls(installation)
    target = folder / "database"
    target.mkdir(mode=0o700)
    with ExitStack() as stack:
        main: SqliteSource | PostgresSource
        workflow: SqliteSource | PostgresSource | None = None
        main_file, workflow_file = sqlite_path(main_url), sqlite_path(workflow_url)
        if main_file is not None:
            main = SqliteSource(main_file, "main")
        elif workflow_file is None and same_database(main_url, workflow_url):
            main = PostgresSource(main_url, ("main", "workflow"))
        else:
            main = PostgresSource(main_url, ("main",))
        stack.callback(main.close)
        if workflow_file is not None:
            if workflow_file.exists():  # else the server never ran: `user add` made the other one
                workflow = SqliteSource(workflow_file, "workflow")
        elif main_file is not None or not same_database(main_url, workflow_url):
            workflow = PostgresSource(workflow_url, ("workflow",))
        if workflow is None:
            main.look()
            return main.save(target)
        stack.callback(workflow.close)
        with main.frozen():
            workflow.look()
            main.look()
        return {**main.save(target), **workflow.save(target)}


@contextmanager
def _half_made(into: Path, name: str) -> Iterator[Path]:
    """A folder under a temporary name, gone at the end of the block unless it was renamed; and those of dead runs."""
    for left in into.glob(".ctiserver-*.part"):
        with _locked(left.with_suffix(".lock")) as dead:
            if dead:
                shutil.rmtree(left, ignore_errors=True)
                left.with_suffix(".lock").unlink(missing_ok=True)
    folder, lock = into / f".{name}.part", into / f".{name}.lock"
    if (into / name).exists() or folder.exists():
        raise UserFault(f"{name} is there already", where=str(into), fix="Try again in a second")
    with _locked(lock) as alone:
        if not alone:
            raise UserFault(f"{name} is being made by another command", where=str(into), fix="Try again in a second")
        try:
            folder.mkdir(mode=0o700)
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            lock.unlink(missing_ok=True)


@contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """Hold a lock that ends with this process, however it ends; False if another process has it."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        os.close(handle)
