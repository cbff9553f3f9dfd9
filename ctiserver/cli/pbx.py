"""``ctiserver pbx``: a private Asterisk to try things on, and how to work beside one that is there."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import click
from pydantic import SecretStr

from ctiserver.bus import Bus
from ctiserver.cli._options import config_option, read_config
from ctiserver.cli._progress import progress_shown
from ctiserver.clock import SystemClock
from ctiserver.errors import DeadlineExceeded, PeerLost, UserFault
from ctiserver.features.operations import adoption_report
from ctiserver.features.operations.adoption import AmiAccount, own_address
from ctiserver.features.operations.adoption import adopt as plan
from ctiserver.lab.privatepbx import ami
from ctiserver.lab.privatepbx.configuration import emergency as emergency_context
from ctiserver.lab.privatepbx.lifecycle import PrivatePbx, choose_ports
from ctiserver.lab.privatepbx.state import absolute, running
from ctiserver.model.emergency import emergency_numbers
from ctiserver.model.ids import PbxName
from ctiserver.pbx.conf_files import read_survey
from ctiserver.pbx.link import PbxLink
from ctiserver.pbx.survey import PbxSurvey, survey
from ctiserver.settings import PBX_NAME, PbxSettings

_FOLLOW_POLL_S = 0.2

state_option = click.option(
    "--state",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("run/pbx"),
    show_default=True,
    help="Where it keeps its files.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object.")


@click.group("pbx")
def command() -> None:
    """A private Asterisk on 127.0.0.1, in seconds and without root; or one that is there already (adopt)."""


@command.command("up")
@state_option
@config_option
@json_option
@click.option("--sip-port", type=int, default=0, help="UDP and TCP; 0: any that is free.")
@click.option("--ami-port", type=int, default=0, help="0: any that is free.")
@click.option("--http-port", type=int, default=0, help="WebSocket for phones in browsers; 0: any.")
def up(  # noqa: PLR0917 - click passes them by name
    state: Path, config: Path | None, as_json: bool, sip_port: int, ami_port: int, http_port: int
) -> None:
    """Start it in the background, with the queues, phones and trunks of the configuration."""
    settings, site = read_config(config)
    started = time.monotonic()
    with progress_shown() as progress:
        pbx = asyncio.run(
            PrivatePbx.launch(
                state,
                site=site,
                agi=f"{settings.agi.host}:{settings.agi.port}",
                ports=choose_ports(sip_port, ami_port, http_port),
                progress=progress,
            )
        )
    seconds = round(time.monotonic() - started, 1)
    if as_json:
        click.echo(json.dumps({"state": "up", **_facts(pbx), "seconds": seconds}))
        return
    click.echo(f"Asterisk {pbx.version} is up after {seconds} s.")
    _print_facts(pbx)


@command.command("status")
@state_option
@json_option
def status(state: Path, as_json: bool) -> None:
    """Say whether it runs, and where. Exits with 1 if it does not."""
    if running(absolute(state)) is None:
        click.echo(json.dumps({"state": "down"}) if as_json else f"No private PBX runs in {state}.")
        raise SystemExit(1)
    pbx = PrivatePbx.attach(state)
    calls = asyncio.run(_active_calls(pbx))
    if as_json:
        click.echo(json.dumps({"state": "up", **_facts(pbx), "calls": calls}))
        return
    click.echo(f"Asterisk {pbx.version} is up with {calls} call{'' if calls == 1 else 's'}.")
    _print_facts(pbx)


@command.command("emergency")
@click.option("--country", required=True, help="ISO 3166, such as CN.")
@click.option("--more", multiple=True, help="A further number; may be repeated.")
def emergency(country: str, more: tuple[str, ...]) -> None:
    """Print the dialplan context with a country's emergency numbers, for your extensions.conf."""
    numbers = (*emergency_numbers(country.upper()), *more)
    if not numbers:
        raise UserFault(f"no emergency number is known for {country}", fix="Name them, each by --more")
    click.echo(emergency_context(tuple(dict.fromkeys(numbers))), nl=False)


