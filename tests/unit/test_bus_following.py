"""A service that follows the bus: what it missed, it reads again."""

from __future__ import annotations

import asyncio

import pytest

from ctiserver.bus import Bus


class Follower:
    """Notes what it hears, and each resync."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.seen: list[object] = []
        self.failing = 0

    def handle(self, event: int) -> None:
        self.seen.append(event)

    def resync(self) -> None:
        if self.failing:
            self.failing -= 1
            raise OSError("away")
        self.seen.append("resync")

    async def begin(self) -> None:
        self.seen.append("begin")

    async def follow(self) -> None:
        await self.bus.follow("numbers", (int,), self.handle, self.resync, begin=self.begin)


async def _closed(bus: Bus, *events: object) -> None:
    """Publish at once, with no turn for the followers in between, and close."""
    await asyncio.sleep(0)
    for event in events:
        bus.publish(event)
    bus.close()


async def test_follow_hands_on_what_comes_after_the_beginning() -> None:
    bus = Bus()
    follower = Follower(bus)
    await asyncio.gather(follower.follow(), _closed(bus, 1, "other", 2))
    assert follower.seen == ["begin", 1, 2]


async def test_follow_resyncs_after_events_were_missed_and_goes_on() -> None:
    bus = Bus(limit=2)
    follower = Follower(bus)

    async def play() -> None:
        await asyncio.sleep(0)
        for event in range(5):
            bus.publish(event)
        await asyncio.sleep(0)
        await _closed(bus, 7)

    await asyncio.gather(follower.follow(), play())
    assert follower.seen == ["begin", "resync", 7]


async def test_follow_that_was_broken_off_begins_with_a_resync() -> None:
    bus = Bus()
    follower = Follower(bus)
    following = asyncio.ensure_future(follower.follow())
    await asyncio.sleep(0)
    following.cancel()
    await asyncio.wait([following])
    bus.publish(1)  # nobody hears this
    await asyncio.gather(follower.follow(), _closed(bus, 2))
    assert follower.seen == ["begin", "resync", "begin", 2]


async def test_a_resync_that_fails_is_done_by_the_next_start() -> None:
    bus = Bus(limit=1)
    follower = Follower(bus)
    follower.failing = 1
    with pytest.raises(OSError, match="away"):
        await asyncio.gather(follower.follow(), _closed(bus, 1, 2, 3))
    await asyncio.gather(follower.follow(), _closed(bus, 4))
    assert follower.seen == ["begin", "resync", "begin", 4]


async def test_follow_that_ended_with_the_bus_owes_no_resync() -> None:
    bus = Bus()
    follower = Follower(bus)
    await asyncio.gather(follower.follow(), _closed(bus, 1))
    await asyncio.gather(follower.follow(), _closed(bus, 2))
    assert "resync" not in follower.seen


async def test_follow_batches_gives_those_that_wait_together() -> None:
    bus = Bus()
    batches: list[list[int]] = []

    async def handle(events: list[int]) -> None:
        batches.append(events)

    await asyncio.gather(bus.follow_batches("numbers", (int,), handle, lambda: None, at_most=2), _closed(bus, 1, 2, 3))
    assert batches == [[1, 2], [3]]
