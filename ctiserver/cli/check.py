"""``ctiserver check``: everything an admin wrote, proved before anything uses it."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ctiserver.app.configuration import Written, read
from ctiserver.cli._options import config_option
from ctiserver.errors import FileFault, Problem
from ctiserver.ivr.speech.prompts import Shelf
from ctiserver.ivr.speech.texts import command_warnings, unspoken_problems
from ctiserver.resources import shipped
from ctiserver.settings import Settings, load_settings


@click.command("check")
@config_option
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(config: Path | None, form: str) -> None:
    """Check settings, configuration, calendars, flows and processes; exits with 2 if anything is wrong."""
    problems: tuple[Problem, ...] = ()
    written = None
    try:
        config = config or shipped("config", "ctiserver.yaml")
        settings = load_settings(config)
        written = read(settings)
        problems = (*written.warnings, *_unspoken(config, settings, written))
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


def _unspoken(config: Path, settings: Settings, written: Written) -> list[Problem]:
    """What no caller could hear; looks, and writes no file."""
    own = Shelf(settings.prompts, settings.prompts_dir, recordings=written.site.directory / "prompts")
    spoken = Shelf(settings.prompts, shipped("ivr_flows") / "prompts")
    problems = unspoken_problems([own, spoken], written.flows.values(), written.site)
    return command_warnings(config, settings.prompts) + problems


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
