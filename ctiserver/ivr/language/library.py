"""The flows that calls are served with: the newest of each, and every older one that a call is still on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import Field

from ctiserver.errors import CtiError, FileFault, Place, Problem, UserFault
from ctiserver.ivr.language.check import SiteNames, check
from ctiserver.ivr.language.loader import FLOW_SUFFIX, Flow, load_flow
from ctiserver.ivr.language.visit import World
from ctiserver.model.blocklist import BlockedFile, Blocklist
from ctiserver.model.calendar.opening_hours import Calendar, CalendarFile, known_country
from ctiserver.model.calendar.roster import Roster, RosterFile
from ctiserver.resources import shipped
from ctiserver.settings import Settings
from ctiserver.site.load import Site
from ctiserver.strict_yaml import Written, load, parse

#: The folder, and the alias, of flows' test versions.
_TEST = "test"


class VersionUnknown(CtiError):
    """A call is on a version of a flow that is nowhere kept."""


class FeesFile(Written):
    """``fees.yaml``: amounts that flows name, as text so that no cent is lost."""

    fees: dict[str, Annotated[str, Field(pattern=r"^[0-9]{1,9}(\.[0-9]{1,2})?$")]] = {}  # noqa: RUF012


def load_world(site: Site, settings: Settings) -> World:
    """Calendars, rosters and fees of a site. Raises FileFault with every problem of every file."""
    zone = ZoneInfo(settings.time_zone)
    problems: list[Problem] = []
    calendars: dict[str, Calendar] = {}
    rosters: dict[str, Roster] = {}
    for path in _files(site.directory, "calendars"):
        try:
            document = load(path)
            file = parse(document, CalendarFile)
            if file.holidays is not None and not known_country(file.holidays.country):
                place = document.place(("holidays", "country"))
                problems.append(Problem(place, "CT-020", f"no holidays are known of {file.holidays.country!r}"))
                continue
            problems += _misnamed(path, file.calendar, "CT-021")
            calendars[file.calendar] = Calendar(file, zone)
        except FileFault as fault:
            problems += fault.problems
    for path in _files(site.directory, "rosters"):
        try:
            roster = parse(load(path), RosterFile)
            problems += _misnamed(path, roster.roster, "CT-022")
            rosters[roster.roster] = Roster(roster, zone)
        except FileFault as fault:
            problems += fault.problems
    blocked = BlockedFile()
    try:
        blocked = parse(load(_file(site.directory, "blocked.yaml")), BlockedFile)
    except FileFault as fault:
        problems += fault.problems
    if problems:
        raise FileFault(problems)
    fees = parse(load(_file(site.directory, "fees.yaml")), FeesFile)
    amounts = {name: Decimal(amount) for name, amount in fees.fees.items()}
    return World(calendars, rosters, zone, settings.region, amounts, Blocklist(blocked.blocked, settings.region))


def _file(directory: Path, name: str) -> Path:
    own = directory / name
    return own if own.exists() else shipped("config", name)


def _files(directory: Path, name: str) -> list[Path]:
    try:
        folder = _file(directory, name)
    except FileNotFoundError:
        return []  # a site needs none of these, and neither does an installation
    return sorted(folder.glob("*.yaml"))


def _misnamed(path: Path, name: str, code: str) -> list[Problem]:
    if path.stem == name:
        return []
    place = Place(str(path), 1, 1)
    return [Problem(place, code, f"{name!r} must be in a file of its name", f"rename the file to {name}.yaml")]


def site_names(site: Site, world: World) -> SiteNames:
    """What a flow may name of this site."""
    return SiteNames(
        queues=frozenset(site.queues),
        calendars=frozenset(world.calendars),
        rosters=frozenset(world.rosters),
        record_types={name: frozenset(kind.fields) for name, kind in site.record_types.items()},
        fees=frozenset(world.fees),
    )


def flow_files(directory: Path) -> list[Path]:
    """The flow files of a folder, and of ``test/`` in it. Raises UserFault if it is none."""
    if not directory.is_dir():
        raise UserFault("is not a directory", where=str(directory), fix=f"Name a folder with *{FLOW_SUFFIX} files")
    return [*sorted(directory.glob(f"*{FLOW_SUFFIX}")), *sorted((directory / _TEST).glob(f"*{FLOW_SUFFIX}"))]


def alias_of(directory: Path, path: Path, flow: Flow) -> str:
    """What numbers call the flow at ``path``: ``front_desk``, or ``front_desk@test`` for one in ``test/``."""
    return f"{flow.name}@{_TEST}" if path.parent == directory / _TEST else flow.name


@dataclass(frozen=True, slots=True)
class Reloaded:
    """What a reload brought."""

    changed: tuple[str, ...]
    warnings: tuple[Problem, ...]


class Library:
    """Every flow by name, and every version that calls began with by digest.

    Each version that becomes current is kept as a file in ``kept``, so that a call that is away in a queue finds its
    version again after a restart, even if the file was edited meanwhile.
    """

    def __init__(self, directory: Path, kept: Path) -> None:
        self._directory = directory
        self._kept = kept
        self._current: dict[str, Flow] = {}
        self._versions: dict[tuple[str, str], Flow] = {}

    @property
    def flows(self) -> Mapping[str, Flow]:
        """The current flows by name; test versions as ``name@test``."""
        return dict(self._current)

    def reload(self, names: SiteNames) -> Reloaded:
        """Take the folder as it is now: all of it, or, where anything does not check, none of it.

        Raises FileFault with every problem of every flow; what was current stays so.
        """
        problems: list[Problem] = []
        flows: dict[str, Flow] = {}
        for path in flow_files(self._directory):
            try:
                flow = load_flow(path)
            except FileFault as fault:
                problems += fault.problems
                continue
            problems += check(flow, names)
            flows[alias_of(self._directory, path, flow)] = flow
        if any(not problem.warning for problem in problems):
            raise FileFault(problem for problem in problems if not problem.warning)
        changed = tuple(
            name
            for name, flow in flows.items()
            if name not in self._current or self._current[name].digest != flow.digest
        )
        self._keep(flows[name] for name in changed)
        self._current = flows
        return Reloaded(changed, tuple(problems))

    def current(self, name: str) -> Flow | None:
        """The version that new calls begin with, None for a name that no flow has."""
        return self._current.get(name)

    def version(self, name: str, digest: str) -> Flow:
        """The version that a call began with. Raises VersionUnknown."""
        found = self._versions.get((name, digest))
        if found is None:
            path = self._kept / name / f"{digest}.yaml"
            try:
                found = load_flow(path.read_text(encoding="utf-8"), file=str(path))
            except (OSError, FileFault) as error:
                raise VersionUnknown(f"version {digest} of flow {name} is not kept: {error}") from None
            self._versions[name, digest] = found
        return found

    def _keep(self, flows: Iterable[Flow]) -> None:
        for flow in flows:
            self._versions[flow.name, flow.digest] = flow
            path = self._kept / flow.name / f"{flow.digest}.yaml"
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                partial = path.with_suffix(".part")
                partial.write_text(flow.text, encoding="utf-8")
                partial.replace(path)
