"""The desk as the server composes it, on a database of its own, with a bus to play the PBX on and a PBX that obeys."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, cast
from zoneinfo import ZoneInfo

from aiohttp import ClientResponse, ClientSession, ClientWebSocketResponse, CookieJar, TCPConnector
from argon2 import PasswordHasher

from ctiserver.agi.server import AgiServer
from ctiserver.app.composition import web_server
from ctiserver.app.features import Features
from ctiserver.bus import Bus
from ctiserver.clock import Clock, SystemClock
from ctiserver.feature import FeatureContext
from ctiserver.features.operations import feature as operations
from ctiserver.model.calendar.span import WorkingTime
from ctiserver.model.calls.tracking.standing import ChannelState
from ctiserver.model.events import (
    AgentConnected,
    AgentDisconnected,
    AgentRingEnded,
    AgentRinging,
    CallEnded,
    CallEvent,
    CallHeld,
    CallOutcome,
    CallStarted,
    CallSummary,
    MemberChanged,
    PbxEvent,
    RingOutcome,
)
from ctiserver.model.ids import CallId, Interface, Linkedid, PbxName, QueueName, Uniqueid, call_id
from ctiserver.model.person import Role
from ctiserver.pbx.port import Pbx
from ctiserver.pbx.trouble import Trouble
from ctiserver.resources import shipped
from ctiserver.settings import AgiSettings, PbxSettings, Settings, WebSettings
from ctiserver.site.load import Site, load_site
from ctiserver.store.database import Database
from ctiserver.store.setting_aside import SettingAside
from ctiserver.web import openapi
from ctiserver.web.hub import Hub
from ctiserver.web.server import WebServer
from tests.support.database import newest_sqlite
from tests.support.described import Described

PBX = PbxName("main")
PASSWORD = "correct horse"
REPAIR = QueueName("repair")


@dataclass
class ObedientPbx:
    """app_queue as far as agents use it: it does what it is told and says so on the bus, like the real one."""

    bus: Bus
    name: PbxName = PBX
    up: bool = True
    since: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    trouble: Trouble | None = None
    seats: dict[tuple[QueueName, Interface], MemberChanged] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    broken: Exception | None = None
    refused: int = 0  #: orders that found it broken
    calls: list[CallEvent] = field(default_factory=list)  #: of the calls that go on, as a new subscriber hears of them
    stands: dict[Interface, list[ChannelState]] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=lambda: {"DYNAMIC_FEATURES": "cti-hold"})  #: of every channel

    def standings(self, interface: Interface) -> list[ChannelState]:
        return self.stands.get(interface, [])

    def current_events(self) -> list[PbxEvent]:
        return [*self.seats.values(), *self.calls]

    async def read_tree(self, family: str) -> dict[str, str]:
        return {}

    async def queue_add(
        self, queue: QueueName, interface: Interface, *, name: str, penalty: int, paused: bool = False, reason: str = ""
    ) -> None:
        self._obey(f"add {queue} {interface} {penalty}")
        self._say(queue, interface, name=name, penalty=penalty, paused=paused, reason=reason)

    async def queue_remove(self, queue: QueueName, interface: Interface) -> None:
        self._obey(f"remove {queue} {interface}")
        if (queue, interface) in self.seats:
            self._say(queue, interface, present=False)
            del self.seats[queue, interface]

    async def set_global(self, name: str, value: str) -> None:
        """Nothing here reads a dialplan's globals."""

    async def queue_pause(
        self, interface: Interface, *, paused: bool, reason: str, queue: QueueName | None = None
    ) -> None:
        self._obey(f"{'pause' if paused else 'unpause'} {interface} {reason}".strip())
        for seat in [key for key in self.seats if key[1] == interface and queue in (None, key[0])]:
            self._say(*seat, paused=paused, reason=reason)

    async def originate(
        self, channel: str, *, context: str, exten: str, variables: Mapping[str, str] | None = None, **_: object
    ) -> None:
        set_ = "".join(f" {key}={value}" for key, value in (variables or {}).items())
        self._obey(f"originate {channel} {exten}@{context}{set_}")

    async def set_variable(self, channel: str, variable: str, value: str) -> None:
        self._obey(f"set {channel} {variable}")

    async def redirect(self, channel: str, *, context: str, exten: str) -> None:
        self._obey(f"redirect {channel} {context},{exten}")

    async def blind_transfer(self, channel: str, *, context: str, exten: str) -> None:
        self._obey(f"transfer {channel} {context},{exten}")

    async def variable(self, channel: str, name: str) -> str:
        return self.variables.get(name, "")

    async def mute(self, channel: str, *, muted: bool) -> None:
        self._obey(f"{'mute' if muted else 'unmute'} {channel}")

    async def mute_recording(self, channel: str, *, muted: bool) -> bool:
        self._obey(f"{'mask' if muted else 'unmask'} {channel}")
        return True

    async def press(self, channel: str, keys: str) -> None:
        """The feature cti-hold, as the dialplan has it."""
        self._obey(f"press {channel} {keys}")
        held = keys == "*4"
        self.variables["CTI_HELD"] = "1" if held else ""
        for interface, standings in self.stands.items():
            self.stands[interface] = [replace(it, held=held) if it.channel == channel else it for it in standings]
            for it in self.stands[interface]:
                self.bus.publish(
                    CallHeld(
                        pbx=self.name,
                        at=datetime.now(UTC),
                        call_id=it.call_id,
                        linkedid=Linkedid("1"),
                        interface=interface,
                        held=held,
                    )
                )

    async def hangup(self, channel: str, *, cause: int = 16) -> None:
        self._obey(f"hangup {channel}")

    def _obey(self, order: str) -> None:
        if self.broken is not None:
            self.refused += 1
            raise self.broken
        self.told.append(order)

    def _say(
        self,
        queue: QueueName,
        interface: Interface,
        *,
        name: str = "",
        penalty: int = 0,
        paused: bool = False,
        reason: str = "",
        present: bool = True,
    ) -> None:
        event = MemberChanged(
            pbx=self.name,
            at=datetime.now(UTC),
            queue=queue,
            interface=interface,
            name=name,
            present=present,
            dynamic=True,
            paused=paused,
            pause_reason=reason,
            penalty=penalty,
            status="free",
            in_call=False,
        )
        self.seats[queue, interface] = event
        self.bus.publish(event)


