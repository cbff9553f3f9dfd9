"""``ctiserver reload``: a running server takes flows and configuration again, if they check."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from ctiserver.app.configuration import read
from ctiserver.app.server_file import ServerFile
from ctiserver.cli._options import config_option
from ctiserver.errors import UserFault
from ctiserver.resources import shipped
from ctiserver.settings import load_settings

_WITHIN_S = 15.0


@click.command("reload")
@config_option
def command(config: Path | None) -> None:
    """Take flows, numbers, calendars, rosters, fees and processes again, all or none; calls under way keep theirs.

    What else was edited (queues, phones, record types, results, ctiserver.yaml itself) is read at the next start.
    """
    settings = load_settings(config or shipped("config", "ctiserver.yaml"))
    read(settings)  # its complaints belong on this terminal, not in the server's log
    said = asyncio.run(ServerFile(settings.data_dir).reload(_WITHIN_S))
    if said.startswith("refused"):
        raise UserFault(said, fix="The server goes on with what it had")
    click.echo(said)
