"""``ctiserver hours``: what a calendar says, and why."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from ctiserver.cli._options import config_option
from ctiserver.errors import UserFault
from ctiserver.ivr.language.library import load_world
from ctiserver.model.calendar.opening_hours import Calendar
from ctiserver.resources import shipped
from ctiserver.settings import load_settings
from ctiserver.site.load import load_site
from ctiserver.strict_yaml import suggest


@click.group()
def command() -> None:
    """Ask the opening hours."""


@command.command()
@click.argument("arguments", nargs=-1, required=True, metavar="[CALENDAR] WHEN")
@config_option
def explain(arguments: tuple[str, ...], config: Path | None) -> None:
    """Say whether a calendar is open at WHEN (2027-02-06T09:00, in its own zone unless one is given), and why.

    Without CALENDAR, every calendar of the site is asked.
    """
    settings = load_settings(config or shipped("config", "ctiserver.yaml"))
    world = load_world(load_site(settings.config_dir), settings)
    *names, when = arguments
    try:
        moment = datetime.fromisoformat(when)
    except ValueError:
        raise UserFault(f"{when!r} is not a valid time", where="WHEN", fix="Write it like 2027-02-06T09:00") from None
    unknown = [name for name in names if name not in world.calendars]
    if unknown:
        fix = suggest(unknown[0], sorted(world.calendars))
        raise UserFault(f"there is no calendar {unknown[0]!r}", where="CALENDAR", fix=fix)
    for name in names or sorted(world.calendars):
        _explain(world.calendars[name], moment)


def _explain(calendar: Calendar, moment: datetime) -> None:
    at = moment if moment.tzinfo is not None else moment.replace(tzinfo=calendar.zone)
    decision = calendar.at(at)
    change = calendar.next_change(at)
    local = at.astimezone(calendar.zone)
    click.echo(f"{calendar.name}: {decision.state} at {local:%Y-%m-%d %H:%M} {calendar.zone.key}")
    click.echo(f"  decided by: {decision.layer.replace('_', ' ')} ({decision.why})")
    if change is not None:
        then = calendar.at(change).state
        click.echo(f"  next: {then} from {change.astimezone(calendar.zone):%Y-%m-%d %H:%M}")
    if calendar.unpublished(local.year):
        click.echo(
            f"  warning: the make-up working days of {local.year} are not published yet; "
            "update the package `holidays`, or write them into overrides"
        )
