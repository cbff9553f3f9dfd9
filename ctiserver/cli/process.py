"""``ctiserver process``: check, test, draw and try what happens to a record after the call."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from zoneinfo import ZoneInfo

import click

from ctiserver.cli._options import config_option, moment
from ctiserver.cli._process_try import Walk, run_script, talk
from ctiserver.errors import FileFault, Problem, UserFault
from ctiserver.features.dispatch.definitions import TEST_SUFFIX, definition_files, unused
from ctiserver.ivr.language.library import flow_files, load_world
from ctiserver.ivr.language.loader import FLOW_SUFFIX
from ctiserver.model.calendar.span import WorkingTime
from ctiserver.model.process import check as process_check
from ctiserver.model.process import drawing as process_drawing
from ctiserver.model.process import simulation as process_simulation
from ctiserver.model.process.definition import ProcessFile
from ctiserver.model.process.simulation import CasesFile
from ctiserver.resources import shipped
from ctiserver.settings import load_settings
from ctiserver.site.load import load_site
from ctiserver.store.database import Database
from ctiserver.strict_yaml import load, parse, suggest

_FILES = click.argument("files", nargs=-1, type=click.Path(path_type=Path))


_DRAWN = {
    "svg": process_drawing.to_svg,
    "mermaid": process_drawing.to_mermaid,
    "bpmn": process_drawing.to_bpmn,
}


@click.group()
def command() -> None:
    """Check, test, draw and try processes: what happens to a record after the call."""


@command.command("check")
@config_option
@_FILES
def check_(config: Path | None, files: tuple[Path, ...]) -> None:
    """Prove that no record can be stranded; all of the site's definitions, or those named."""
    site = _Site(config)
    definitions, problems = site.read(files)
    problems += site.vacant(definitions)
    for problem in sorted(problems):
        click.echo(str(problem))
    if any(not problem.warning for problem in problems):
        raise click.exceptions.Exit(2)
    click.echo(f"{len(definitions)} process{'' if len(definitions) == 1 else 'es'} checked: no way strands a record.")


@command.command()
@config_option
@_FILES
def test(config: Path | None, files: tuple[Path, ...]) -> None:
    """Run the tests beside the definitions on a virtual clock; says which ways no test goes."""
    site = _Site(config)
    definitions, problems = site.read(files)
    if problems:
        raise FileFault(problems)
    failed = 0
    for path, definition in definitions.items():
        failed += _tested(path, definition, site.time)
    if failed:
        raise click.exceptions.Exit(1)


@command.command()
@config_option
@click.option("--format", "form", type=click.Choice(sorted(_DRAWN)), default="svg", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="A file; without it, standard output.")
@click.argument("file", type=click.Path(path_type=Path))
def draw(config: Path | None, form: str, file: Path, out: Path | None) -> None:
    """Draw a definition's graph as SVG, Mermaid, or BPMN 2.0 XML for modelling tools."""
    definitions, problems = _Site(config).read((file,))
    if problems:
        raise FileFault(problems)
    (definition,) = definitions.values()
    text = _DRAWN[form](definition)
    if out is None:
        click.echo(text, nl=False)
    else:
        out.write_text(text, encoding="utf-8")
        click.echo(f"drew {len(definition.steps)} steps into {out}")


@command.command("try")
@config_option
@click.option("--clock", default="", help="When it begins, such as 2026-11-23T10:00; without it, now.")
@click.option(
    "--script", type=click.Path(path_type=Path, dir_okay=False), help="A file of lines to walk by, for tests."
)
@click.argument("name")
def try_(config: Path | None, name: str, clock: str, script: Path | None) -> None:
    """Walk through the process NAME (or a file) by hand: who has an order, what the clock does, what comes of it."""
    site = _Site(config)
    definition = site.named(name)
    start = moment(clock or "", site.time.zone)
    click.secho(f"{definition.process}, version {definition.version}. ? says what can be typed.", dim=True)
    walk = Walk(process_simulation.Simulation(definition, site.time, start), site.time.zone)
    if script is None:
        talk(walk, _typed)
        return
    try:
        lines = script.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserFault(f"can't be read: {error}", where=str(script), fix="Name a text file") from None
    run_script(walk, lines, str(script))
    for line in walk.stand() if not walk.over else ():
        click.echo(line)


