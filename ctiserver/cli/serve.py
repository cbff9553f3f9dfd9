"""``ctiserver serve``: the server, until SIGTERM or Ctrl-C; SIGHUP takes flows and configuration again."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from pathlib import Path

import click
import structlog

from ctiserver import logs, memory
from ctiserver.app.composition import running
from ctiserver.app.server_file import ServerFile
from ctiserver.cli._options import config_option, read_config
from ctiserver.errors import UserFault
from ctiserver.listening import descriptors
from ctiserver.settings import Settings

log = structlog.get_logger(__name__)


@click.command("serve")
@config_option
def command(config: Path | None) -> None:
    """Serve calls, agents and the console until SIGTERM or Ctrl-C."""
    memory.one_heap()
    descriptors.raise_limit()
    settings, _ = read_config(config)
    logs.configure(settings.logs)
    asyncio.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    wishes: asyncio.Queue[signal.Signals] = asyncio.Queue(maxsize=16)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, _note, wishes, number)
    async with running(settings) as app:
        with ServerFile(settings.data_dir).written() as server_file:
            click.echo(f"ctiserver answers FastAGI on port {app.agi_port}, and the console is at {app.url}", err=True)
            while await wishes.get() is signal.SIGHUP:
                try:
                    server_file.reloaded(f"changed: {', '.join(app.reload()) or 'nothing'}")
                except (UserFault, OSError) as fault:
                    log.error("reload_refused", why=str(fault))
                    with suppress(OSError):  # a full disk must not end the server
                        server_file.reloaded(f"refused: {fault}")


def _note(wishes: asyncio.Queue[signal.Signals], number: signal.Signals) -> None:
    with suppress(asyncio.QueueFull):  # sixteen signals wait already: one more would say nothing new
        wishes.put_nowait(number)
