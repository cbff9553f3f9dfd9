"""An agent who writes on while parts fail, on a page that saves as they type and tries again what was not taken."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from ctiserver.lab.drill.console import Console, ServerSilent
from ctiserver.lab.drill.finding import Finding

_WORD_EVERY_S = 0.3
_TRY_AGAIN_S = 0.5


@dataclass
class Typist:
    """One agent at one record. What the page does is what the console's own page does (static/lib/draft.js)."""

    console: Console
    record_id: str
    text: str = ""  #: what stands on the page
    saved: str = ""  #: what the server has said that it has
    longest_s: float = 0.0  #: that a save took, or was waited for without success
    put_off: int = 0  #: times that the server said "not now, try again" (503, away), or nothing
    strange: list[str] = field(default_factory=list)  #: answers that were neither
    _unsure: set[str] = field(default_factory=set)  #: sent and not confirmed: it may have been kept

    @classmethod
    async def at(cls, console: Console) -> Typist:
        """With a new record. Raises ServerSilent."""
        status, said = await console.ask("POST", "/api/v1/records", {"type": "repair"})
        if status != 201 or not isinstance(said, dict):
            raise ServerSilent(f"no record can be opened: {status} {said}")
        return cls(console, str(said["id"]))

    @contextlib.asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        """Write for the length of the block; a save that is under way at its end is waited for."""
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._type(stop))
            group.create_task(self._save_again_and_again(stop))
            try:
                yield
            finally:
                stop.set()

    async def kept(self, finding: Finding, within_s: float) -> None:
        """See whether the server has, within this time, every word."""
        deadline = time.monotonic() + within_s
        while self.saved != self.text and not self.strange and time.monotonic() < deadline:
            await self._save()
        there = await self._there()
        finding.figures["words_an_agent_typed_meanwhile"] = len(self.text.split())
        finding.figures |= {"saves_put_off": self.put_off, "save_took_longest_s": round(self.longest_s, 1)}
        finding.none("answers_but_saved_or_try_again", self.strange)
        finding.must("nothing that the agent typed is lost", there == self.text and bool(self.text))

    async def _there(self) -> str:
        """What the server has."""
        status, record = await self.console.ask("GET", f"/api/v1/records/{self.record_id}")
        return str(record["notes"]) if status == 200 and isinstance(record, dict) else f"{status}: {record}"

    async def _type(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            self.text += f"word{len(self.text.split())} "
            await asyncio.sleep(_WORD_EVERY_S)

    async def _save_again_and_again(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await self._save()

    async def _save(self) -> None:
        now = self.text
        change, began = {"was": self.saved, "now": now}, time.monotonic()
        status, said = await self.console.ask("PATCH", f"/api/v1/records/{self.record_id}", {"notes": change})
        self.longest_s = max(self.longest_s, time.monotonic() - began)
        code = said.get("code") if isinstance(said, dict) else None
        if status == 200:
            self.saved = now
        elif status == 0 or (status, code) == (503, "away"):
            self.put_off += 1
            self._unsure.add(now)
        elif code == "conflict" and (there := await self._there()) in self._unsure:
            self.saved = there
        else:
            self.strange.append(f"{status} {said}")
        await asyncio.sleep(_TRY_AGAIN_S)
