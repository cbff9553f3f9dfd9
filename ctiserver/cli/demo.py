"""``ctiserver demo``: see it work."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path

import click

from ctiserver import logs
from ctiserver.cli._progress import progress_shown
from ctiserver.errors import CtiError, UserFault, first_of
from ctiserver.lab.demo.centre import Centre, centre
from ctiserver.lab.demo.open_house import open_house
from ctiserver.lab.privatepbx.debian import Progress
from ctiserver.lab.privatepbx.headless import Headless, headless_browser
from ctiserver.model.json_value import Json
from ctiserver.settings import LogSettings


@click.command("demo")
@click.option("--once", is_flag=True, help="Run one whole chain unattended, a JSON line a stage, then end.")
@click.option("--headless", is_flag=True, help="With --once: the agent's browser is a headless one.")
@click.option(
    "--language", type=click.Choice(["zh-CN", "en"]), default="zh-CN", show_default=True, help="Of the console."
)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Of the console; 0: any that is free.")
@click.option(
    "--screenshots", type=click.Path(path_type=Path, file_okay=False), help="With --once: keep pictures here."
)
@click.option("--verbose", is_flag=True, help="Show the server's log.")
def command(*, once: bool, headless: bool, language: str, port: int, screenshots: Path | None, verbose: bool) -> None:
    """A contact centre on this machine: private Asterisk, SIP phones that call, an agent, the console."""
    if once != headless:
        raise UserFault("--once and --headless go together", fix="Give both, or leave both out to use your own browser")
    log_settings = LogSettings(level="info" if verbose else "error")
    logs.configure(log_settings)
    asyncio.run(_demo(once=once, language=language, port=port, screenshots=screenshots, log_settings=log_settings))


async def _demo(*, once: bool, language: str, port: int, screenshots: Path | None, log_settings: LogSettings) -> None:
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    try:
        with progress_shown() as progress:
            browser = await _browser(progress, pictures=screenshots is not None) if once else None
            opening = centre(progress, language=language, web_port=port, logs=log_settings)
            here = await opening.__aenter__()
        if here.pbx.packages:
            click.echo(f"Asterisk {here.pbx.version}; Debian's packages are {here.pbx.packages}.", err=True)
        try:
            if browser is not None:
                await _once(here, browser, language, screenshots)
            else:
                await open_house(here, click.echo)
        finally:
            await opening.__aexit__(*sys.exc_info())
    except asyncio.CancelledError:
        click.echo("The demo is over; nothing is left running.", err=True)
        if once:
            raise click.Abort from None


async def _browser(progress: Progress, *, pictures: bool) -> Headless:
    """A headless browser whose driver starts, known before time is spent on the rest. Raises UserFault."""
    try:
        from ctiserver.lab.demo.browser import driver_starts
    except ImportError as error:
        raise UserFault(
            f"the headless browser's driver is not installed ({error})", fix="Run: pip install 'ctiserver[demo]'"
        ) from None
    browser = await headless_browser(progress, pictures=pictures)
    await driver_starts(browser)
    return browser


async def _once(here: Centre, browser: Headless, language: str, screenshots: Path | None) -> None:
    from ctiserver.lab.demo.once import once

    def emit(line: dict[str, Json]) -> None:
        click.echo(json.dumps(line, ensure_ascii=False))

    try:
        await once(here, browser, emit, language=language, shots=screenshots)
    except (CtiError, BaseExceptionGroup) as error:
        broken = first_of(error, CtiError)
        if broken is None:
            raise
        emit({"stage": "broken", "why": str(broken)})
        raise UserFault(
            f"the chain broke: {broken}", fix="Run it again with --verbose to see the server's log"
        ) from None
