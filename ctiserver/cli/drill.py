"""``ctiserver drill``: take parts of a call centre away under load, and see what the callers get."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from ctiserver.cli._progress import progress_shown
from ctiserver.errors import CtiError, UserFault, first_of
from ctiserver.lab.drill.faults import FAULTS, sentence
from ctiserver.lab.drill.finding import Finding, machine
from ctiserver.lab.drill.rig import Rig, rig
from ctiserver.lab.drill.scene import Size
from ctiserver.lab.drill.sipp import LoadFailed
from ctiserver.lab.privatepbx.tree import find_programs
from ctiserver.model.json_value import Json

#: Something that must hold did not.
EXIT_BROKEN = 1
#: The figure of a fault that did not come to its end.
_UNFINISHED = "unfinished"


@click.command("drill")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON instead of a table.")
@click.option(
    "--fault",
    "names",
    multiple=True,
    type=click.Choice(list(FAULTS)),
    help="This one; may be repeated. Default: all but load.",
)
@click.option("--calls", type=click.IntRange(4, 500), default=8, show_default=True, help="Callers of each fault.")
@click.option("--agents", type=click.IntRange(1, 200), default=2, show_default=True, help="Telephones that answer.")
@click.option("--per-second", type=click.FloatRange(0.2, 10), default=1.5, show_default=True, help="Callers a second.")
@click.option("--hold", type=click.FloatRange(8, 120), default=18.0, show_default=True, help="Seconds a call lasts.")
@click.option(
    "--seconds", type=click.FloatRange(2, 7200), default=4.0, show_default=True, help="How long a fault lasts."
)
@click.option("--kills", type=click.IntRange(1, 500), default=3, show_default=True, help="Of server-killed-often.")
@click.option(
    "--keep", type=click.Path(path_type=Path, file_okay=False), help="Leave logs and databases in this new folder."
)
def command(
    *,
    as_json: bool,
    names: tuple[str, ...],
    calls: int,
    agents: int,
    per_second: float,
    hold: float,
    seconds: float,
    kills: int,
    keep: Path | None,
) -> None:
    """Load a private call centre on this machine, break it part by part, and tell what the callers got.

    Exit status 1 where something did not hold. Nothing outside a folder of its own is touched.
    """
    size = Size(calls=calls, per_s=per_second, hold_s=hold, fault_s=seconds, kills=kills)
    findings = asyncio.run(
        _drill(
            names or tuple(name for name in FAULTS if name != "load"), size, agents=agents, keep=keep, as_json=as_json
        )
    )
    if as_json:
        told: list[Json] = [finding.json() for finding in findings]
        at = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
        click.echo(json.dumps({"at": at, "machine": machine(), "findings": told}, ensure_ascii=False, indent=2))
    else:
        Console().print(table(findings))
    if any(finding.broken for finding in findings):
        sys.exit(EXIT_BROKEN)


async def _drill(names: tuple[str, ...], size: Size, *, agents: int, keep: Path | None, as_json: bool) -> list[Finding]:
    task = asyncio.current_task()
    assert task is not None
    _end_once(task)
    folder = _folder(keep)
    findings: list[Finding] = []
    try:
        with progress_shown() as progress:
            programs = await find_programs(progress)
            async with rig(programs, folder, agents=agents, progress=progress) as here:
                for name in names:
                    progress(f"drill: {name}", 1.0)
                    findings.append(await _finding(here, name, size))
                    if not as_json:
                        click.echo(_line(findings[-1]), err=True)
                    if _UNFINISHED in findings[-1].figures:
                        break  # what the next would find says nothing any more
    except asyncio.CancelledError:
        click.echo("The drill was ended; nothing is left running.", err=True)
        raise click.Abort from None
    except (CtiError, BaseExceptionGroup) as error:
        fault = first_of(error, CtiError)
        if fault is None or isinstance(fault, UserFault):
            raise
        raise UserFault(
            f"the drill itself failed: {fault}", fix="Run it again with --keep FOLDER and read server.log there"
        ) from error
    finally:
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    return findings


def _end_once(task: asyncio.Task[object]) -> None:
    """Have the first signal end it, and further ones change nothing: what it started takes some seconds to end."""
    loop, signals = asyncio.get_running_loop(), [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup has it
        signals.append(signal.SIGHUP)

    def end() -> None:
        for number in signals:
            loop.add_signal_handler(number, lambda: None)
        task.cancel()

    for number in signals:
        loop.add_signal_handler(number, end)


async def _finding(here: Rig, name: str, size: Size) -> Finding:
    """What one fault showed; where it did not come to its end, that."""
    try:
        return await FAULTS[name](here, size)
    except (CtiError, BaseExceptionGroup) as error:
        fault = first_of(error, CtiError)
        if fault is None or isinstance(fault, UserFault | LoadFailed):
            raise
        finding = Finding(name, sentence(name))
        finding.figures[_UNFINISHED] = 1
        finding.must(f"the drill came to its end: {fault}", holds=False)
        return finding


def _folder(keep: Path | None) -> Path:
    if keep is None:
        return Path(tempfile.mkdtemp(prefix="ctiserver-drill-"))
    if keep.exists() and any(keep.iterdir()):
        raise UserFault("is not empty", where=str(keep), fix="Name a new folder")
    try:
        keep.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserFault(f"can't be made ({error.strerror})", where=str(keep), fix="Name another folder") from None
    return keep.resolve()


def _line(finding: Finding) -> str:
    return f"{finding.fault}: " + (f"NOT HELD: {'; '.join(finding.broken)}" if finding.broken else "held")


def table(findings: list[Finding]) -> Table:
    """What held and what did not, a row a fault."""
    made = Table("fault", "figures", "must hold")
    for finding in findings:
        figures = "\n".join(f"{name.replace('_', ' ')}: {figure}" for name, figure in finding.figures.items())
        holds = [*(f"[red]NO[/red]  {one}" for one in finding.broken), *(f"yes {one}" for one in finding.held)]
        made.add_row(finding.fault, figures, "\n".join(holds), end_section=True)
    return made
