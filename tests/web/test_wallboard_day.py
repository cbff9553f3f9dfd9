"""A day at the board leaves nothing in the server's memory, and each figure still leads to all of the day's calls."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from aiohttp import ClientWebSocketResponse

from ctiserver.clock import ManualClock
from ctiserver.model.events import QueueOutcome
from tests.support.desk import REPAIR, Browser, Desk, desk
from tests.support.eventually import eventually
from tests.support.queue_caller import Caller

HOURS = 8
CALLS_AN_HOUR = 6
_EVER = datetime(2026, 1, 1, tzinfo=UTC)
OUTCOMES: tuple[QueueOutcome, ...] = ("answered", "answered", "abandoned", "timeout")


def _held() -> Counter[str]:
    """How many objects of our own there are, by kind; tasks as well."""
    gc.collect()
    kinds = Counter(type(it).__name__ for it in gc.get_objects() if str(type(it).__module__).startswith("ctiserver."))
    return kinds + Counter(task=len(asyncio.all_tasks()))


async def _hour(running: Desk, clock: ManualClock, begun: int) -> None:
    for number in range(begun, begun + CALLS_AN_HOUR):
        caller = Caller(running, clock.now(), f"139{number:08d}")
        line = running.line(ani=f"138{number:08d}")
        caller.enter()
        line.start()
        line.ring("PJSIP/agent1")
        clock.advance(20)
        caller.leave(OUTCOMES[number % len(OUTCOMES)], 20)
        line.answer("PJSIP/agent1")
        line.hang_up("PJSIP/agent1")
        line.end("answered")
        caller.end()
    clock.advance(3600 - 20 * CALLS_AN_HOUR)
    offered = begun + CALLS_AN_HOUR

    async def settled() -> bool:
        """All that was played is counted, written down, and told."""
        async with running.database.reading() as uow:
            written = [entry for entry in await uow.calls.since(_EVER) if entry.complete]
            missed = await uow.missed_calls.since(_EVER)
        counted = running.features.board.figures(REPAIR).figures.offered
        return (counted, len(written), len(missed)) == (offered, 2 * offered, offered)

    await eventually(settled, within_s=60)
    await running.features.board.let_go_of_the_logged()
    running.features.pops.dismiss("agent1")  # type: ignore[arg-type]


async def _watch(socket: ClientWebSocketResponse, shown: list[int]) -> None:
    """Read on, as a page does: how many calls the board shows."""
    async for message in socket:
        data = message.json().get("data") or {}
        if data.get("queue", {}).get("name") == REPAIR:
            shown.append(data["queue"]["offered"])


async def _shows(shown: list[int], offered: int) -> None:
    async def so() -> bool:
        return shown[-1] == offered

    await eventually(so, within_s=60)


async def test_a_day_leaves_nothing_behind(tmp_path: Path) -> None:
    clock = ManualClock(datetime(2026, 11, 21, 1, tzinfo=UTC))  # nine in the morning of the site
    async with desk(tmp_path, clock=clock) as running, Browser(running.url) as browser:
        await running.add_user("agent1", "agent", interface="PJSIP/agent1")
        await running.add_user("lead", "supervisor")
        await browser.log_in("lead")
        async with browser.socket() as socket, asyncio.TaskGroup() as group:
            telling = group.create_task(running.features.board.tell())
            await socket.send_json({"op": "subscribe", "topic": "board:all"})
            shown = [0]
            watching = group.create_task(_watch(socket, shown))

            for hour in range(HOURS):
                await _hour(running, clock, hour * CALLS_AN_HOUR)
                await _shows(shown, (hour + 1) * CALLS_AN_HOUR)
                if hour == 0:
                    after_an_hour = _held()

            async def grown() -> Counter[str]:
                return _held() - after_an_hour

            await eventually(grown, lambda more: not more, within_s=60)
            figures = running.features.board.figures(REPAIR).figures
            for figure, share in (("offered", 4), ("answered", 2), ("abandoned", 1), ("left_otherwise", 1)):
                answer = await browser.json("GET", f"/api/v1/queues/{REPAIR}/counted?figure={figure}")
                entered = [visit["entered_at"] for visit in answer["visits"]]
                assert answer["count"] == getattr(figures, figure) == len(entered) == share * HOURS * CALLS_AN_HOUR // 4
                assert entered == sorted(entered, reverse=True)
            clock.advance(86_400)
            assert [queue.figures.offered for queue in running.features.board.everything()] == [0, 0]
            assert await running.features.board.counted(REPAIR, "offered", 10) == []
            telling.cancel()
            watching.cancel()
