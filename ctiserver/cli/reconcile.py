"""``ctiserver reconcile``: a day's call log against what the PBX wrote down itself."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ctiserver.cli._options import config_option
from ctiserver.errors import UserFault
from ctiserver.features.operations.reconciling import Reconciliation, as_json, reconcile_day
from ctiserver.resources import shipped
from ctiserver.settings import load_settings
from ctiserver.store.faults import StoreUnavailable

#: Exit status when something differs; what can't be read is 2, as everywhere.
EXIT_DIFFERENCES = 1


@click.command("reconcile")
@click.option(
    "--day",
    type=click.DateTime(["%Y-%m-%d"]),
    required=True,
    metavar="YYYY-MM-DD",
    help="A day of the site's time zone.",
)
@click.option("--pbx", "pbxs", multiple=True, metavar="NAME", help="Of this PBX; default: all that name files.")
@click.option("--json", "as_object", is_flag=True, help="One JSON object.")
@config_option
def command(day: datetime, pbxs: tuple[str, ...], as_object: bool, config: Path | None) -> None:
    """Compare one day's call log with the PBX's CDRs and queue_log, call by call; changes nothing.

    Lists every difference and exits with 1; with 0 if there is none, with 2 if something can't be read.
    """
    settings = load_settings(config or shipped("config", "ctiserver.yaml"))
    try:
        compared = asyncio.run(reconcile_day(settings, day.date(), pbxs))
    except StoreUnavailable as error:
        raise UserFault(str(error), where="database.url", fix="See that it runs, then try again") from None
    if as_object:
        click.echo(json.dumps(as_json(day.date(), compared), ensure_ascii=False))
    else:
        _show(compared)
    if any(one.differences for one in compared):
        raise SystemExit(EXIT_DIFFERENCES)


def _show(compared: Sequence[Reconciliation]) -> None:
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
    for one in compared:
        said = [_count(one.calls, "call")]
        said.append("no cdr named" if one.cdrs is None else _count(one.cdrs, "CDR"))
        said.append("no queue_log named" if one.queue_visits is None else _count(one.queue_visits, "queue visit"))
        if one.going_on:
            said.append(f"{one.going_on} still going on")
        verdict = _count(len(one.differences), "difference") if one.differences else "no difference"
        console.print(f"{one.pbx}: {', '.join(said)}: {verdict}")
        if one.differences:
            console.print(_table(one))


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _table(one: Reconciliation) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("call", "linkedid", "against", "what", "ours", "the PBX's"):
        table.add_column(heading, overflow="fold")
    for found in one.differences:
        cells = (found.call_id or "", found.linkedid, found.source, found.what, found.ours, found.theirs)
        table.add_row(*(escape(cell) for cell in cells))
    return table
