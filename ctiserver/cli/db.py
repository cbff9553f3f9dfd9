"""``ctiserver db``: back up, restore, upgrade and move the database."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from ctiserver.cli import _keeping
from ctiserver.cli._options import config_option, read_config
from ctiserver.store.database import Database


@click.group()
def command() -> None:
    """Back up, restore, upgrade or move the database."""


for _part in (_keeping.backup, _keeping.verify, _keeping.restore, _keeping.move):
    command.add_command(_part)


_database = click.option("--database", "url", default=None, help="sqlite:///file or postgresql://…; default: settings.")


@command.command()
@config_option
@_database
def upgrade(config: Path | None, url: str | None) -> None:
    """Bring the schema to the newest: all of it or nothing. Make a backup first: ctiserver db backup."""
    before, after = asyncio.run(_upgrade(url or read_config(config)[0].database_url))
    if before == after:
        click.echo(f"The schema is {after}, the newest already.")
    else:
        click.echo(f"The schema is {after} now; it was {before or 'empty'}.")


@command.command()
@config_option
@_database
def current(config: Path | None, url: str | None) -> None:
    """Say which schema the database has."""
    click.echo(asyncio.run(_current(url or read_config(config)[0].database_url)) or "empty")


async def _upgrade(url: str) -> tuple[str | None, str]:
    async with Database.open(url, any_schema=True) as database:
        return await database.upgrade()


async def _current(url: str) -> str | None:
    async with Database.open(url, any_schema=True) as database:
        return await database.schema_version()
