"""Log-in and its sessions: cookies, rotation, ends."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import pytest
from aiohttp import ClientResponse, WSMsgType
from argon2 import PasswordHasher

from ctiserver.clock import ManualClock
from ctiserver.errors import UserFault
from ctiserver.features.users.passwords import LONGEST_LINE, Passwords
from ctiserver.web.connection import CLOSE_LOGGED_OUT
from ctiserver.web.problems import TooMany
from ctiserver.web.sessions import COOKIE, hash_of
from tests.support.desk import PASSWORD, Browser, Desk, desk


def _cookie(response: ClientResponse) -> str:
    [header] = [said for said in response.headers.getall("Set-Cookie") if said.startswith(f"{COOKIE}=")]
    return header


def _token(browser: Browser) -> str:
    [cookie] = [cookie for cookie in browser.http.cookie_jar if cookie.key == COOKIE]
    return cookie.value


async def test_the_cookie_is_out_of_reach_for_scripts_and_other_sites(running: Desk, browser: Browser) -> None:
    response = await browser.ask("POST", "/api/v1/session", {"login": "agent1", "password": PASSWORD})
    header = _cookie(response)
    assert header.startswith(f"{COOKIE}=")
    assert "HttpOnly" in header
    assert "SameSite=Strict" in header
    assert "Path=/" in header
    assert "Max-Age=43200" in header
    assert (await response.json())["agent_id"] == "agent1"


async def test_the_token_is_stored_only_as_its_hash(running: Desk, browser: Browser) -> None:
    response = await browser.ask("POST", "/api/v1/session", {"login": "agent1", "password": PASSWORD})
    token = response.cookies[COOKIE].value
    async with running.database.reading() as uow:
        assert await uow.sessions.find(token) is None
        assert await uow.sessions.find(hash_of(token)) is not None


@pytest.mark.parametrize("login", ["agent1", "nobody-here"])
async def test_a_wrong_name_and_a_wrong_password_look_alike(browser: Browser, login: str) -> None:
    problem = await browser.json("POST", "/api/v1/session", {"login": login, "password": "wrong"}, status=401)
    assert problem["code"] == "wrong_login"
    assert problem["title"] == "the name or the password is wrong"


async def test_the_page_may_ask_who_is_logged_in(running: Desk, browser: Browser) -> None:
    assert await browser.json("GET", "/api/v1/session") == {"me": None}
    me = await browser.log_in("agent1")
    assert await browser.json("GET", "/api/v1/session") == {"me": me}


async def test_logging_out_ends_the_session_and_its_sockets(running: Desk, agent: Browser) -> None:
    cookies = {cookie.key: cookie.value for cookie in agent.http.cookie_jar}
    async with agent.socket() as socket:
        await agent.json("DELETE", "/api/v1/session", status=204)
        message = await socket.receive(timeout=5)
        assert message.type is WSMsgType.CLOSE
        assert message.data == CLOSE_LOGGED_OUT
    async with Browser(running.url) as thief:
        thief.http.cookie_jar.update_cookies(cookies)
        await thief.json("GET", "/api/v1/me", status=401)


async def test_a_new_password_ends_every_session(running: Desk, agent: Browser) -> None:
    await running.features.users.set_password("agent1", "another password")
    await agent.json("GET", "/api/v1/me", status=401)
    await agent.json("POST", "/api/v1/session", {"login": "agent1", "password": PASSWORD}, status=401)
    await agent.log_in("agent1", "another password")


async def test_a_second_log_in_in_the_same_browser_ends_the_first(running: Desk, agent: Browser) -> None:
    old = _token(agent)
    await agent.log_in("agent2")
    assert (await agent.json("GET", "/api/v1/me"))["login"] == "agent2"
    async with running.database.reading() as uow:
        assert await uow.sessions.find(hash_of(old)) is None


async def test_the_token_rotates_and_the_old_one_dies_after_its_grace(tmp_path: Path) -> None:
    clock = ManualClock(datetime(2026, 11, 21, 8, tzinfo=UTC))
    async with desk(tmp_path, clock=clock) as it, Browser(it.url) as browser, Browser(it.url) as late:
        await it.add_user("agent1", "agent")
        await browser.log_in("agent1")
        old = _token(browser)
        late.http.cookie_jar.update_cookies({COOKIE: old})

        clock.advance(14 * 60)
        assert "Set-Cookie" not in (await browser.ask("GET", "/api/v1/me")).headers
        clock.advance(2 * 60)
        assert f"{COOKIE}=" in _cookie(await browser.ask("GET", "/api/v1/me"))
        fresh = _token(browser)
        assert fresh != old
        # A request that was under way with the old token is served, and does not rotate again.
        response = await late.ask("GET", "/api/v1/me")
        assert response.status == 200
        assert "Set-Cookie" not in response.headers
        clock.advance(61)
        await late.json("GET", "/api/v1/me", status=401)
        await browser.json("GET", "/api/v1/me")


async def test_a_session_ends_at_a_fixed_time_however_busy(tmp_path: Path) -> None:
    clock = ManualClock(datetime(2026, 11, 21, 8, tzinfo=UTC))
    async with desk(tmp_path, clock=clock) as it, Browser(it.url) as browser:
        await it.add_user("agent1", "agent")
        await browser.log_in("agent1")
        for _ in range(47):
            clock.advance(15 * 60)
            await browser.json("GET", "/api/v1/me")
        clock.advance(15 * 60)
        browser.http.cookie_jar.update_cookies({COOKIE: _token(browser)})
        await browser.json("GET", "/api/v1/me", status=401)


async def test_a_flood_of_log_ins_is_turned_away_at_the_door() -> None:
    go_on = threading.Event()

    class Slow(PasswordHasher):
        def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002 - as its base has it
            go_on.wait(10)
            return super().verify(hash, password)

    passwords = Passwords(Slow(time_cost=1, memory_cost=8, parallelism=1))
    stored = await passwords.hash("correct horse")
    async with asyncio.TaskGroup() as group:
        line = [group.create_task(passwords.matches(stored, "correct horse")) for _ in range(LONGEST_LINE)]
        await asyncio.sleep(0)
        with pytest.raises(TooMany):
            await passwords.matches(stored, "correct horse")
        go_on.set()
    assert all(task.result() for task in line)
    assert await passwords.matches(stored, "correct horse")


@pytest.mark.parametrize(
    ("login", "password", "words"),
    [
        ("Agent 1", "long enough", "can't be a log-in name"),
        ("agent3", "short", "a password has 8 to 256 characters"),
        ("agent1", "long enough", "there is an account agent1 already"),
    ],
)
async def test_an_account_that_can_not_be_is_refused_with_a_reason(
    running: Desk, login: str, password: str, words: str
) -> None:
    with pytest.raises(UserFault, match=words):
        await running.features.users.add(login, name="x", role="agent", password=password)


async def test_two_agents_can_not_have_one_phone(running: Desk) -> None:
    with pytest.raises(UserFault, match="belongs to agent1"):
        await running.features.users.add(
            "agent3", name="x", role="agent", password=PASSWORD, extension="199", interface="PJSIP/agent1"
        )
