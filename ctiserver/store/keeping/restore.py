"""Putting a backup back: into an empty folder and an empty database, after every checksum was compared."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from ctiserver.errors import UserFault
from ctiserver.settings import Settings
from ctiserver.store import schema
from ctiserver.store.keeping import folders, manifest, sqlite_copy, written_settings
from ctiserver.store.keeping.manifest import Manifest
from ctiserver.store.keeping.postgres_copy import PostgresTarget, connect, occupied, version
from ctiserver.strict_yaml import load, parse

#: Makes the workflow engine's tables in an empty database, by its URL; which library that takes is not our business.
MakeWorkflowTables = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Restored:
    """What was done, and what is left for the admin."""

    settings_file: Path
    manifest: Manifest
    not_ours: list[str]  #: tables of a PostgreSQL database that are not ctiserver's; they were left out


def verify(backup: Path) -> Manifest:
    """Check a backup from end to end. Raises UserFault: damaged, incomplete, or of a newer ctiserver."""
    said = manifest.read(backup)
    main = said.databases.get("main")
    if main is None:
        raise UserFault("this backup holds no database", where=str(backup))
    if not schema.known(main.schema_version):
        raise UserFault(
            f"the schema of this backup is {main.schema_version}, and the newest that this ctiserver knows is "
            f"{schema.head()}",
            where=str(backup),
            fix=f"Restore it with {said.made_by} or newer; nothing was written",
        )
    try:
        manifest.verify(backup, said)
        for part, entry in said.databases.items():
            if entry.kind == "sqlite":
                sqlite_copy.check(backup / "database", part, entry)
    except OSError as error:
        raise UserFault(f"can't be read ({error.strerror})", where=str(error.filename)) from error
    return said


def restore(backup: Path, into: Path, database_url: str, make_workflow_tables: MakeWorkflowTables) -> Restored:
    """Restore ``backup`` into the folder ``into``; a backup of PostgreSQL also into the empty database at the URL.

    Nothing is written before everything was checked. The folder gets its name when it is whole; the database is
    filled in one transaction, which is the last thing that is done before that.

    Raises UserFault.
    """
    said = verify(backup)
    into = into.absolute()
    kinds = {entry.kind for entry in said.databases.values()}
    _refuse(into, kinds, database_url)
    half = into.with_name(f".{into.name}.part")
    try:
        shutil.rmtree(half, ignore_errors=True)  # of a run that was killed
        half.mkdir(mode=0o700, parents=True)
        try:
            with folders.private():
                settings_file = _restore_files(backup, said, half, into, database_url)
            folders.sync(half)
            not_ours: list[str] = []
            if "postgresql" in kinds:
                not_ours = _restore_postgres(backup, said, database_url, make_workflow_tables)
            if into.exists():
                into.rmdir()
            half.rename(into)
            folders.sync_one(into.parent)
        finally:
            shutil.rmtree(half, ignore_errors=True)
    except OSError as error:
        raise UserFault(
            f"the backup can't be restored ({error.strerror or error})",
            where=str(error.filename or into),
            fix="Check that the folder may be written, and its free space",
        ) from error
    return Restored(into / settings_file, said, not_ours)


def _refuse(into: Path, kinds: Collection[str], database_url: str) -> None:
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise UserFault("is not an empty folder", where=str(into), fix="Name a new one; nothing was written")
    if "postgresql" in kinds and not database_url:
        raise UserFault(
            "this backup is of a PostgreSQL database",
            where="--database",
            fix="Make an empty database (createdb) and name it: --database postgresql://user@host/name",
        )
    if "postgresql" not in kinds and database_url:
        raise UserFault(
            "this backup is of SQLite files, which go into the folder",
            where="--database",
            fix="Restore it without --database, then run `ctiserver db move --to URL`",
        )


def _restore_files(backup: Path, said: Manifest, half: Path, into: Path, database_url: str) -> Path:
    """Everything but PostgreSQL's rows, into ``half``, which will be ``into``; returns ctiserver.yaml's path in it."""
    settings_file = half / Path(said.settings).name
    places = {name: half / entry.restore_as for name, entry in said.folders.items()}
    folders.copy_restored(backup, places)
    shutil.copyfile(backup / "settings/ctiserver.yaml", settings_file)
    settings_file.chmod(0o600)
    data = places["data"]
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    for part, name in (("main", "ctiserver.sqlite"), ("workflow", "workflow.sqlite")):
        if part in said.databases and said.databases[part].kind == "sqlite":
            sqlite_copy.put_back(backup / "database", part, data / name)
    values = _moved(
        said, settings_file, half, into, database_url if said.databases["main"].kind == "postgresql" else ""
    )
    text = settings_file.read_text(encoding="utf-8")
    settings_file.write_text(written_settings.changed(text, values), "utf-8")
    return settings_file.relative_to(half)


def _moved(
    said: Manifest, settings_file: Path, half: Path, into: Path, database_url: str
) -> dict[tuple[str, ...], str]:
    """Which settings must change for the restored files to be found: none, where they lay beside ctiserver.yaml."""
    written = parse(load(settings_file), Settings)
    keys: dict[str, tuple[tuple[str, ...], Path | None]] = {
        "config": (("config_dir",), written.config_dir),
        "data": (("data_dir",), written.data_dir),
        "flows": (("flows_dir",), written.flows_dir),
    }
    for name, pbx in written.pbxs.items():
        keys[f"recordings/{name}"] = (("pbxs", name, "recordings_dir"), pbx.recordings_dir)
    values = {}
    for name, entry in said.folders.items():
        key, now = keys.get(name, ((), None))
        if now is not None and half / now != half / entry.restore_as:
            values[key] = entry.restore_as
    if "prompts" in said.folders:  # the one folder that is not looked for beside the file
        values["prompts", "cache_dir"] = str(into / said.folders["prompts"].restore_as)
    main, workflow = (said.databases.get(part) for part in ("main", "workflow"))
    if written.database.url != database_url:
        values["database", "url"] = database_url
    wanted = ""
    if workflow is not None and main is not None and workflow.kind != main.kind:
        own = into / said.folders["data"].restore_as / "workflow.sqlite"
        wanted = database_url if workflow.kind == "postgresql" else f"sqlite:///{own}"
    if written.workflow.url != wanted:
        values["workflow", "url"] = wanted
    return values


def _restore_postgres(backup: Path, said: Manifest, url: str, make_workflow_tables: MakeWorkflowTables) -> list[str]:
    parts = {part: entry for part, entry in said.databases.items() if entry.kind == "postgresql"}
    with connect(url) as connection:
        found = occupied(connection)
    if found:
        raise UserFault(f"the database is not empty: it {found}", where="--database", fix="Name an empty one")
    if "workflow" in parts:
        make_workflow_tables(url)
        with connect(url) as connection:
            made = version(connection, "workflow")
        if made != parts["workflow"].schema_version:
            raise UserFault(
                f"the workflow tables of this backup have version {parts['workflow'].schema_version}, and the workflow "
                f"library that is installed makes version {made}",
                where=str(backup),
                fix=f"Restore with {said.made_by} and the libraries of that time, then upgrade",
            )
    not_ours: list[str] = []
    with PostgresTarget.open(url) as target:
        if "main" in parts:
            target.make_schema(parts["main"].schema_version)
        for part, entry in parts.items():
            not_ours += target.put_back(backup / "database", part, entry)
    return not_ours
