"""The one place where everything is built and joined."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from zoneinfo import ZoneInfo

import structlog

from ctiserver import memory
from ctiserver.agi.server import AgiServer
from ctiserver.app.configuration import Configuration
from ctiserver.app.features import Features
from ctiserver.app.flow_ports import StoreFlowPorts
from ctiserver.bus import Bus
from ctiserver.clock import Clock, SystemClock
from ctiserver.errors import CtiError, UserFault
from ctiserver.feature import Contribution, FeatureContext
from ctiserver.features.agents.feature import AgentPhones
from ctiserver.features.calls import feature as calls
from ctiserver.features.dispatch import feature as dispatch
from ctiserver.features.operations import feature as operations
from ctiserver.features.queues import feature as queues
from ctiserver.features.tracing import feature as tracing
from ctiserver.ivr.runtime.ports import PortFailed
from ctiserver.ivr.runtime.rollout import Rollouts
from ctiserver.ivr.runtime.runner import FlowService
from ctiserver.ivr.speech.prompts import Shelf
from ctiserver.ivr.speech.texts import in_one_sentence, said, unspoken
from ctiserver.metrics import watch_loop
from ctiserver.model.calendar.span import WorkingTime
from ctiserver.model.ids import PbxName
from ctiserver.model.message import NotDead
from ctiserver.model.work.stock import NotEnough
from ctiserver.model.work.work_order import IllegalAct
from ctiserver.net import HttpClient
from ctiserver.pbx.first_tries import FirstTries
from ctiserver.pbx.link import PbxLink
from ctiserver.pbx.port import PbxRefused
from ctiserver.resources import shipped
from ctiserver.settings import Settings, WebSettings
from ctiserver.site.load import Site
from ctiserver.store import faults
from ctiserver.store.database import Database
from ctiserver.store.setting_aside import SettingAside
from ctiserver.supervise import Failing, Supervisor
from ctiserver.web import problems
from ctiserver.web.access import Access
from ctiserver.web.connection import HubLimits
from ctiserver.web.hub import Hub
from ctiserver.web.server import WebServer
from ctiserver.web.sessions import Sessions

log = structlog.get_logger(__name__)

#: What errors of layers that know nothing of HTTP mean in it.
REFUSALS: Mapping[type[CtiError], type[problems.Refusal]] = {
    faults.NotFound: problems.NotFound,
    faults.Conflict: problems.Conflict,
    faults.StoreUnavailable: problems.Away,
    faults.Unfit: problems.Unfit,
    PbxRefused: problems.Conflict,
    IllegalAct: problems.Conflict,
    NotDead: problems.Conflict,
    NotEnough: problems.Conflict,
}
#: Without these the server is of no use, so that a setting which makes them impossible ends it, at its start alone;
#: FastAGI and the links of the PBXs are such as well.
_ESSENTIAL = frozenset({"workflow"})
_BUS_DRAIN_S = 5.0


class _Supervised:
    """What the supervisor knows, for those who are built before it."""

    by: Supervisor | None = None

    @property
    def failing(self) -> tuple[Failing, ...]:
        return () if self.by is None else self.by.failing


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """A running server, as demo, drills and tests see it."""

    settings: Settings
    site: Site
    clock: Clock
    bus: Bus
    database: Database
    url: str  #: of the console
    agi_port: int
    features: Features
    links: Mapping[PbxName, PbxLink]
    supervisor: Supervisor
    hang_ups: calls.HangUps
    reload: Callable[[], tuple[str, ...]]
    """Take flows, numbers, calendars, rosters, fees and processes again; raises FileFault and changes nothing if any
    of them does not check."""

    async def ready(self, within_s: float) -> None:
        """Wait until every PBX's link is up. Raises TimeoutError."""
        async with asyncio.timeout(within_s):
            for link in self.links.values():
                await link.ready()


