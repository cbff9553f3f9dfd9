"""A browser phone's line: who gets one, what passes over it, and what its end means."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientWebSocketResponse, WSMsgType, WSServerHandshakeError, web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from ctiserver.errors import PeerLost
from ctiserver.features.telephony import lost
from ctiserver.model.calls.tracking.standing import ChannelState
from ctiserver.model.events import CallEnded
from ctiserver.model.ids import CallId, Interface, Uniqueid
from ctiserver.settings import BrowserPhoneSettings, PbxSettings
from tests.support.desk import Browser, Desk, desk
from tests.support.eventually import eventually

KEEP_ALIVE = "\r\n\r\n"


@dataclass
class FakePbx:
    """A WebSocket that takes SIP, and says back what it is told to."""

    url: str = ""
    heard: list[str] = field(default_factory=list)
    sockets: list[web.WebSocketResponse] = field(default_factory=list)

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=("sip",))
        await socket.prepare(request)
        assert socket.ws_protocol == "sip"
        self.sockets.append(socket)
        async for message in socket:
            self.heard.append(message.data)
        return socket


@pytest.fixture
async def pbx() -> AsyncIterator[FakePbx]:
    fake = FakePbx()
    application = web.Application()
    application.router.add_get("/ws", fake.serve)
    async with TestServer(application) as server:
        fake.url = str(server.make_url("/ws")).replace("http", "ws")
        yield fake
        for socket in fake.sockets:
            await socket.close()


@pytest.fixture
async def running(tmp_path: Path, pbx: FakePbx) -> AsyncIterator[Desk]:
    """The desk of agent1, whose phone is the browser, and of agent2, who has one on the desk."""
    phones = BrowserPhoneSettings(url=pbx.url, secrets={"agent1": SecretStr("of the PBX")}, ice_servers=("stun:a:1",))
    async with desk(tmp_path, pbxs={"main": PbxSettings(browser_phones=phones)}) as it:
        await it.add_user("agent1", "agent", extension="101")
        await it.add_user("agent2", "agent", extension="102")
        yield it


@pytest.fixture
async def agent(running: Desk) -> AsyncIterator[Browser]:
    async with Browser(running.url) as it:
        await it.log_in("agent1")
        yield it


@asynccontextmanager
async def _line(browser: Browser, ticket: str, origin: str | None = None) -> AsyncIterator[ClientWebSocketResponse]:
    async with browser.http.ws_connect(
        f"{browser.url}/phone/ws?line={ticket}", headers={"Origin": origin or browser.url}, protocols=("sip",)
    ) as socket:
        yield socket


async def _ask(browser: Browser) -> Any:
    return await browser.json("POST", "/api/v1/phone/line", status=201)


async def _refused(browser: Browser, ticket: str, origin: str | None = None) -> int:
    with pytest.raises(WSServerHandshakeError) as refusal:
        async with _line(browser, ticket, origin):
            pass
    return refusal.value.status


async def _close_code(socket: ClientWebSocketResponse) -> int | None:
    async with asyncio.timeout(20):
        while (await socket.receive()).type not in (WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.CLOSING):
            pass
    return socket.close_code


async def test_sip_passes_both_ways_and_the_phones_password_never_does(agent: Browser, pbx: FakePbx) -> None:
    given = await _ask(agent)
    assert (given["user"], given["ice_servers"]) == ("agent1", ["stun:a:1"])
    assert "of the PBX" not in str(given)
    async with _line(agent, given["line"]) as socket:
        assert socket.protocol == "sip"
        await socket.send_str(KEEP_ALIVE)
        await eventually(lambda: _of(pbx.heard), lambda heard: heard == [KEEP_ALIVE])
        await pbx.sockets[0].send_str("SIP/2.0 200 OK\r\n\r\n")
        assert await socket.receive_str(timeout=5) == "SIP/2.0 200 OK\r\n\r\n"
    # The browser's end is the PBX's too.
    await eventually(lambda: _of(pbx.sockets), lambda sockets: sockets[0].closed)


async def _of(what: Any) -> Any:
    return what


async def test_a_ticket_opens_one_line_once_for_its_owner_from_our_own_page(
    running: Desk, agent: Browser, browser: Browser
) -> None:
    ticket = (await _ask(agent))["line"]
    assert await _refused(browser, ticket) == 401
    async with Browser(running.url) as other:
        await other.log_in("agent2")
        assert await _refused(other, ticket) == 404
        assert (await other.json("POST", "/api/v1/phone/line", status=400))["code"] == "fault"
    ticket = (await _ask(agent))["line"]
    assert await _refused(agent, ticket, "http://127.0.0.1:1") == 403
    async with _line(agent, ticket):
        assert await _refused(agent, ticket) == 404
    assert await _refused(agent, "") == 404


async def test_a_browser_that_speaks_for_another_phone_is_cut_off(agent: Browser, pbx: FakePbx) -> None:
    async with _line(agent, (await _ask(agent))["line"]) as socket:
        await socket.send_str("INVITE sip:1@x SIP/2.0\r\nTo: <sip:1@x>\r\nFrom: <sip:trunk@x>;tag=1\r\n\r\n")
        assert await _close_code(socket) == 1008
    assert pbx.heard == []


async def test_logging_out_ends_the_line_and_what_was_not_opened_yet(agent: Browser) -> None:
    waiting = (await _ask(agent))["line"]
    async with _line(agent, (await _ask(agent))["line"]) as socket:
        await agent.json("DELETE", "/api/v1/session", status=204)
        assert await _close_code(socket) == 4401
    await agent.log_in("agent1")
    assert await _refused(agent, waiting) == 404


async def test_a_pbx_that_goes_away_sends_the_browser_to_try_again(agent: Browser, pbx: FakePbx) -> None:
    async with _line(agent, (await _ask(agent))["line"]) as socket:
        await socket.send_str(KEEP_ALIVE)
        await eventually(lambda: _of(pbx.sockets))
        await pbx.sockets[0].close()
        assert await _close_code(socket) == 1013


async def test_a_pbx_that_is_away_is_said(tmp_path: Path) -> None:
    phones = BrowserPhoneSettings(url="ws://127.0.0.1:1/ws", secrets={"agent1": SecretStr("x")})
    async with desk(tmp_path, pbxs={"main": PbxSettings(browser_phones=phones)}) as it:
        await it.add_user("agent1", "agent", extension="101")
        async with Browser(it.url) as browser:
            await browser.log_in("agent1")
            assert await _refused(browser, (await _ask(browser))["line"]) == 503


def _standing(*others: str, waiting: tuple[str, ...] = (), talking: bool = True) -> ChannelState:
    return ChannelState(
        call_id=CallId("01ARZ3NDEKTSV4RRFFQ69G5FAV"),
        channel="PJSIP/agent1-1",
        uniqueid=Uniqueid("1.1"),
        talking=talking,
        others=others,
        waiting=waiting,
    )


@pytest.mark.parametrize(
    ("standing", "orders"),
    [
        (None, []),
        (
            _standing("PJSIP/trunk-0"),
            ["set PJSIP/trunk-0 CTI_BACK", "set PJSIP/trunk-0 __CTI_ANSWER", "redirect PJSIP/trunk-0 cti-lost,s"],
        ),
        (_standing(talking=False, waiting=("PJSIP/trunk-0",)), ["hangup PJSIP/agent1-1"]),
        (_standing("PJSIP/agent2-0", waiting=("PJSIP/trunk-0",)), ["hangup PJSIP/agent1-1"]),
        (_standing("PJSIP/agent2-0", "PJSIP/trunk-0"), ["hangup PJSIP/agent1-1"]),
    ],
    ids=["idle", "talking", "ringing", "consulting", "three-way"],
)
async def test_a_line_that_breaks_leaves_nobody_talking_to_nobody(
    running: Desk, agent: Browser, standing: ChannelState | None, orders: list[str]
) -> None:
    running.pbx.stands[Interface("PJSIP/agent1")] = [] if standing is None else [standing]
    async with _line(agent, (await _ask(agent))["line"]) as socket:
        await socket.send_str(KEEP_ALIVE)
    if not orders:
        async with _line(agent, (await _ask(agent))["line"]):
            pass  # what the first line's end was worth is known once a second one's is
    await eventually(lambda: _of(running.pbx.told), lambda told: told == orders)


async def test_a_talk_that_is_lost_while_the_pbx_is_away_is_held_once_it_can_be_told(
    running: Desk, agent: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lost, "_AGAIN_S", 0.01)
    running.pbx.stands[Interface("PJSIP/agent1")] = [_standing("PJSIP/trunk-0")]
    running.pbx.broken = PeerLost("the link broke")
    async with _line(agent, (await _ask(agent))["line"]) as socket:
        await socket.send_str(KEEP_ALIVE)

    async def refused() -> int:
        return running.pbx.refused

    await eventually(refused, lambda times: times > 1)
    running.pbx.broken = None
    await eventually(lambda: _of(running.pbx.told), lambda told: len(told) == 3)
    assert running.pbx.told[-1] == "redirect PJSIP/trunk-0 cti-lost,s"


async def test_a_new_call_is_not_taken_for_the_talk_that_was_lost(
    running: Desk, agent: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lost, "_AGAIN_S", 0.01)
    phone = Interface("PJSIP/agent1")
    running.pbx.stands[phone] = [_standing("PJSIP/trunk-0")]
    running.pbx.broken = PeerLost("the link broke")
    async with _line(agent, (await _ask(agent))["line"]) as socket:
        await socket.send_str(KEEP_ALIVE)

    async def refused() -> int:
        return running.pbx.refused

    await eventually(refused)
    running.pbx.stands[phone] = [replace(_standing("PJSIP/trunk-1"), channel="PJSIP/agent1-2")]
    running.pbx.broken = None
    async with _line(agent, (await _ask(agent))["line"]):
        await agent.json("GET", "/api/v1/phone")
    await eventually(lambda: _of(running.pbx.told), lambda told: len(told) == 3)  # the second line's end
    assert running.pbx.told[-1] == "redirect PJSIP/trunk-1 cti-lost,s"


async def test_two_browsers_of_one_agent_the_talk_is_lost_with_the_last(running: Desk, agent: Browser) -> None:
    running.pbx.stands[Interface("PJSIP/agent1")] = [_standing("PJSIP/trunk-0")]
    async with _line(agent, (await _ask(agent))["line"]):
        async with _line(agent, (await _ask(agent))["line"]):
            pass
        await agent.json("GET", "/api/v1/phone")
        assert running.pbx.told == []
    await eventually(lambda: _of(running.pbx.told), lambda told: len(told) == 3)


async def test_who_comes_back_has_the_caller_who_waits_and_nobody_else_does(running: Desk, agent: Browser) -> None:
    running.pbx.stands[Interface("PJSIP/agent1")] = [_standing("PJSIP/trunk-0")]
    assert await agent.json("POST", "/api/v1/phone/registered") == {"resume": None}
    await agent.json("POST", "/api/v1/phone/resume", status=409)
    async with _line(agent, (await _ask(agent))["line"]):
        pass
    await eventually(lambda: _of(running.pbx.told), lambda told: len(told) == 3)
    token = (await agent.json("POST", "/api/v1/phone/registered"))["resume"]
    assert token
    await agent.json("POST", "/api/v1/phone/resume", status=204)
    assert running.pbx.told[-1] == "redirect PJSIP/trunk-0 cti-lost,back"
    await agent.json("POST", "/api/v1/phone/resume", status=409)


async def test_a_caller_who_went_home_waits_for_no_page(running: Desk, agent: Browser) -> None:
    line = running.line()
    standing = _standing("PJSIP/trunk-0")
    running.pbx.stands[Interface("PJSIP/agent1")] = [
        ChannelState(**{**{name: getattr(standing, name) for name in standing.__slots__}, "call_id": line.id})
    ]
    async with _line(agent, (await _ask(agent))["line"]):
        pass
    await eventually(lambda: _of(running.pbx.told), lambda told: len(told) == 3)
    with running.bus.subscribe(CallEnded) as ends:
        line.end()
        await anext(aiter(ends))

    async def waiting() -> Any:
        return await agent.json("POST", "/api/v1/phone/registered")

    await eventually(waiting, lambda answer: answer == {"resume": None})


@pytest.mark.parametrize("number", ["102", "110"], ids=["a colleague", "help"])
async def test_colleagues_and_help_are_called_though_nobody_outside_may_be(
    running: Desk, agent: Browser, number: str
) -> None:
    wish = {"id": str(uuid.uuid4()), "asked_at": int(time.time()), "to": {"kind": "number", "key": number}}
    await agent.json("POST", "/api/v1/phone/calls", wish, status=202)
    [order] = running.pbx.told
    assert order.startswith(f"originate PJSIP/agent1 {number}@cti-agents")
    assert f"X-CTI-Answer)={wish['id']}" in order
    outside = {**wish, "id": str(uuid.uuid4()), "to": {"kind": "number", "key": "13800000001"}}
    assert (await agent.json("POST", "/api/v1/phone/calls", outside, status=422))["code"] == "not_diallable"
