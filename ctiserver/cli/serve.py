"""``ctiserver serve``: the server, until SIGTERM or Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import click

from ctiserver import logs
from ctiserver.app.composition import running
from ctiserver.cli._options import config_option, read_config
from ctiserver.settings import Settings
from ctiserver.site import Site


@click.command("serve")
@config_option
def command(config: Path | None) -> None:
    """Serve calls, agents and the console until SIGTERM or Ctrl-C."""
    settings, site = read_config(config)
    logs.configure(settings.logs)
    asyncio.run(_serve(settings, site))


async def _serve(settings: Settings, site: Site) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with running(settings, site) as app:
        click.echo(f"ctiserver answers FastAGI on port {app.agi_port}, and the console is at {app.url}", err=True)
        await stop.wait()