@command.command("down")
@state_option
def down(state: Path) -> None:
    """End it; calls end with it. Its logs and messages stay."""
    asyncio.run(PrivatePbx.attach(state).stop())
    click.echo("Asterisk is down.")


@command.command("cli")
@state_option
@click.argument("words", nargs=-1)
def cli(state: Path, words: tuple[str, ...]) -> None:
    """Ask Asterisk's console, or open it if nothing is asked."""
    pbx = PrivatePbx.attach(state)
    if words:
        click.echo(asyncio.run(pbx.cli(" ".join(words))), nl=False)
    else:
        console = pbx.console_command
        os.execv(console[0], console)  # noqa: S606 - the console takes our place


@command.command("logs")
@state_option
@click.option("-f", "--follow", is_flag=True, help="Go on until Ctrl-C.")
@click.option(
    "-n", "--lines", type=click.IntRange(min=0), default=50, show_default=True, help="How many to begin with."
)
def logs(state: Path, follow: bool, lines: int) -> None:
    """Show Asterisk's log, whether it runs or not."""
    path = absolute(state) / "log" / "full"
    try:
        with path.open(encoding="utf-8", errors="replace") as log:
            click.echo("".join(log.readlines()[-lines:] if lines else log.readlines()[:0]), nl=False)
            while follow:
                more = log.read()
                if more:
                    click.echo(more, nl=False)
                else:
                    time.sleep(_FOLLOW_POLL_S)
    except OSError as error:
        raise UserFault(
            f"can't be read ({error.strerror})", where=str(path), fix="`ctiserver pbx up` makes it"
        ) from None


@command.command("capture")
@state_option
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def capture(state: Path, file: Path) -> None:
    """Record what it says by AMI into FILE, byte for byte, until Ctrl-C. `ctiserver replay` reads that."""
    pbx = PrivatePbx.attach(state)
    click.echo(f"Recording into {file}; Ctrl-C ends it.", err=True)
    try:
        if not asyncio.run(_captured(pbx, file)):
            click.echo("The PBX closed the connection.", err=True)
    except OSError as error:
        raise UserFault(
            f"can't be recorded ({error.strerror})", where=str(file), fix="Name a file that you may write"
        ) from None
    click.echo(f"{file.stat().st_size} bytes", err=True)


async def _captured(pbx: PrivatePbx, file: Path) -> bool:
    """Record until the PBX closes the connection (False) or somebody ends it (True)."""
    task = asyncio.current_task()
    assert task is not None
    # Not by KeyboardInterrupt: anyone who starts us in the background may have left SIGINT ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    try:
        await ami.capture(pbx.ami_host, pbx.ami_port, pbx.ami_username, pbx.ami_secret, file)
    except asyncio.CancelledError:
        return True
    return False


@command.command("adopt")
@click.argument("host")
@click.option("--port", type=click.IntRange(1, 65535), default=5038, show_default=True, help="AMI.")
@click.option("--username", default="ctiserver", show_default=True, help="The AMI account, if there is one.")
@click.option(
    "--secret-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Its secret, one line; or CTISERVER_AMI_SECRET in the environment.",
)
@click.option(
    "--conf", type=click.Path(path_type=Path, file_okay=False), help="The PBX's .conf files, where they can be read."
)
@click.option("--agi-port", type=click.IntRange(1, 65535), default=4573, show_default=True, help="ctiserver's own.")
@click.option("--name", default="main", show_default=True, help="What it will be called in ctiserver.yaml.")
@json_option
def adopt(  # noqa: PLR0917 - click passes them by name
    host: str,
    port: int,
    username: str,
    secret_file: Path | None,
    conf: Path | None,
    agi_port: int,
    name: str,
    as_json: bool,
) -> None:
    """Look at an Asterisk that is there, and say what to add for ctiserver. Writes nothing."""
    secret = _secret(secret_file)
    if not PBX_NAME.fullmatch(name):
        raise UserFault(f"{name!r} is not a valid PBX name", where="--name", fix="Use a to z, digits, _ and -")
    account = AmiAccount(
        host=host, port=port, username=username, from_address=own_address(host), agi_port=agi_port, name=name
    )
    found = read_survey(conf) if conf is not None else None
    if secret:
        live = asyncio.run(_look(account, secret))
        found = live if found is None else live.with_files(found)
    adoption = plan(account, found, logged_in=bool(secret))
    if as_json:
        click.echo(json.dumps(adoption_report.as_json(adoption), ensure_ascii=False))
    else:
        click.echo(adoption_report.as_text(adoption))


