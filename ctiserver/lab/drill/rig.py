"""What is drilled: a private PBX, a server, agents' telephones that answer, and an ear that is nobody's.

Everything lies in one folder, listens on loopback, and ends with the block.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from ctiserver.clock import SystemClock
from ctiserver.features.users.service import Users
from ctiserver.lab.drill.console import Console, ServerSilent
from ctiserver.lab.drill.ears import Ear, ears
from ctiserver.lab.drill.proxy import TcpProxy, line
from ctiserver.lab.drill.server import Server
from ctiserver.lab.drill.sipp import Callers, Load, Sipp
from ctiserver.lab.drill.stories import Stories
from ctiserver.lab.drill.typist import Typist
from ctiserver.lab.drill.witness import Witness, witness
from ctiserver.lab.privatepbx.debian import Progress
from ctiserver.lab.privatepbx.lifecycle import PrivatePbx, choose_ports
from ctiserver.lab.privatepbx.ports import free_port
from ctiserver.lab.privatepbx.tree import Programs
from ctiserver.model.calls.call_entry import CallEntry
from ctiserver.model.ids import CallId
from ctiserver.resources import shipped
from ctiserver.site.load import load_site
from ctiserver.store.database import Database

QUEUE, HOTLINE = "repair", "4008001234"
SUPERVISOR = "drill-supervisor"
#: Through the shipped front desk: language, repairs; then past what is said before the queue. Some press again, as
#: people do who hear the same question once more; in the queue and to an agent these keys mean nothing.
KEYS = ((0.5, "1"), (1.6, "1"), (1.2, "5"), (2.5, "1"), (2.0, "1"), (2.5, "1"))
_SEATED_WITHIN_S, _LOG_IN_TRIES = 20.0, 4
_SETTLED_WITHIN_S = 30.0
_LOOK_EVERY_S = 0.05
_ALWAYS_OPEN = 'schema: calendar/1\ncalendar: service_desk\nweekly:\n  mon-sun: ["00:00-24:00"]\n'
_QUEUES = """queues:
  repair:
    strategy: longest_idle
    members: {skills: [repair]}
    ring: 15s
    wrap_up: {limit: 1s, then: available}
  operators:
    strategy: longest_idle
    members: {skills: [repair]}
    ring: 15s
    wrap_up: {limit: 1s, then: available}
