"""``ctiserver check``: everything an admin wrote, proved before anything uses it."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ctiserver.app.configuration import WrittenConfiguration, read
from ctiserver.cli._options import config_option
from ctiserver.errors import FileFault, Problem
from ctiserver.ivr.speech.prompts import Shelf
from ctiserver.ivr.speech.texts import command_warnings, unspoken_problems
from ctiserver.resources import shipped
from ctiserver.settings import Settings, WebSettings, load_settings
from ctiserver.strict_yaml import load


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
        problems = (*written.warnings, *_warnings(config, settings, written))
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


def _warnings(config: Path, settings: Settings, written: WrittenConfiguration) -> list[Problem]:
    """What works and is not as it should be: what no caller could hear, addresses that are all the proxy's."""
    own = Shelf(settings.prompts, settings.prompts_dir, recordings=written.site.directory / "prompts")
    spoken = Shelf(settings.prompts, shipped("ivr_flows") / "prompts")
    problems = unspoken_problems([own, spoken], written.flows.values(), written.site)
    return command_warnings(config, settings.prompts) + _proxy_warnings(config, settings.web) + problems


def _proxy_warnings(settings_file: Path, settings: WebSettings) -> list[Problem]:
    """Browsers come by https, which a reverse proxy speaks, and none is named: everybody has the proxy's address."""
    if settings.trusted_proxies or not settings.public_url.startswith("https:"):
        return []
    place = load(settings_file).place(("web", "public_url"))
    what = "browsers come by https through a reverse proxy, and web.trusted_proxies names none: all have one address"
    fix = "write the proxy's address there, such as 127.0.0.1/32, and let it set X-Forwarded-For"
    return [Problem(place, "CT-072", what, fix, warning=True)]


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