def _typed(prompt: str) -> str | None:
    """A line from the keyboard, None at the end of input."""
    click.echo(prompt, nl=False)
    line = sys.stdin.readline()
    return line.strip() if line else None


@command.command()
def schema() -> None:
    """Print the JSON Schema that editors complete definitions from."""
    click.echo(json.dumps(ProcessFile.model_json_schema(), ensure_ascii=False, indent=2))


class _Site:
    """What definitions may name."""

    def __init__(self, config: Path | None) -> None:
        settings = load_settings(config or shipped("config", "ctiserver.yaml"))
        self._site = load_site(settings.config_dir)
        self._database_url = settings.database_url
        directory = settings.flows_dir or shipped("ivr_flows")
        self._flows = {path.name.removesuffix(FLOW_SUFFIX) for path in flow_files(directory)}
        world = load_world(self._site, settings)
        self.time = WorkingTime(ZoneInfo(settings.time_zone), world.calendars)

    def named(self, name: str) -> ProcessFile:
        """The definition of this name, or in this file. Raises UserFault; FileFault for one that is not right."""
        paths = {path.stem: path for path in definition_files(self._site.directory)}
        path = Path(name) if name.endswith(".yaml") else paths.get(name)
        if path is None:
            raise UserFault(f"no process is named {name!r}", where="NAME", fix=suggest(name, paths) or "Name a file")
        definitions, problems = self.read((path,))
        if problems:
            raise FileFault(problems)
        return definitions[path]

    def read(self, files: tuple[Path, ...]) -> tuple[dict[Path, ProcessFile], list[Problem]]:
        """The definitions named, or all of the site's, and what is wrong with them."""
        found: dict[Path, ProcessFile] = {}
        problems: list[Problem] = []
        # A shipped process is done by people where the flow that it calls with is not there.
        own = bool(files) or (self._site.directory / "processes").is_dir()
        for path in files or definition_files(self._site.directory):
            try:
                found[path] = process_check.read(
                    load(path),
                    calendars=self.time.calendars,
                    record_types=self._site.record_types,
                    flows=self._flows if own else None,
                )
            except FileFault as fault:
                if files or not unused(fault, self._site.directory):
                    problems += fault.problems
        return found, problems

    def vacant(self, definitions: Mapping[Path, ProcessFile]) -> list[Problem]:
        """Orders for roles that nobody has, as far as the site has a database yet that can be asked."""
        file = self._database_url.removeprefix("sqlite:///")
        if file != self._database_url and not Path(file).exists():
            return []
        taken = asyncio.run(_roles_taken(self._database_url))
        if taken is None:
            return []
        return [
            problem
            for path, definition in definitions.items()
            for problem in process_check.vacant(load(path), definition, taken)
        ]


async def _roles_taken(url: str) -> frozenset[str] | None:
    """The roles that people have. None where there is no database, or none that this version can read."""
    try:
        async with Database.open(url) as database, database.reading() as uow:
            return frozenset(user.role for user in await uow.users.everybody() if user.active)
    except UserFault:
        return None


def _tested(path: Path, definition: ProcessFile, time: WorkingTime) -> int:
    """Run the tests beside one definition; how many failed."""
    beside = path.with_name(path.name.removesuffix(".yaml") + TEST_SUFFIX)
    if not beside.exists():
        raise UserFault("has no tests beside it", where=str(path), fix=f"Write {beside.name}")
    cases = parse(load(beside), CasesFile, prefix="PT")
    covered: set[str] = set()
    failed = 0
    for case in cases.tests:
        simulation, wrong = process_simulation.play(definition, time, case)
        covered |= simulation.covered
        failed += bool(wrong)
        click.echo(f"{'FAILED' if wrong else 'ok    '} {definition.process}: {case.name}")
        for line in wrong:
            click.echo(f"       {line}")
    ways = process_simulation.edges(definition)
    click.echo(f"       {definition.process}: {len(covered & ways)} of {len(ways)} ways gone")
    for way in sorted(ways - covered):
        click.echo(f"       no test goes {way.removesuffix('>')}{' past its bound' if way.endswith('>') else ''}")
    return failed