@asynccontextmanager
async def running(settings: Settings, clock: Clock | None = None) -> AsyncIterator[App]:
    """The whole server for the length of the block. Whatever can be refused is refused before anything listens.

    Raises UserFault for what an admin can mend: alone at the start, inside an ExceptionGroup later.
    """
    clock = clock or SystemClock()
    _prepare(settings)
    configuration = Configuration(settings)
    site = configuration.site

    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(
            Database.open(settings.database_url, upgrade=True, readers=settings.database.pool_size)
        )
        http = await stack.enter_async_context(
            HttpClient.open(settings.http.allow_hosts, timeout_s=settings.http.timeout_s)
        )
        bus = Bus(clock.now)
        hub = Hub(clock, HubLimits(queued_frames=settings.web.websocket_queue))
        first_tries = FirstTries(map(PbxName, settings.pbxs))
        links = {
            PbxName(name): PbxLink(PbxName(name), pbx, bus, clock, first_tries) for name, pbx in settings.pbxs.items()
        }
        context = _context(
            configuration, settings=settings, clock=clock, database=database, links=links, bus=bus, hub=hub
        )
        features = Features(context)
        workflow = dispatch.build_workflow(context, lambda: configuration.definitions, features.orders_changed)
        flows, shelf = _flows(context, configuration, features, http, console=lambda: web.url)
        phones = AgentPhones(features.agents, shelf, site, language=settings.languages[0])

        agi = AgiServer(settings.agi, {"flow": flows.serve, **phones.handlers()}, clock, signs=partial(_signs, links))
        hours = queues.build_fallback_hours(context, lambda: configuration.site)
        hang_ups = calls.build_hang_ups(context, flows, features.catching_up)
        supervised = _Supervised()
        watched = operations.Needs(
            agi=agi, links=links, workflow_runs=workflow.service.ready.is_set, failing=lambda: supervised.failing
        )
        contributions: list[Contribution[object]] = [
            *features.contributions,
            operations.build(context, watched),
            Contribution(service=None, services={"hung-up-flows": hang_ups.run}),
            hours,
            workflow,
            Contribution(service=None, background_jobs={"loop-lag": watch_loop, "hang-ups-unheard": hang_ups.sweep}),
            Contribution(service=None, background_jobs={"memory": memory.give_back}),
            tracing.build(context),
        ]
        web = web_server(settings.web, hub, features.sessions, contributions)
        await _each_start(contributions)
        await stack.enter_async_context(web.running())
        async with asyncio.TaskGroup() as group:
            supervisor = Supervisor(group, away=(faults.StoreUnavailable,))
            supervised.by = supervisor
            supervisor.start("agi", agi.run, essential=True)
            agi_port = await agi.listening()
            _supervise(supervisor, contributions)
            texts_changed = asyncio.Event()
            supervisor.start("prompts", lambda: _keep_spoken(shelf, configuration, texts_changed))
            await asyncio.sleep(0)  # let the services subscribe before the first PBX speaks
            for name, link in links.items():
                supervisor.start(f"pbx-{name}", link.run, essential=True)

            def reload() -> tuple[str, ...]:
                changed = configuration.reload()
                flows.configure(configuration.site, configuration.world)
                texts_changed.set()
                return changed

            try:
                yield App(
                    settings=settings,
                    site=site,
                    clock=clock,
                    bus=bus,
                    database=database,
                    url=web.url,
                    agi_port=agi_port,
                    features=features,
                    links=links,
                    supervisor=supervisor,
                    hang_ups=hang_ups,
                    reload=reload,
                )
                # A clean end: who is in a menu may finish, with everything there that the flow needs.
                _each_stop(contributions)
                await agi.drain(settings.agi.drain_s)
                with suppress(PortFailed):
                    await flows.store_kept()
                await supervisor.stop("agi")
            finally:
                await _wind_down(supervisor, bus, links, [name for one in contributions for name in one.services])


def _prepare(settings: Settings) -> None:
    """Refuse settings without a PBX, and make the data folder."""
    if not settings.pbxs:
        raise UserFault("no PBX is named", where="ctiserver.yaml: pbxs", fix="Name at least one, with its AMI account")
    if not settings.data_dir.exists():
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        settings.data_dir.chmod(0o711)  # Asterisk, another user, passes through it to the prompts


def _signs(links: Mapping[PbxName, PbxLink], pbx: str) -> Collection[str]:
    """The secret systemnames of a PBX; those of the first one for a request that names none."""
    link = links.get(PbxName(pbx)) if pbx else next(iter(links.values()), None)
    return link.signs if link is not None else ()