"""


@dataclass
class Rig:
    """Everything that runs. ``cut`` is the line between the server and the PBX's manager interface."""

    folder: Path
    pbx: PrivatePbx
    server: Server
    sipp: Sipp
    ear: Witness
    cut: TcpProxy
    agi_port: int
    phones: Mapping[str, str]  #: name → password
    database_url: str
    password: str
    began: datetime = field(default_factory=lambda: datetime.now(UTC))
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(13_900_000_001))

    def load(self, calls: int, *, per_s: float, hold_s: float) -> Load:
        """Callers with numbers that nobody had before."""
        numbers = [str(next(self._numbers)) for _ in range(calls)]
        return Load(numbers, HOTLINE, per_s, hold_s, KEYS)

    @asynccontextmanager
    async def calling(self, calls: int, *, per_s: float, hold_s: float) -> AsyncIterator[Callers]:
        """Callers on their way through the front desk to an agent."""
        async with self.sipp.calling(self.load(calls, per_s=per_s, hold_s=hold_s)) as callers:
            yield callers

    @asynccontextmanager
    async def listening(
        self, calls: int, *, per_s: float, hold_s: float
    ) -> AsyncIterator[tuple[Callers, dict[str, Ear]]]:
        """As :meth:`calling`, with callers who listen."""
        load = self.load(calls, per_s=per_s, hold_s=hold_s)
        async with ears(load.numbers) as heard:
            ports = {number: ear.port for number, ear in heard.items()}
            async with self.sipp.calling(replace(load, ports=ports)) as callers:
                yield callers, heard

    async def everywhere(self, callers: Callers, *, within_s: float = 60.0) -> dict[str, str]:
        """Wait until some are in the menu, some in the queue, and a third of the agents talk.

        Returns who is where, by uniqueid.
        """
        numbers, talks = set(callers.load.numbers), max(1, len(self.phones) // 3)

        def here() -> dict[str, str]:
            alive = self.ear.stories.alive(time.time())
            return {key: where for key, where in alive.items() if self.ear.stories.by_uniqueid[key].number in numbers}

        def spread(_: Stories) -> bool:
            now = list(here().values())
            return "menu" in now and "queue" in now and now.count("talk") >= talks

        await self.ear.until(spread, "callers in menu, queue and talk at once", within_s)
        return here()

    async def all_called(self, callers: Callers, *, within_s: float = 60.0) -> None:
        """Wait until every one of them has called, and the call log has them: what nobody wrote down is known to nobody
        once all have died."""
        numbers = list(callers.load.numbers)
        await self.ear.until(lambda stories: len(stories.of(numbers)) == len(numbers), "every caller there", within_s)
        until = time.monotonic() + within_s
        while not all((await self.entries(numbers)).values()) and time.monotonic() < until:
            await asyncio.sleep(_LOOK_EVERY_S)

    async def quiet(self, within_s: float = 60.0) -> None:
        """Wait until nobody is on the line."""
        await self.ear.until(lambda stories: not stories.alive(time.time()), "every caller gone", within_s)

    async def start_server(self) -> float:
        """Start the server again; seconds until it served."""
        began = time.monotonic()
        await self.server.start()
        return time.monotonic() - began

    async def right(self, within_s: float = _SETTLED_WITHIN_S) -> float:
        """Wait until the server knows what the PBX knows: as many calls, and which agents talk. Seconds it took."""
        began = time.monotonic()
        seen: object = None
        while time.monotonic() < began + within_s:
            with contextlib.suppress(ServerSilent):
                seen = await self._compared()
                if seen is None:
                    return time.monotonic() - began
            await asyncio.sleep(_LOOK_EVERY_S)
        raise ServerSilent(f"the server's state is not the PBX's after {within_s:.0f} s: {seen}")

    async def _compared(self) -> dict[str, object] | None:
        """What differs; None: nothing."""
        measures = await self.server.measures()
        team = await self.agents()
        alive = self.ear.stories.alive(time.time())
        ours = {
            "up": bool(measures.get('ctiserver_pbx_up{pbx="main"}', 0)),
            "calls": int(measures.get('ctiserver_calls{pbx="main"}', -1)),
            "talking": sorted(str(one["agent_id"]) for one in team if one["state"] == "talking"),
            "logged_in": sum(1 for one in team if one["logged_in"]),
        }
        talking = [self.ear.stories.by_uniqueid[key].agents[-1][1] for key, stage in alive.items() if stage == "talk"]
        theirs = {
            "up": True,
            "calls": len(alive),
            "talking": sorted(interface.rpartition("/")[2] for interface in talking),
            "logged_in": len(self.phones),
        }
        return None if ours == theirs else {"server": ours, "pbx": theirs}

    async def log_everybody_in(self) -> None:
        """Each telephone dials, and dials again if it was put off: on a busy machine the dead-man may strike.

        Raises ServerSilent.
        """
        for left in reversed(range(_LOG_IN_TRIES)):
            seated = {one["agent_id"] for one in await self.agents() if one["logged_in"]}
            await self.sipp.log_in({name: secret for name, secret in self.phones.items() if name not in seated})
            try:
                await self.right(_SEATED_WITHIN_S)
            except ServerSilent:
                if not left:
                    raise
            else:
                return

    async def agents(self) -> list[dict[str, object]]:
        """Presences, as the console shows them."""
        team = await self.server.console.get("/api/v1/agents")
        assert isinstance(team, dict)
        found = team["agents"]
        assert isinstance(found, list)
        return [one for one in found if isinstance(one, dict)]

    async def typist(self) -> Typist:
        """The first agent at the console, before a new record. Raises ServerSilent."""
        console = Console(self.server.console.url)
        await console.log_in(next(iter(self.phones)), self.password)
        return await Typist.at(console)

    async def entries(self, numbers: Sequence[str]) -> dict[str, list[CallEntry]]:
        """The call log's entries, by the caller's number."""
        found: dict[str, list[CallEntry]] = {number: [] for number in numbers}
        async with Database.open(self.database_url) as database, database.reading() as uow:
            before: CallId | None = None
            while page := await uow.calls.page(500, before=before):
                for entry in page:
                    if entry.ani in found:
                        found[entry.ani].append(entry)
                before = page[-1].id
        return found

    async def to_be_called_back(self, numbers: Sequence[str]) -> set[str]:
        """Callers who got nobody, and of whom the server knows that somebody is to call them."""
        async with Database.open(self.database_url) as database, database.reading() as uow:
            owed = [missed.number for missed in await uow.missed_calls.since(self.began)]
        return {number for number in numbers if any(one.endswith(number) for one in owed)}

    async def unaccounted(self, numbers: Sequence[str]) -> list[str]:
        """Callers whose ended call has neither a record nor a reason for none."""
        async with Database.open(self.database_url) as database, database.reading() as uow:
            return sorted({entry.ani for entry in await uow.calls.unaccounted(10_000)} & set(numbers))


@asynccontextmanager
async def rig(
    programs: Programs,
    folder: Path,
    *,
    agents: int,
    progress: Progress,
    ring_s: float = 0.5,
    database_url: str = "",
    settings: Mapping[str, str] | None = None,
) -> AsyncIterator[Rig]:
    """A centre under drill, every agent logged in. ``settings`` are more of ctiserver's, by environment variable.

    Raises UserFault where no Asterisk can be had, ServerSilent and LoadFailed where a part does not start.
    """
    config = folder / "config"
    shutil.copytree(shipped("config"), config)
    names = [f"agent{number}" for number in range(1, agents + 1)]
    (config / "calendars/service_desk.yaml").write_text(_ALWAYS_OPEN, encoding="utf-8")
    (config / "queues.yaml").write_text(_QUEUES, encoding="utf-8")
    phones = [f'  - {{name: {name}, extension: "{1000 + n}"}}\n' for n, name in enumerate(names, 1)]
    (config / "phones.yaml").write_text("phones:\n" + "".join(phones), encoding="utf-8")
    agi_port = free_port()
    ports = choose_ports()
    async with AsyncExitStack() as stack:
        pbx = await stack.enter_async_context(
            PrivatePbx.start(
                folder / "pbx",
                site=load_site(config),
                agi=f"127.0.0.1:{agi_port}",
                ports=replace(ports, rtp_last=min(65_000, ports.rtp_first + 1999)),
                programs=programs,
                progress=progress,
            )
        )
        cut = await stack.enter_async_context(line(pbx.ami_host, pbx.ami_port))
        (folder / "tmp").mkdir()
        environment = {
            "TMPDIR": str(folder / "tmp"),  # anyone who is killed leaves something there
            "CTISERVER_DATA_DIR": str(folder / "data"),
            "CTISERVER_PBXS__MAIN__PORT": str(cut.listens_at),
            "CTISERVER_PBXS__MAIN__SECRET": pbx.ami_secret,
            "CTISERVER_AGI__PORT": str(agi_port),
            "CTISERVER_WEB__PORT": str(free_port()),
            "CTISERVER_DATABASE__URL": database_url or f"sqlite:///{folder / 'data/ctiserver.sqlite'}",
            **(settings or {}),
        }
        server = Server(config / "ctiserver.yaml", environment, folder / "server.log")
        stack.push_async_callback(server.end)
        password = secrets.token_urlsafe(12)
        here = Rig(
            folder=folder,
            pbx=pbx,
            server=server,
            sipp=Sipp(programs, folder / "sipp", pbx.sip_port),
            ear=await stack.enter_async_context(witness(pbx)),
            cut=cut,
            agi_port=agi_port,
            phones={name: pbx.phone_secrets[name] for name in names},
            database_url=environment["CTISERVER_DATABASE__URL"],
            password=password,
        )
        (folder / "data").mkdir()
        progress("hiring the agents", 1.0)
        await _hire(here)
        progress("starting ctiserver", 1.0)
        await server.start()
        await server.console.log_in(SUPERVISOR, password)
        await stack.enter_async_context(here.sipp.phones(here.phones, ring_s))
        progress("logging the agents in", 1.0)
        await here.log_everybody_in()
        yield here


async def _hire(here: Rig) -> None:
    async with Database.open(here.database_url, upgrade=True) as database:
        users = Users(database, SystemClock())
        await users.add(SUPERVISOR, name="Drill", role="supervisor", password=here.password)
        for number, name in enumerate(here.phones, 1):
            await users.add(
                name,
                name=name,
                role="agent",
                password=here.password,
                skills=("repair",),
                extension=str(1000 + number),
                interface=f"PJSIP/{name}",
            )
