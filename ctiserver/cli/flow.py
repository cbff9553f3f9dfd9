"""``ctiserver flow``: check, test, draw, try call flows, and give the schema that editors complete from."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import click

from ctiserver.cli import _flow_replay
from ctiserver.cli._options import config_option, moment
from ctiserver.errors import FileFault, Problem, UserFault
from ctiserver.ivr.language.check import SiteNames, check
from ctiserver.ivr.language.graph import edges_of, worst_path
from ctiserver.ivr.language.library import flow_files, load_world, site_names
from ctiserver.ivr.language.loader import FLOW_SUFFIX, Flow, load_flow
from ctiserver.ivr.language.schema import json_schema
from ctiserver.ivr.language.visit import World
from ctiserver.resources import shipped
from ctiserver.settings import Settings, load_settings
from ctiserver.site.load import Site, load_site

_FILES = click.argument("files", nargs=-1, type=click.Path(path_type=Path))


@click.group()
def command() -> None:
    """Check, test, draw and try call flows."""


command.add_command(_flow_replay.command)


def _site(config: Path | None) -> tuple[Settings, Site, World]:
    settings = load_settings(config or shipped("config", "ctiserver.yaml"))
    site = load_site(settings.config_dir)
    return settings, site, load_world(site, settings)


def _chosen(files: tuple[Path, ...], settings: Settings) -> list[Path]:
    """The files named, those in the folders named, or all of the site's."""
    found: list[Path] = []
    for file in files or (settings.flows_dir or shipped("ivr_flows"),):
        found += flow_files(file) if file.is_dir() else [file]
    if not found:
        raise UserFault(
            "there is no flow here", where=str(files[0]) if files else None, fix=f"Name a *{FLOW_SUFFIX} file"
        )
    return found


def _problems(path: Path, names: SiteNames) -> tuple[Flow | None, list[Problem]]:
    try:
        flow = load_flow(path)
    except FileFault as fault:
        return None, list(fault.problems)
    return flow, check(flow, names)


def _loaded(path: Path, names: SiteNames) -> Flow:
    flow, problems = _problems(path, names)
    errors = [problem for problem in problems if not problem.warning]
    if flow is None or errors:
        raise FileFault(errors)
    return flow


@command.command("check")
@_FILES
@config_option
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text")
def check_command(files: tuple[Path, ...], config: Path | None, form: str) -> None:
    """Prove flows right before any caller meets them; exit status 2 if one is not."""
    settings, site, world = _site(config)
    names = site_names(site, world)
    problems: list[Problem] = []
    flows: list[Flow] = []
    started = time.perf_counter()
    for path in _chosen(files, settings):
        flow, found = _problems(path, names)
        problems += found
        flows += [flow] if flow is not None else []
    if form == "json":
        click.echo(json.dumps([_as_json(problem) for problem in problems], ensure_ascii=False, indent=1))
    else:
        for problem in problems:
            click.echo(str(problem))
        _report(flows, problems, time.perf_counter() - started)
    if any(not problem.warning for problem in problems):
        sys.exit(2)


def _as_json(problem: Problem) -> dict[str, object]:
    return {
        "file": problem.place.file,
        "line": problem.place.line,
        "column": problem.place.column,
        "code": problem.code,
        "severity": "warning" if problem.warning else "error",
        "message": problem.message,
        "fix": problem.fix,
    }


def _report(flows: Iterable[Flow], problems: list[Problem], seconds: float) -> None:
    broken = {problem.place.file for problem in problems if not problem.warning}
    for flow in flows:
        if flow.document.file in broken:
            continue
        worst = worst_path(flow, edges_of(flow))
        click.echo(f"{flow.name} {flow.version}: {len(flow.nodes)} nodes are right.")
        click.echo(f"  worst way to a person or the end: {worst.cost.prompts} prompts, {worst.cost.seconds:.0f} s:")
        click.echo(f"  {' → '.join(worst.nodes)}")
    errors = sum(not problem.warning for problem in problems)
    click.echo(f"{errors} errors, {len(problems) - errors} warnings, {seconds * 1000:.0f} ms")


