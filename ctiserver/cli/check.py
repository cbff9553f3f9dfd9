"""``ctiserver check``: everything an admin wrote, proved before anything uses it."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ctiserver.app.configuration import read
from ctiserver.cli._options import config_option
from ctiserver.errors import FileFault, Problem
from ctiserver.resources import shipped
from ctiserver.settings import load_settings


@click.command("check")
@config_option
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(config: Path | None, form: str) -> None:
    """Check settings, configuration, calendars, flows and processes; exits with 2 if anything is wrong."""
    problems: tuple[Problem, ...] = ()
    written = None
    try:
        written = read(load_settings(config or shipped("config", "ctiserver.yaml")))
        problems = written.warnings
    except FileFault as fault:
        problems = tuple(fault.problems)
    if form == "json":
        click.echo(json.dumps([_plain(problem) for problem in sorted(problems)], ensure_ascii=False))
    else:
        for problem in sorted(problems):
            click.echo(str(problem))
        if written is not None:
            flows, processes = len(written.flows), len(written.definitions)
            click.echo(f"{flows} flows and {processes} processes check; the configuration too.")
    if written is None:
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