def _context(
    configuration: Configuration,
    *,
    settings: Settings,
    clock: Clock,
    database: Database,
    links: Mapping[PbxName, PbxLink],
    bus: Bus,
    hub: Hub,
) -> FeatureContext:
    zone = ZoneInfo(settings.time_zone)

    def closed(calendar: str, at: datetime) -> bool:
        calendars = configuration.world.calendars
        return calendar in calendars and calendars[calendar].at(at).state != "open"

    return FeatureContext(
        settings=settings,
        site=configuration.site,
        clock=clock,
        bus=bus,
        database=database,
        hub=hub,
        aside=SettingAside(database, clock),
        pbxs=links,
        going_on=lambda pbx: {call.call_id for call in links[pbx].calls()},
        closed=closed,
        hours=lambda: WorkingTime(zone, configuration.world.calendars),
        signs=lambda pbx: links[pbx].signs,
    )


def _flows(
    context: FeatureContext,
    configuration: Configuration,
    features: Features,
    http: HttpClient,
    *,
    console: Callable[[], str],
) -> tuple[FlowService, Shelf]:
    """What carries out flows, and the prompts that they speak."""
    settings, site, library = context.settings, context.site, configuration.library
    ports = StoreFlowPorts(
        context.clock,
        pbx=context.main,
        agents=features.agents,
        calls=features.calls,
        paths=features.paths,
        lookups=features.lookups,
        dialling=features.dialling,
        queues=features.queues,
        call_records=features.call_records,
        followups=features.followups,
        recordings=features.recordings,
        promises=features.promises,
        http=http,
    )
    shelf = Shelf(
        settings.prompts,
        settings.prompts_dir,
        recordings=site.directory / "prompts",
        shipped=shipped("ivr_flows") / "prompts",
    )
    flows = FlowService(
        site,
        configuration.world,
        library=library,
        rollouts=Rollouts(library, settings.data_dir / "rollouts.json"),
        shelf=shelf,
        ports=ports,
        clock=context.clock,
        pbx=context.main,
        console=console,
    )
    return flows, shelf


def web_server(
    settings: WebSettings, hub: Hub, sessions: Sessions, contributions: Sequence[Contribution[object]]
) -> WebServer:
    """The web server with all that features contribute to it."""
    hub.add([topic for one in contributions for topic in one.topics])
    return WebServer(
        settings,
        sessions=sessions,
        access=Access({parameter: rule for one in contributions for parameter, rule in one.rules.items()}),
        hub=hub,
        routes=[route for one in contributions for route in one.routes],
        refusals=REFUSALS,
    )


async def _each_start(contributions: Iterable[Contribution[object]]) -> None:
    for one in contributions:
        if one.start is not None:
            await one.start()


def _supervise(supervisor: Supervisor, contributions: Iterable[Contribution[object]]) -> None:
    """Start every service and background job, feature by feature."""
    for one in contributions:
        for name, service in {**one.services, **one.background_jobs}.items():
            supervisor.start(name, service, essential=name in _ESSENTIAL)


def _each_stop(contributions: Iterable[Contribution[object]]) -> None:
    for one in contributions:
        if one.stop is not None:
            one.stop()


async def _keep_spoken(shelf: Shelf, configuration: Configuration, texts_changed: asyncio.Event) -> None:
    """Speak what no file speaks yet, now and after each reload, so that no caller waits for an engine."""
    while True:
        texts = said([*configuration.library.flows.values()], configuration.site)
        missing = await asyncio.to_thread(unspoken, shelf, texts)
        failed = await shelf.render([one.text for one in missing])
        if failed:
            reason = next(iter(failed.values()))
            silent = [one for one in missing if one.text in failed]
            log.warning("prompts_missing", said=in_one_sentence(silent), why=reason)
        elif missing:
            log.info("prompts_spoken", spoken=len(missing))
        texts_changed.clear()
        await texts_changed.wait()


async def _wind_down(supervisor: Supervisor, bus: Bus, links: Iterable[PbxName], services: Iterable[str]) -> None:
    """Hear no more of the PBXs, let everybody finish what was heard, then end the rest."""
    for name in links:
        await supervisor.stop(f"pbx-{name}")
    bus.close()
    with suppress(TimeoutError):
        async with asyncio.timeout(_BUS_DRAIN_S):
            await supervisor.finished(services)
    supervisor.stop_all()
