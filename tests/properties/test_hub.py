"""The hub, driven at random: whatever is published, followed, left or read when, each browser sees a true sequence."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from ctiserver.clock import ManualClock
from ctiserver.model.ids import UserId
from ctiserver.model.json_value import Json
from ctiserver.web.access import EVERYBODY, Person
from ctiserver.web.connection import CLOSE_TOO_SLOW, Connection, HubLimits
from ctiserver.web.hub import Hub, Topic

PERSON = Person(user_id=UserId("U"), login="u", name="U", role="agent", language="en", agent_id=None)
LIMITS = HubLimits(queued_frames=8, queued_bytes=4096, subscriptions=2)
TOPICS = ("count:a", "count:b", "count:c")


class World:
    """A hub whose topics are counters, and browsers that read when told to."""

    def __init__(self) -> None:
        self.hub = Hub(ManualClock(datetime(2026, 11, 21, tzinfo=UTC)), LIMITS)
        self.hub.add([Topic(kind="count", roles=EVERYBODY, may=lambda person, key: True, snapshot=self.snapshot)])
        self.values = dict.fromkeys(TOPICS, 0)
        self.gate = asyncio.Event()
        self.browsers = [Seen(self) for _ in range(3)]

    async def snapshot(self, key: str) -> Json:
        await self.gate.wait()
        return self.values[f"count:{key}"]

    def publish(self, topic: str) -> None:
        self.values[topic] += 1
        kind, _, key = topic.partition(":")
        self.hub.publish(kind, key, "changed", self.values[topic])


class Seen:
    """What one browser was sent, checked frame by frame as the console does."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.client = Connection(PERSON, LIMITS)
        self.following: asyncio.Task[None] | None = None
        self.values: dict[str, int] = {}
        self.seqs: dict[str, int] = {}
        self.over = 0  #: how often it asked for more than it may follow,
        self.refused = 0  #: and how often it was told so

    async def follow(self, topic: str) -> None:
        await self.settle()
        topics = self.client.topics
        self.over += topic not in topics and len(topics) >= LIMITS.subscriptions
        self.following = asyncio.ensure_future(self.world.hub._follow(self.client, topic))
        await asyncio.sleep(0)

    async def settle(self) -> None:
        """The connection's reader takes one message at a time."""
        if self.following is not None:
            self.world.gate.set()
            await self.following
            self.world.gate.clear()
            self.following = None

    async def leave(self, topic: str) -> None:
        await self.settle()
        self.world.hub._unfollow(self.client, topic)

    def read(self) -> None:
        while (frame := self.client.take()) is not None:
            said = json.loads(frame)
            topic = said["topic"]
            match said["kind"]:
                case "snapshot":
                    self.values[topic], self.seqs[topic] = said["data"], said["seq"]
                case "delta":
                    assert said["seq"] == self.seqs[topic] + 1, "a gap"
                    assert said["data"] >= self.values[topic], "back in time"
                    self.values[topic], self.seqs[topic] = said["data"], said["seq"]
                case "refused":
                    self.refused += 1
                    assert self.refused <= self.over


steps = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.sampled_from(TOPICS), st.integers(1, 12)),
        st.tuples(st.sampled_from(["follow", "leave"]), st.sampled_from(TOPICS), st.integers(0, 2)),
        st.tuples(st.sampled_from(["read", "settle"]), st.just(""), st.integers(0, 2)),
    ),
    max_size=40,
)


@settings(max_examples=300, deadline=None)
@given(steps)
def test_each_browser_sees_a_sequence_without_a_gap_that_ends_at_the_truth(history: list[tuple[str, str, int]]) -> None:
    async def play() -> None:
        world = World()
        for act, topic, number in history:
            match act:
                case "publish":
                    for _ in range(number):
                        world.publish(topic)
                case "follow":
                    await world.browsers[number].follow(topic)
                case "leave":
                    await world.browsers[number].leave(topic)
                case "read":
                    world.browsers[number].read()
                case "settle":
                    await world.browsers[number].settle()
        for browser in world.browsers:
            await browser.settle()
            browser.read()
            assert browser.client._bytes == 0
            if browser.client.close_code is None:
                assert browser.refused == browser.over
                for topic in browser.client.topics:
                    assert browser.values[topic] == world.values[topic], "it ends at the truth"
            else:
                assert browser.client.close_code == CLOSE_TOO_SLOW
            for topic in list(browser.client.topics):
                world.hub._unfollow(browser.client, topic)
        assert world.hub._followed == {}, "nothing is kept for topics that nobody follows"

    asyncio.run(play())
