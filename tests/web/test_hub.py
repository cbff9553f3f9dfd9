"""The WebSocket hub: snapshot and deltas without a gap, one-time tickets, and no waiting for the slow."""

from __future__ import annotations

import asyncio
import socket
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientWebSocketResponse, WSMsgType, WSServerHandshakeError

from ctiserver.model.ids import UserId
from ctiserver.web.access import EVERYBODY, Person
from ctiserver.web.connection import CLOSE_BAD_MESSAGE, CLOSE_RESTART, CLOSE_TOO_SLOW, Connection, HubLimits
from ctiserver.web.hub import Topic
from tests.support.desk import Browser, Desk, desk
from tests.support.eventually import eventually


class Things:
    """A topic whose snapshot can be made to wait."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.asked = asyncio.Event()
        self.value: Any = 0
        self.fault: Exception | None = None
        self.made = 0  #: how often

    async def snapshot(self, key: str) -> Any:
        self.made += 1
        self.asked.set()
        await self.open.wait()
        if self.fault is not None:
            raise self.fault
        return self.value


@pytest.fixture
def things(running: Desk) -> Things:
    it = Things()
    running.hub.add([Topic(kind="things", roles=EVERYBODY, may=lambda person, key: True, snapshot=it.snapshot)])
    return it


async def _tick(running: Desk) -> int:
    running.hub.publish("things", "a", "tick", 0)
    return running.hub.followers("things", "a")


async def _all_gone(running: Desk) -> None:
    async def clients() -> int:
        return running.hub.clients

    await eventually(clients, lambda count: count == 0)


async def _closed(socket: ClientWebSocketResponse) -> int:
    async with asyncio.timeout(20):
        while True:
            message = await socket.receive()
            if message.type is WSMsgType.CLOSE:
                code: int = message.data
                return code
            assert message.type is WSMsgType.TEXT, "the connection broke without a close frame"


async def test_a_snapshot_then_deltas_without_a_gap(running: Desk, agent: Browser, things: Things) -> None:
    things.value = {"n": 1}
    async with agent.socket() as socket:
        await socket.send_json({"op": "subscribe", "topic": "things:a"})
        assert await socket.receive_json(timeout=30) == {
            "topic": "things:a",
            "kind": "snapshot",
            "seq": 0,
            "data": {"n": 1},
        }
        running.hub.publish("things", "a", "changed", {"n": 2})
        assert running.hub.followers("things", "a") == 1
        running.hub.publish("things", "b", "changed", {"n": 9})
        assert running.hub.followers("things", "b") == 0
        running.hub.publish("things", "a", "changed", {"n": 3})
        frames = [await socket.receive_json(timeout=30) for _ in range(2)]
        assert [(frame["seq"], frame["event"], frame["data"]["n"]) for frame in frames] == [
            (1, "changed", 2),
            (2, "changed", 3),
        ]


async def test_a_change_during_the_snapshot_is_in_it(running: Desk, agent: Browser, things: Things) -> None:
    things.open.clear()
    async with agent.socket() as socket:
        await socket.send_json({"op": "subscribe", "topic": "things:a"})
        await asyncio.wait_for(things.asked.wait(), 30)
        things.value = 2
        running.hub.publish("things", "a", "changed", 1)
        running.hub.publish("things", "a", "changed", 2)
        things.open.set()
        snapshot = await socket.receive_json(timeout=30)
        assert (snapshot["kind"], snapshot["seq"], snapshot["data"]) == ("snapshot", 2, 2)
        running.hub.publish("things", "a", "changed", 3)
        assert (await socket.receive_json(timeout=30))["seq"] == 3


async def test_what_never_stands_still_is_sent_with_its_changes(running: Desk, agent: Browser) -> None:
    async def restless(key: str) -> int:
        running.hub.publish("restless", key, "changed", 7)
        return 0

    running.hub.add([Topic(kind="restless", roles=EVERYBODY, may=lambda person, key: True, snapshot=restless)])
    async with agent.socket() as socket:
        await socket.send_json({"op": "subscribe", "topic": "restless:a"})
        frames = [await socket.receive_json(timeout=30) for _ in range(2)]
        assert [(frame["kind"], frame["seq"]) for frame in frames] == [("snapshot", 2), ("delta", 3)]


async def test_a_second_browser_starts_at_the_same_seq(running: Desk, agent: Browser, things: Things) -> None:
    async with agent.socket() as first, agent.socket() as second:
        await first.send_json({"op": "subscribe", "topic": "things:a"})
        await first.receive_json(timeout=30)
        running.hub.publish("things", "a", "changed", 1)
        await second.send_json({"op": "subscribe", "topic": "things:a"})
        assert (await second.receive_json(timeout=30))["seq"] == 1
        running.hub.publish("things", "a", "changed", 2)
        assert running.hub.followers("things", "a") == 2
        assert (await second.receive_json(timeout=30))["seq"] == 2


async def test_who_unsubscribes_gets_no_more(running: Desk, agent: Browser, things: Things) -> None:
    async with agent.socket() as socket:
        await socket.send_json({"op": "subscribe", "topic": "things:a"})
        await socket.receive_json(timeout=30)
        await socket.send_json({"op": "unsubscribe", "topic": "things:a"})
        await socket.send_json({"op": "ping"})
        assert await socket.receive_json(timeout=30) == {"kind": "pong"}
        running.hub.publish("things", "a", "changed", 1)
        assert running.hub.followers("things", "a") == 0


async def test_a_connection_that_ends_leaves_nothing_behind(running: Desk, agent: Browser, things: Things) -> None:
    async with agent.socket() as socket:
        await socket.send_json({"op": "subscribe", "topic": "things:a"})
        await socket.receive_json(timeout=30)
        assert running.hub.clients == 1
    await _all_gone(running)
    running.hub.publish("things", "a", "changed", 1)
    assert running.hub.followers("things", "a") == 0


async def test_a_failing_snapshot_asks_the_browser_to_come_back(running: Desk, agent: Browser) -> None:
    async def broken(key: str) -> None:
        raise RuntimeError("no disk")

    running.hub.add([Topic(kind="broken", roles=EVERYBODY, may=lambda person, key: True, snapshot=broken)])
    async with agent.socket() as socket:
        await socket.send_json({"op": "subscribe", "topic": "broken:a"})
        assert await _closed(socket) == CLOSE_TOO_SLOW


@pytest.mark.parametrize(
    "message", ["{", "[]", '{"op": "fly"}', '{"op": "ping", "more": 1}', '{"op": "subscribe", "topic": 7}']
)
async def test_what_is_no_message_ends_the_connection(agent: Browser, message: str) -> None:
    async with agent.socket() as socket:
        await socket.send_str(message)
        assert await _closed(socket) == CLOSE_BAD_MESSAGE


async def test_bytes_are_no_message_either(agent: Browser) -> None:
    async with agent.socket() as socket:
        await socket.send_bytes(b'{"op": "ping"}')
        assert await _closed(socket) == CLOSE_BAD_MESSAGE


async def test_a_ticket_opens_one_connection(running: Desk, agent: Browser) -> None:
    ticket = (await agent.json("POST", "/api/v1/tickets", status=201))["ticket"]
    url = f"{running.url}/ws?ticket={ticket}"
    async with agent.http.ws_connect(url, headers={"Origin": running.url}) as socket:
        await socket.send_json({"op": "ping"})
        assert await socket.receive_json(timeout=30) == {"kind": "pong"}
    with pytest.raises(WSServerHandshakeError) as refused:
        await agent.http.ws_connect(url, headers={"Origin": running.url})
    assert refused.value.status == 401


@pytest.mark.parametrize("query", ["", "?ticket=", "?ticket=guess"])
async def test_a_cookie_alone_opens_none(running: Desk, agent: Browser, query: str) -> None:
    with pytest.raises(WSServerHandshakeError) as refused:
        await agent.http.ws_connect(f"{running.url}/ws{query}", headers={"Origin": running.url})
    assert refused.value.status == 401


@pytest.mark.parametrize("origin", ["https://evil.example", "null", None])
async def test_another_sites_page_opens_none_even_with_a_ticket(
    running: Desk, agent: Browser, origin: str | None
) -> None:
    ticket = (await agent.json("POST", "/api/v1/tickets", status=201))["ticket"]
    headers = {} if origin is None else {"Origin": origin}
    with pytest.raises(WSServerHandshakeError) as refused:
        await agent.http.ws_connect(f"{running.url}/ws?ticket={ticket}", headers=headers)
    assert refused.value.status == 403


async def test_the_server_says_that_it_goes_away(tmp_path: Path) -> None:
    async with AsyncExitStack() as browsers:
        async with desk(tmp_path) as it:
            await it.add_user("agent1", "agent")
            browser = await browsers.enter_async_context(Browser(it.url))
            await browser.log_in("agent1")
            socket = await browsers.enter_async_context(browser.socket())
        assert await _closed(socket) == CLOSE_RESTART


@asynccontextmanager
async def _deaf(running: Desk, browser: Browser) -> AsyncIterator[socket.socket]:
    """A browser that upgrades, subscribes to things:a, and then reads nothing."""
    ticket = (await browser.json("POST", "/api/v1/tickets", status=201))["ticket"]
    host, port = running.url.removeprefix("http://").split(":")
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.setblocking(False)
    loop = asyncio.get_running_loop()
    try:
        await loop.sock_connect(raw, (host, int(port)))
        key = b64encode(b"0123456789abcdef").decode()
        await loop.sock_sendall(
            raw,
            f"GET /ws?ticket={ticket} HTTP/1.1\r\nHost: {host}:{port}\r\nOrigin: {running.url}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode(),
        )
        assert b"101" in await loop.sock_recv(raw, 1024)
        said = b'{"op":"subscribe","topic":"things:a"}'
        await loop.sock_sendall(raw, bytes([0x81, 0x80 | len(said), 0, 0, 0, 0]) + said)
        yield raw
    finally:
        raw.close()


async def test_a_browser_that_reads_nothing_is_thrown_out_and_nobody_waits_for_it(
    running: Desk, agent: Browser, things: Things
) -> None:
    async with _deaf(running, agent), agent.socket() as good:
        await good.send_json({"op": "subscribe", "topic": "things:a"})
        await good.receive_json(timeout=30)
        await eventually(partial(_tick, running), lambda reached: reached == 2)
        await good.receive_json(timeout=30)
        text = "x" * 16_384
        seen = 0
        async with asyncio.timeout(30):
            while running.hub.clients == 2:
                running.hub.publish("things", "a", "tick", text)
                while (await good.receive_json(timeout=30))["data"] != text:
                    pass
                seen += 1
        assert seen > 1
        running.hub.publish("things", "a", "tick", "last")
        assert (await good.receive_json(timeout=30))["data"] == "last"


async def test_a_flood_for_one_browser_is_bounded_and_closed_with_1013(
    running: Desk, agent: Browser, things: Things
) -> None:
    async with agent.socket() as socket:
        await socket.send_json({"op": "subscribe", "topic": "things:a"})
        await socket.receive_json(timeout=30)
        # Without a pause in between: the sender has no chance to run, as when the network stands still.
        for number in range(300):
            running.hub.publish("things", "a", "tick", number)
        assert await _closed(socket) == CLOSE_TOO_SLOW
    await _all_gone(running)


async def test_a_pop_goes_to_its_agent_and_not_a_byte_of_it_elsewhere(running: Desk, agent: Browser) -> None:
    phone = next(it.interface for it, _ in running.features.agents.everybody() if it.id == "agent1")
    async with Browser(running.url) as other, Browser(running.url) as lead:
        await other.log_in("agent2")
        await lead.log_in("supervisor")
        async with agent.socket() as mine, other.socket() as theirs, lead.socket() as leads:
            for socket_, topics in (
                (mine, ["pop:agent1"]),
                (theirs, ["pop:agent2", "presence:agent2", "pop:agent1"]),
                (leads, ["team:all", "pop:supervisor", "pop:agent1"]),
            ):
                for topic in topics:
                    await socket_.send_json({"op": "subscribe", "topic": topic})
                    await socket_.receive_json(timeout=30)
            [contact] = await running.features.contacts.find_or_create("13800000001", "张伟")
            line = running.line(ani="13800000001")
            line.start()
            line.ring(phone)
            pop = await mine.receive_json(timeout=30)
            assert pop["data"]["contacts"][0]["id"] == contact.id
            assert pop["data"]["phase"] == "ringing"
            assert await _heard(theirs) == []
            # A supervisor sees that the phone rings, never what is shown to the agent.
            [presence] = await _heard(leads)
            assert '"state":"ringing"' in presence
            assert not any(secret in presence for secret in ("张伟", "13800000001", contact.id))


async def _heard(socket: ClientWebSocketResponse) -> list[str]:
    """Every frame that this socket was sent up to now."""
    await socket.send_json({"op": "ping"})
    frames: list[str] = []
    while (message := await socket.receive(timeout=30)).data != '{"kind":"pong"}':
        frames.append(message.data)
    return frames


async def test_a_crowd_that_comes_at_once_is_sent_one_snapshot(running: Desk, agent: Browser, things: Things) -> None:
    things.open.clear()
    async with AsyncExitStack() as stack:
        crowd = [await stack.enter_async_context(agent.socket()) for _ in range(30)]
        for socket in crowd:
            await socket.send_json({"op": "subscribe", "topic": "things:a"})
        await eventually(partial(_tick, running), lambda reached: reached == 30, within_s=30)
        things.value = "the last"
        things.open.set()
        for socket in crowd:
            snapshot = await socket.receive_json(timeout=30)
            assert (snapshot["kind"], snapshot["data"]) == ("snapshot", "the last")
            assert snapshot["seq"] >= 1
        # Once for what was published after it was first asked for, once more for who joined after that; not 30 times.
        assert things.made <= 4
    await _all_gone(running)


async def test_a_snapshot_serves_others_until_something_changes(running: Desk, agent: Browser, things: Things) -> None:
    async with agent.socket() as first, agent.socket() as second:
        for socket in (first, second):
            await socket.send_json({"op": "subscribe", "topic": "things:a"})
            assert (await socket.receive_json(timeout=30))["data"] == 0
        made = things.made
        things.value = 1
        running.hub.publish("things", "a", "changed", 1)
        async with agent.socket() as third:
            await third.send_json({"op": "subscribe", "topic": "things:a"})
            assert (await third.receive_json(timeout=30))["data"] == 1
        assert things.made == made + 1


@pytest.mark.parametrize("how", ["gives up", "fails"])
async def test_what_becomes_of_who_makes_the_snapshot_is_not_the_others_fault(
    running: Desk, things: Things, how: str
) -> None:
    hub = running.hub
    person = Person(user_id=UserId("U"), login="u", name="U", role="agent", language="en", agent_id=None)
    first, second = Connection(person, HubLimits()), Connection(person, HubLimits())
    things.open.clear()
    making = asyncio.ensure_future(hub._follow(first, "things:a"))
    await asyncio.wait_for(things.asked.wait(), 30)
    waiting = asyncio.ensure_future(hub._follow(second, "things:a"))
    await asyncio.sleep(0)
    if how == "gives up":  # as at the end of its session
        making.cancel()
        with pytest.raises(asyncio.CancelledError):
            await making
        things.open.set()
        await asyncio.wait_for(waiting, 30)
        assert second.take() is not None
    else:
        things.fault = RuntimeError("no disk")
        things.open.set()
        await asyncio.wait_for(asyncio.gather(making, waiting), 30)
        assert (first.close_code, second.close_code) == (CLOSE_TOO_SLOW, CLOSE_TOO_SLOW)
        assert things.made == 1
