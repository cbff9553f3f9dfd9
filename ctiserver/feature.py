"""What a feature is given to build itself, and what it adds to the server.

``ctiserver/features/<x>/feature.py`` holds ``build(context, needs) -> contribution``; ``Needs`` is a frozen dataclass
of the functions that the feature takes from other features, or is left out where it takes none.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeVar

from argon2 import PasswordHasher

from ctiserver.bus import Bus
from ctiserver.clock import Clock
from ctiserver.model.calendar.span import WorkingTime
from ctiserver.model.ids import CallId, PbxName
from ctiserver.pbx.port import Pbx
from ctiserver.settings import Settings
from ctiserver.site.load import Site
from ctiserver.store.database import Database
from ctiserver.store.setting_aside import SettingAside
from ctiserver.web.access import Rule
from ctiserver.web.hub import Hub, Topic
from ctiserver.web.routes import Route

S_co = TypeVar("S_co", covariant=True)

Service = Callable[[], Awaitable[None]]


def _no_signs(_: PbxName) -> Collection[str]:
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureContext:
    """What every feature is built on: the real thing in a server, simulated parts in tests."""

    settings: Settings
    site: Site
    clock: Clock
    bus: Bus
    database: Database
    hub: Hub
    aside: SettingAside
    pbxs: Mapping[PbxName, Pbx]  #: in the order of ctiserver.yaml; the first is that of agents who name none
    going_on: Callable[[PbxName], Collection[CallId]]  #: the calls that a PBX, whose link is up, has now
    closed: Callable[[str, datetime], bool]  #: whether the calendar of this name is closed then
    hours: Callable[[], WorkingTime]  #: the calendars as they are now
    signs: Callable[[PbxName], Collection[str]] = _no_signs  #: a PBX's secret systemnames, the present one first
    password_hasher: PasswordHasher | None = None  #: None: the library's own strength

    @property
    def main(self) -> PbxName:
        """The PBX of agents who name none."""
        return next(iter(self.pbxs))


@dataclass(frozen=True, slots=True, kw_only=True)
class Contribution(Generic[S_co]):
    """What one feature adds to the server."""

    service: S_co  #: its use cases; None for a feature that has routes alone
    routes: Sequence[Route] = ()
    topics: Sequence[Topic] = ()
    rules: Mapping[str, Rule] = field(default_factory=dict)  #: who may reach what a path parameter names
    services: Mapping[str, Service] = field(default_factory=dict)
    """Run for as long as the server does. Those that listen to the bus end by themselves, once they have dealt with all
    that was heard."""
    background_jobs: Mapping[str, Service] = field(default_factory=dict)  #: likewise, but cancelled at the end
    start: Service | None = None  #: awaited once, before anything listens
    stop: Callable[[], None] | None = None  #: called when the server begins to end: start nothing new
