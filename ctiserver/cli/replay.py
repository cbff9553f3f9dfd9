"""``ctiserver replay``: what calls a recorded AMI stream holds."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import click
import structlog
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ctiserver.model.calls.tracking.book import Sides
from ctiserver.model.events import CallSummary
from ctiserver.model.ids import Interface, PbxName
from ctiserver.pbx.recording import Replay, as_json, read_chunks

_HEADINGS = ("started (UTC)", "seconds", "direction", "from", "to", "queues", "answered by", "outcome", "ended by")


@click.command("replay")
@click.argument("file")
@click.option("--json", "as_lines", is_flag=True, help="One JSON object a line and call, instead of a table.")
@click.option(
    "--pbx", default="pbx", show_default=True, help="The PBX's name in ctiserver.yaml; call ids follow from it."
)
@click.option(
    "--trunk",
    "trunks",
    multiple=True,
    metavar="DEVICE",
    help="A line to the outside, such as PJSIP/trunk. Without any: guessed from the stream.",
)
def command(file: str, as_lines: bool, pbx: str, trunks: tuple[str, ...]) -> None:
    """Feed a recorded AMI stream FILE (- is standard input) through the live code; show its calls.

    FILE holds raw AMI bytes, or JSON events (one object a line, or one array); .xz is unpacked.
    """
    if not structlog.is_configured():
        # Standard output is for calls alone; what breaks our code is told on the other.
        structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))
    known = frozenset(Interface(trunk) for trunk in trunks) if trunks else None
    replay = Replay(PbxName(pbx), Sides(trunks=known))
    calls = replay.summaries(read_chunks(file, sys.stdin.buffer))
    if as_lines:
        for call in calls:
            click.echo(json.dumps(as_json(call), ensure_ascii=False))
    else:
        _show(calls)
    if replay.unparsable or replay.intake.broken:
        click.echo(f"unparsable parts: {replay.unparsable + replay.intake.broken}", err=True)


def _show(calls: Iterator[CallSummary]) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in (
        "started (UTC)",
        "seconds",
        "direction",
        "from",
        "to",
        "queues",
        "answered by",
        "outcome",
        "ended by",
    ):
        table.add_column(heading, justify="right" if heading == "seconds" else "left", overflow="fold")
    for call in calls:
        seconds = ""
        if call.started_at is not None and call.ended_at is not None:
            seconds = f"{(call.ended_at - call.started_at).total_seconds():.1f}"
        queues = ", ".join(f"{visit.queue} ({visit.outcome})" for visit in call.queue_visits)
        cells = (
            "" if call.started_at is None else call.started_at.strftime("%Y-%m-%d %H:%M:%S"),
            seconds,
            call.direction,
            call.ani,
            call.dnis,
            queues,
            " → ".join(call.answered_by),
            call.outcome or "",
            (call.hangup_by or "") if call.complete else "(goes on)",
        )
        table.add_row(*(escape(cell) for cell in cells))
    Console(width=None if sys.stdout.isatty() else 160).print(table)
