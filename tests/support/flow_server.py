"""A FastAGI server with flows, everything else in memory."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ctiserver.agi.server import AgiServer
from ctiserver.agi.session import Session
from ctiserver.clock import Clock, SystemClock
from ctiserver.ivr.language.library import Library, load_world, site_names
from ctiserver.ivr.language.requests import Request
from ctiserver.ivr.runtime.ports import MemoryPorts
from ctiserver.ivr.runtime.rollout import Rollouts
from ctiserver.ivr.runtime.runner import FlowService
from ctiserver.ivr.speech.prompts import Shelf, Text
from ctiserver.model.ids import CallId, PbxName, Uniqueid, call_id
from ctiserver.resources import shipped
from ctiserver.settings import AgiSettings, PromptSettings, load_settings
from ctiserver.site.files import NumberConfig, QueueConfig
from ctiserver.site.load import load_site
from ctiserver.sound import Sound, write_wav

PBX = PbxName("main")


@dataclass
class ToneShelf(Shelf):
    """Every text is spoken by a tone, at once: tests of calls need no engine."""

    tone_s: float = 0.2

    async def render(
        self,
        texts: Sequence[Text],
        progress: Callable[[Text], None] | None = None,
        executor: Executor | None = None,
    ) -> dict[Text, str]:
        tone = Sound(8000, np.array([2000, 2000, -2000, -2000] * int(2000 * self.tone_s), np.int16))
        for text in self.missing(texts):
            write_wav(
                (self.folder / text.language / self.settings.file_name(text.language, text.text)).with_suffix(".wav"),
                tone,
            )
        return {}


class WatchedFlows(FlowService):
    """Tells what the engine asks, as it asks."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.asked: list[tuple[str, Request]] = []
        self.ended_at: list[float] = []  #: by ``time.perf_counter``, a time a session
        self._changed = asyncio.Event()

    async def _carry_out(self, call: Any, turn: Any) -> Any:
        self.asked.append((turn.state.node, turn.request))
        self._changed.set()
        return await super()._carry_out(call, turn)

    async def serve(self, session: Session) -> None:
        try:
            await super().serve(session)
        finally:
            self.ended_at.append(time.perf_counter())
            self._changed.set()

    async def until_ended(self, sessions: int, within_s: float = 30.0) -> float:
        """Wait until so many sessions have ended; gives when the last of them did."""
        async with asyncio.timeout(within_s):
            while len(self.ended_at) < sessions:
                self._changed.clear()
                await self._changed.wait()
        return self.ended_at[sessions - 1]

    async def until(self, seen: Callable[[str, Request], bool], *, after: int, within_s: float = 30.0) -> int:
        """Wait for a request that fits, from number ``after`` on; gives the number after it."""
        async with asyncio.timeout(within_s):
            while True:
                self._changed.clear()
                for number, (node, request) in enumerate(self.asked[after:], after):
                    if seen(node, request):
                        return number + 1
                await self._changed.wait()


@dataclass
class FlowServer:
    """What a test needs of the running server."""

    port: int
    server: AgiServer
    service: WatchedFlows
    ports: MemoryPorts
    library: Library

    def path(self, uniqueid: str = "1795295764.0") -> list[str]:
        """The stored path of a call: ``node outcome``."""
        return [f"{step.node} {step.outcome}" for step in self.ports.path.get(self.call_id(uniqueid), [])]

    @staticmethod
    def call_id(uniqueid: str = "1795295764.0") -> CallId:
        """The call that began with this channel."""
        return call_id(PBX, Uniqueid(uniqueid))


@contextlib.asynccontextmanager
async def flow_server(
    folder: Path,
    *,
    flow: str = "front_desk",
    calendar: str = "always",
    port: int = 0,
    ports: MemoryPorts | None = None,
    flows: Path | None = None,
    clock: Clock | None = None,
    tone_s: float = 0.2,
    queues: Mapping[str, QueueConfig] | None = None,
) -> AsyncIterator[FlowServer]:
    """Serve the shipped flows, or those of a folder; every number leads to ``flow``."""
    settings = load_settings(shipped("config", "ctiserver.yaml"), {})
    site = load_site(settings.config_dir)
    site = replace(
        site, numbers={"*": NumberConfig(flow=flow, calendar=calendar)}, queues={**site.queues, **(queues or {})}
    )
    world = load_world(site, settings)
    library = Library(flows or shipped("ivr_flows"), folder / "flows")
    library.reload(site_names(site, world))
    ports = ports or MemoryPorts()
    clock = clock or SystemClock()
    shelf = ToneShelf(PromptSettings(), folder / "prompts", tone_s=tone_s)
    service = WatchedFlows(
        site,
        world,
        library=library,
        rollouts=Rollouts(library, folder / "rollouts.json"),
        shelf=shelf,
        ports=ports,
        clock=clock,
        pbx=PBX,
    )
    server = AgiServer(AgiSettings(port=port), {"flow": service.serve}, clock)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(server.run())
        yield FlowServer(await server.listening(), server, service, ports, library)
        task.cancel()