@dataclass
class PhoneLine:
    """One call, played on the bus as the tracker would publish it."""

    bus: Bus
    uniqueid: str
    ani: str = "13800000001"
    dnis: str = "4008001234"
    queue: QueueName | None = REPAIR

    @property
    def id(self) -> CallId:
        return call_id(PBX, Uniqueid(self.uniqueid))

    def _common(self) -> dict[str, Any]:
        return {"pbx": PBX, "at": datetime.now(UTC), "call_id": self.id, "linkedid": Linkedid(self.uniqueid)}

    def start(self, caller_name: str = "") -> None:
        self.bus.publish(
            CallStarted(
                **self._common(),
                uniqueid=Uniqueid(self.uniqueid),
                channel="PJSIP/trunk-00000001",
                direction="inbound",
                ani=self.ani,
                caller_name=caller_name,
                dnis=self.dnis,
                context="cti-inbound",
            )
        )

    def ring(self, interface: str) -> None:
        self.bus.publish(AgentRinging(**self._common(), interface=Interface(interface), queue=self.queue))

    def ring_ended(self, interface: str, outcome: RingOutcome = "no_answer") -> None:
        self.bus.publish(
            AgentRingEnded(
                **self._common(), interface=Interface(interface), queue=self.queue, outcome=outcome, ring_ms=1000
            )
        )

    def answer(self, interface: str) -> None:
        self.ring_ended(interface, "answered")
        self.bus.publish(AgentConnected(**self._common(), interface=Interface(interface), queue=self.queue))

    def hang_up(self, interface: str) -> None:
        self.bus.publish(
            AgentDisconnected(**self._common(), interface=Interface(interface), queue=self.queue, talk_ms=1000)
        )

    def end(self, outcome: CallOutcome = "abandoned") -> None:
        now = datetime.now(UTC)
        summary = CallSummary(
            call_id=self.id,
            pbx=PBX,
            linkedids=(Linkedid(self.uniqueid),),
            direction="inbound",
            ani=self.ani,
            caller_name="",
            dnis=self.dnis,
            started_at=now,
            answered_at=None,
            ended_at=now,
            outcome=outcome,
            answered_by=(),
            queue_visits=(),
            transfers=(),
            hangup_cause=16,
            hangup_by="caller",
            segments=(),
            reconstructed=False,
            complete=True,
        )
        self.bus.publish(CallEnded(**self._common(), summary=summary))


@dataclass
class Desk:
    """Every part that a test may want to touch."""

    url: str
    server: WebServer
    hub: Hub
    bus: Bus
    pbx: ObedientPbx
    database: Database
    site: Site
    features: Features
    context: FeatureContext
    _lines: int = 0

    def line(self, **changes: Any) -> PhoneLine:
        """A new call's line."""
        self._lines += 1
        return PhoneLine(self.bus, f"17637{self._lines:05d}.{self._lines}", **changes)

    async def add_user(self, login: str, role: Role, **more: Any) -> None:
        """An account with the tests' password; agents are given extension, phone and the skill ``repair``."""
        if role in ("agent", "supervisor"):
            more = {"extension": f"1{abs(hash(login)) % 100000:05d}", "skills": ("repair",), **more}
        await self.features.users.add(login, name=more.pop("name", login.title()), role=role, password=PASSWORD, **more)
        await self.features.agents.load()


