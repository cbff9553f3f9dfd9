"""What admins wrote, read and proved together: taken whole, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import structlog

from ctiserver.errors import FileFault, Problem
from ctiserver.features.dispatch.definitions import Definition, load_definitions
from ctiserver.ivr.language.check import check
from ctiserver.ivr.language.library import Library, alias_of, flow_files, load_world, site_names
from ctiserver.ivr.language.loader import Flow, load_flow
from ctiserver.ivr.language.visit import World
from ctiserver.resources import shipped
from ctiserver.settings import Settings
from ctiserver.site.load import Site, load_site
from ctiserver.site.references import unknown_flows, unknown_pbx

log = structlog.get_logger(__name__)
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenConfiguration:
    """Everything in ``config/`` and the flows, found consistent."""

    site: Site
    world: World
    flows: Mapping[str, Flow]
    definitions: Mapping[str, Definition]
    warnings: tuple[Problem, ...]


def read(settings: Settings) -> WrittenConfiguration:
    """Read the site's files. Raises FileFault with every problem of every file; UserFault for a folder not there."""
    problems: list[Problem] = []

    def attempt(work: Callable[[], T]) -> T | None:
        try:
            return work()
        except FileFault as fault:
            problems.extend(fault.problems)
            return None

    site = attempt(lambda: load_site(settings.config_dir))
    world = None if site is None else attempt(lambda: load_world(site, settings))
    flows: dict[str, Flow] = {}
    directory = settings.flows_dir or shipped("ivr_flows")
    for path in flow_files(directory):
        flow = attempt(lambda path=path: load_flow(path))  # type: ignore[misc]
        if flow is not None:
            flows[alias_of(directory, path, flow)] = flow
    if site is None or world is None:
        raise FileFault(problems)
    names = site_names(site, world)
    for flow in flows.values():
        problems.extend(check(flow, names))
    problems.extend(unknown_flows(site.directory, sorted(flows)))
    problems.extend(unknown_pbx(site.directory, sorted(settings.pbxs)))
    definitions = attempt(
        lambda: load_definitions(
            site.directory,
            calendars=frozenset(world.calendars),
            record_types=frozenset(site.record_types),
            flows=frozenset(flows),
        )
    )
    if definitions is None or any(not problem.warning for problem in problems):
        raise FileFault(problems)
    return WrittenConfiguration(site=site, world=world, flows=flows, definitions=definitions, warnings=tuple(problems))


class Configuration:
    """What the server uses now. ``reload`` replaces flows, numbers, calendars, rosters, fees and processes; what is
    under way finishes on the version that it began with."""

    def __init__(self, settings: Settings) -> None:
        """Raises as :func:`read`."""
        self._settings = settings
        self.library = Library(settings.flows_dir or shipped("ivr_flows"), settings.data_dir / "flows")
        self._written = read(settings)
        self._take(self._written)

    @property
    def site(self) -> Site:
        return self._written.site

    @property
    def world(self) -> World:
        return self._written.world

    @property
    def definitions(self) -> Mapping[str, Definition]:
        return self._written.definitions

    def reload(self) -> tuple[str, ...]:
        """Take the files as they are now; gives the names of the flows that changed.

        Raises as :func:`read`; everything stays as it was then.
        """
        written = read(self._settings)
        changed = self._take(written)
        self._written = written
        log.info("configuration_reloaded", flows_changed=list(changed))
        return changed

    def _take(self, written: WrittenConfiguration) -> tuple[str, ...]:
        for problem in written.warnings:
            log.warning("configuration_warning", problem=str(problem))
        return self.library.reload(site_names(written.site, written.world)).changed