def _secret(file: Path | None) -> str:
    if file is None:
        return os.environ.get("CTISERVER_AMI_SECRET", "")
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "no text"
        raise UserFault(
            f"can't be read: {reason}", where=str(file), fix="Write the AMI account's secret into it, one line"
        ) from None


async def _look(account: AmiAccount, secret: str) -> PbxSurvey:
    settings = PbxSettings(
        host=account.host, port=account.port, username=account.username, secret=SecretStr(secret), connect_timeout_s=5
    )
    link = PbxLink(PbxName("adopted"), settings, Bus(), SystemClock())
    where = f"{account.host}:{account.port}"
    try:
        async with link.asking() as ask:
            return await survey(ask)
    except UserFault as fault:
        fix = (
            f"Make secret and username those of manager.conf on {account.host}; without a secret this says what to add"
        )
        raise UserFault(fault.what, where=where, fix=fix) from None
    except (OSError, DeadlineExceeded, PeerLost) as error:
        raise UserFault(
            f"AMI does not answer: {getattr(error, 'strerror', None) or error}",
            where=where,
            fix="Check host and port, that manager.conf says enabled = yes, and bindaddr and firewalls between",
        ) from None


async def _active_calls(pbx: PrivatePbx) -> int:
    counted = next(line for line in (await pbx.cli("core show calls")).splitlines() if "active call" in line)
    return int(counted.split()[0])


def _facts(pbx: PrivatePbx) -> dict[str, Any]:
    return {
        "version": pbx.version,
        "packages": pbx.packages,
        "pid": pbx.pid,
        "sip": f"{pbx.ami_host}:{pbx.sip_port}",
        "ami": f"{pbx.ami_host}:{pbx.ami_port}",
        "ami_username": pbx.ami_username,
        "ami_secret_file": str(pbx.ami_secret_path),
        "systemname_file": str(pbx.systemname_path),
        "websocket": pbx.phones_url,
        "browser_phones_file": str(pbx.browser_phones_path),
        "agi": pbx.agi,
        "phones": sorted(pbx.phone_secrets),
        "log": str(pbx.log_path),
        "queue_log": str(pbx.queue_log_path),
        "cdr": str(pbx.epoch_cdr_path),
    }


def _print_facts(pbx: PrivatePbx) -> None:
    facts = _facts(pbx)
    rows = {
        "SIP": f"{facts['sip']}; phones {', '.join(facts['phones'])}, passwords in {pbx.secrets_path}",
        "AMI": f"{facts['ami']} as {facts['ami_username']}, secret in {facts['ami_secret_file']}",
        "systemname": f"in {facts['systemname_file']}",
        "WebSocket": f"{facts['websocket']} for phones in browsers, their passwords in {facts['browser_phones_file']}",
        "AGI": f"asks ctiserver at {facts['agi']}",
        "its own logs": f"queue_log: {facts['queue_log']}, cdr: {facts['cdr']}",
        "log": facts["log"],
    }
    if pbx.packages:
        rows["packages"] = pbx.packages
    for name, value in rows.items():
        click.echo(f"  {name}  {value}")