@asynccontextmanager
async def desk(
    folder: Path,
    *,
    site: Site | None = None,
    web: WebSettings | None = None,
    clock: Clock | None = None,
    pbxs: dict[str, PbxSettings] | None = None,
    hours: WorkingTime | None = None,
    bus: Bus | None = None,
    hasher: PasswordHasher | None = None,
) -> AsyncIterator[Desk]:
    """The desk on a real port, with its services running. Without ``hours`` there is no calendar."""
    clock = clock or SystemClock()
    bus = bus or Bus()
    site = site or load_site(shipped("config"))
    async with Database.open(newest_sqlite(folder)) as database:
        hub = Hub(clock)
        pbx = ObedientPbx(bus)
        settings = Settings(data_dir=folder / "data", web=web or WebSettings(port=0), pbxs=pbxs or {})
        # The features, routes, topics and rules are those that `ctiserver serve` has, so that the access matrix is the
        # real one.
        context = FeatureContext(
            settings=settings,
            site=site,
            clock=clock,
            bus=bus,
            database=database,
            hub=hub,
            aside=SettingAside(database, clock),
            pbxs={PBX: cast(Pbx, pbx)},
            going_on=lambda _: {event.call_id for event in pbx.calls},
            closed=lambda calendar, at: False,
            hours=lambda: hours or WorkingTime(ZoneInfo("UTC")),
            password_hasher=hasher or PasswordHasher(time_cost=1, memory_cost=8, parallelism=1),
        )
        features = Features(context)
        agi = AgiServer(AgiSettings(port=0), {}, clock)
        watched = operations.build(context, operations.Needs(agi=agi, links={}, workflow_runs=lambda: True))
        contributions = [*features.contributions, watched]
        server = web_server(settings.web, hub, features.sessions, contributions)
        async with server.running(), asyncio.TaskGroup() as group:
            tasks = [group.create_task(run()) for one in contributions for run in one.services.values()]
            listening = group.create_task(agi.run())
            await agi.listening()
            yield Desk(server.url, server, hub, bus, pbx, database, site, features, context)
            bus.close()
            await asyncio.wait(tasks, timeout=5)
            listening.cancel()


class Browser:
    """What a browser does, without one: cookies, Origin, JSON."""

    #: What the API says of itself, to which every answer is held; all servers of one version say the same.
    _described: ClassVar[Described | None] = None

    def __init__(self, url: str, *, origin: str | None = None) -> None:
        self.url = url
        self._origin = url if origin is None else origin
        # No limit of its own: a hundred sockets at once would else wait for each other.
        self.http = ClientSession(cookie_jar=CookieJar(unsafe=True), connector=TCPConnector(limit=0))

    async def __aenter__(self) -> Browser:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.close()

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> ClientResponse:
        """One request; the answer's body is read."""
        sent = {"Origin": self._origin, **{name.replace("_", "-"): value for name, value in headers.items()}}
        if not sent["Origin"]:
            del sent["Origin"]
        async with self.http.request(
            method, f"{self.url}{path}", json=body, headers=sent, allow_redirects=False
        ) as response:
            await response.read()
            return response

    async def json(self, method: str, path: str, body: Any = None, *, status: int = 200) -> Any:
        """The JSON of an answer that has this status."""
        response = await self.ask(method, path, body)
        text = await response.text()
        assert response.status == status, f"{method} {path}: {response.status} {text}"
        said = await response.json(content_type=None) if text else None
        if path.startswith("/api/v1/") and path != openapi.PATH:
            if Browser._described is None:
                Browser._described = Described(await (await self.ask("GET", openapi.PATH)).json())
            Browser._described.hold(method, path, status, said)
        return said

    @asynccontextmanager
    async def socket(self, **headers: str) -> AsyncIterator[ClientWebSocketResponse]:
        """A WebSocket opened with a fresh ticket."""
        ticket = (await self.json("POST", "/api/v1/tickets", status=201))["ticket"]
        async with self.http.ws_connect(
            f"{self.url}/ws?ticket={ticket}", headers={"Origin": self._origin, **headers}
        ) as socket:
            yield socket

    async def log_in(self, login: str, password: str = PASSWORD) -> Any:
        """Log in, and who that is."""
        return await self.json("POST", "/api/v1/session", {"login": login, "password": password}, status=201)