@command.command("test")
@_FILES
@config_option
@click.option("--verbose", "-v", is_flag=True, help="Name every test.")
@click.option("--cover", type=click.IntRange(0, 100), default=0, help="Fail below this percentage of edges.")
def test_command(files: tuple[Path, ...], config: Path | None, verbose: bool, cover: int) -> None:
    """Play the calls in the *.test.yaml beside each flow; exit status 2 if one does not come out as written."""
    from ctiserver.ivr.simulation.scripted import TEST_SUFFIX, coverage, load_tests, play

    settings, site, world = _site(config)
    names = site_names(site, world)
    failed = False
    for path in _chosen(files, settings):
        flow = _loaded(path, names)
        tests_path = path.with_name(path.name.removesuffix(FLOW_SUFFIX) + TEST_SUFFIX)
        if not tests_path.exists():
            click.echo(f"{flow.name}: there are no tests; write {tests_path.name} beside it")
            failed = failed or cover > 0
            continue
        started = time.perf_counter()
        results = [play(flow, world, test) for test in load_tests(tests_path, flow)]
        milliseconds = (time.perf_counter() - started) * 1000
        for result in results:
            if result.failures or verbose:
                click.echo(f"  {'FAILED' if result.failures else 'passed'}  {result.test.name}")
            for failure in result.failures:
                click.echo(f"          {failure}")
        covered = coverage(flow, results)
        bad = sum(bool(result.failures) for result in results)
        failed = failed or bad > 0 or covered.percent < cover
        click.echo(
            f"{flow.name}: {len(results) - bad} of {len(results)} calls as written, {milliseconds:.0f} ms; "
            f"nodes {covered.total_nodes - len(covered.nodes)}/{covered.total_nodes}, "
            f"edges {covered.total_edges - len(covered.edges)}/{covered.total_edges} ({covered.percent:.0f} %)"
        )
        for edge in covered.edges:
            click.echo(f"  not covered: {edge}")
    if failed:
        sys.exit(2)


@command.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--format", "form", type=click.Choice(["svg", "mermaid"]), default="svg")
@click.option("--out", type=click.Path(path_type=Path), help="A file; without it, standard output.")
def draw(file: Path, form: str, out: Path | None) -> None:
    """Draw a flow's graph as SVG or Mermaid."""
    from ctiserver.ivr.language.draw import to_mermaid, to_svg

    flow = load_flow(file)
    text = to_svg(flow) if form == "svg" else to_mermaid(flow)
    if out is None:
        click.echo(text)
    else:
        out.write_text(text, encoding="utf-8")
        click.echo(f"drew {len(flow.nodes)} nodes into {out}")


@command.command()
def schema() -> None:
    """Print the JSON Schema of flow files, for editors."""
    click.echo(json.dumps(json_schema(), ensure_ascii=False, indent=1))


@command.command("try")
@click.argument("file", type=click.Path(path_type=Path))
@config_option
@click.option("--caller", default="13800138000", help="The number that calls; empty: withheld.")
@click.option("--dialled", default="4008001234", help="The number that is called; numbers.yaml names its calendar.")
@click.option("--language", default="", help="The caller's language where it is known.")
@click.option("--clock", default="", help="When the call comes, such as 2026-11-23T10:00; now if left out.")
def try_command(file: Path, config: Path | None, caller: str, dialled: str, language: str, clock: str) -> None:  # noqa: PLR0917 - click passes them by name
    """Talk a flow through in the terminal; the keyboard is the keypad."""
    from ctiserver.ivr.simulation.simulate import Given
    from ctiserver.ivr.simulation.terminal import talk

    _, site, world = _site(config)
    number = site.number(dialled)
    calendar = number.calendar if number is not None else None
    given = Given(caller, dialled, moment(clock, world.zone), calendar or "", language)
    talk(_loaded(file, site_names(site, world)), world, given)


@command.command()
@click.argument("name")
@click.option("--folder", type=click.Path(path_type=Path), default=Path(), help="Where to write it.")
def new(name: str, folder: Path) -> None:
    """Write a small flow and its test to begin with."""
    from ctiserver.ivr.language.template import write_new

    for path in write_new(name, folder):
        click.echo(f"wrote {path}")
