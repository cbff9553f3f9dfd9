"""``ctiserver check``: everything an admin wrote, proved before anything uses it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from ctiserver.cli._options import config_option
from ctiserver.errors import FileFault, Problem
from ctiserver.features.dispatch.definitions import load_definitions
from ctiserver.ivr.check import check
from ctiserver.ivr.library import flow_files, load_world, site_names
from ctiserver.ivr.loader import load_flow
from ctiserver.resources import shipped
from ctiserver.settings import load_settings
from ctiserver.site import load_site, unknown_flows

T = TypeVar("T")


@click.command("check")
@config_option
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(config: Path | None, form: str) -> None:
    """Check settings, configuration, calendars, flows and processes; exits with 2 if anything is wrong."""
    problems: list[Problem] = []

    def attempt(read: Callable[[], T]) -> T | None:
        try:
            return read()
        except FileFault as fault:
            problems.extend(fault.problems)
            return None

    flows = definitions = None
    settings = attempt(lambda: load_settings(config or shipped("config", "ctiserver.yaml")))
    site = None if settings is None else attempt(lambda: load_site(settings.config_dir))
    if settings is not None and site is not None:
        world = attempt(lambda: load_world(site, settings))
        if world is not None:
            names = site_names(site, world)
            files = flow_files(settings.flows_dir or shipped("ivr_flows"))
            flows = {flow.name: flow for path in files if (flow := attempt(lambda: load_flow(path))) is not None}  # noqa: B023
            for flow in flows.values():
                problems.extend(check(flow, names))
            problems.extend(unknown_flows(site.directory, sorted(flows)))
            definitions = attempt(
                lambda: load_definitions(
                    site.directory, calendars=frozenset(world.calendars), record_types=frozenset(site.record_types)
                )
            )
    errors = [problem for problem in problems if not problem.warning]
    if form == "json":
        click.echo(json.dumps([_plain(problem) for problem in sorted(problems)], ensure_ascii=False))
    else:
        for problem in sorted(problems):
            click.echo(str(problem))
        if not errors:
            click.echo(f"{len(flows or ())} flows and {len(definitions or ())} processes check; the configuration too.")
    if errors:
        raise SystemExit(2)


def _plain(problem: Problem) -> dict[str, str | int | bool]:
    return {
        "file": problem.place.file,
        "line": problem.place.line,
        "column": problem.place.column,
        "code": problem.code,
        "message": problem.message,
        "fix": problem.fix,
        "warning": problem.warning,
    }
