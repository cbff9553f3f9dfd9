"""``ctiserver db backup``, ``verify``, ``restore`` and ``move``."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import click

from ctiserver.app.server_file import ServerFile
from ctiserver.cli._options import config_option, read_config
from ctiserver.errors import UserFault
from ctiserver.resources import shipped
from ctiserver.store.keeping.backup import back_up, sqlite_path
from ctiserver.store.keeping.folders import Installation
from ctiserver.store.keeping.manifest import Manifest
from ctiserver.store.keeping.move import move as move_rows
from ctiserver.store.keeping.restore import restore as restore_backup
from ctiserver.store.keeping.restore import verify as verify_backup

_folder = click.Path(path_type=Path, file_okay=False)


@click.command()
@config_option
@click.option("--to", "into", type=_folder, required=True, help="The folder that the backup's own folder is made in.")
@click.option("--without-recordings", is_flag=True, help="Leave out the recordings of calls.")
def backup(config: Path | None, into: Path, without_recordings: bool) -> None:
    """Back up the databases, the files and the configuration, while the server runs or not."""
    settings, site = read_config(config)
    installation = Installation.of(
        config or shipped("config", "ctiserver.yaml"), settings, site, recordings=not without_recordings
    )
    made = back_up(installation, into, datetime.now(UTC).replace(microsecond=0), dict(os.environ))
    _tell(verify_backup(made))
    click.echo(f"The backup is {made}. It holds customers' data and password hashes: keep it as you keep those.")


@click.command()
@click.argument("folder", metavar="BACKUP", type=_folder)
def verify(folder: Path) -> None:
    """Check BACKUP from end to end: its manifest, every checksum and the number of rows of every SQLite table."""
    _tell(verify_backup(folder))
    click.echo("Every file is as it was written.")


@click.command()
@click.argument("folder", metavar="BACKUP", type=_folder)
@click.option("--into", type=_folder, required=True, help="A new or empty folder.")
@click.option("--database", "url", default="", help="For a backup of PostgreSQL: an empty database, postgresql://…")
def restore(folder: Path, into: Path, url: str) -> None:
    """Restore BACKUP into a new or empty folder, after every checksum was compared."""
    from ctiserver.features.dispatch.engine import make_tables

    done = restore_backup(folder, into, url, make_tables)
    _tell(done.manifest)
    for table in done.not_ours:
        click.echo(f"Left out: table {table}, which is not one of ctiserver's.")
    for path in done.manifest.left_out:
        click.echo(f"Not in the backup: {path}. Put it back yourself.")
    if done.manifest.environment:
        click.echo(f"Set as before: {', '.join(done.manifest.environment)}.")
    for name, entry in done.manifest.folders.items():
        if name.startswith("recordings/"):
            click.echo(f"Recordings are in {into / entry.restore_as}; the PBX goes on writing to {entry.was}.")
    click.echo(f"Restored. Next: ctiserver check --config {done.settings_file}")


@click.command()
@config_option
@click.option("--to", "url", required=True, help="An empty PostgreSQL database: postgresql://user@host/name")
def move(config: Path | None, url: str) -> None:
    """Move from SQLite to PostgreSQL: every row of both databases, compared; all of it or nothing.

    The server must be stopped. The SQLite files are left as they are.
    """
    from ctiserver.features.dispatch.engine import make_tables

    settings, _ = read_config(config)
    main = sqlite_path(settings.database_url)
    if main is None:
        raise UserFault("the server is on PostgreSQL already", where="database.url", fix="There is nothing to move")
    if sqlite_path(url) is not None:
        raise UserFault("this is not a PostgreSQL database", where="--to", fix="Write postgresql://user@host/name")
    serving = ServerFile(settings.data_dir).serving()
    if serving is not None:
        raise UserFault(
            f"process {serving} serves this folder",
            where=str(settings.data_dir),
            fix="Stop it first; nothing was moved",
        )
    workflow = sqlite_path(settings.workflow_url)
    moved = move_rows(main, workflow if workflow and workflow.exists() else None, url, make_tables)
    for table in moved.tables:
        click.echo(f"{table.name:<26}{table.rows:>10} rows  {table.digest[:16]}")
    click.echo(
        "The database holds every row of this already; nothing was copied." if moved.before
        else "Every row is the same on both sides."
    )  # fmt: skip
    click.echo('Next: set database.url to this address (and workflow.url to ""), then start the server.')


def _tell(manifest: Manifest) -> None:
    rows = sum(sum(entry.tables.values()) for entry in manifest.databases.values())
    kinds = {entry.kind for entry in manifest.databases.values()}
    size = sum(entry.size for entry in manifest.files.values())
    click.echo(
        f"{manifest.made_by}, {manifest.made_at}: {' and '.join(sorted(kinds))}, "
        f"schema {manifest.databases['main'].schema_version}, {rows} rows; "
        f"{len(manifest.files)} files, {size / 1e6:.1f} MB"
    )
