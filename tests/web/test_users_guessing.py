"""Guessing passwords is made slow, for one account and from one address, and holds up nobody else."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

import pytest

from ctiserver.clock import ManualClock
from ctiserver.features.users.attempts import (
    ADDRESS_FREE,
    AttemptCount,
    Attempts,
    by_account,
    by_address,
    is_known,
    make_known,
)
from ctiserver.settings import WebSettings
from ctiserver.web.problems import TooMany
from tests.support.desk import PASSWORD, Browser, Desk, desk

NOW = datetime(2026, 11, 21, 8, tzinfo=UTC)
PROXY = WebSettings(port=0, trusted_proxies=(IPv4Network("127.0.0.1/32"),))


@asynccontextmanager
async def _centre(folder: Path, web: WebSettings | None = None) -> AsyncIterator[tuple[Desk, ManualClock]]:
    clock = ManualClock(NOW)
    async with desk(folder, clock=clock, web=web) as it:
        await it.add_user("agent1", "agent")
        await it.add_user("agent2", "agent")
        await it.add_user("admin1", "admin")
        yield it, clock


async def _try(it: Desk, login: str, password: str, address: str = "", browser: Browser | None = None) -> int:
    """The status of one log-in; by a new browser unless one is given, from an address as a proxy says it."""
    async with Browser(it.url) as fresh:
        headers = {"X_Forwarded_For": address} if address else {}
        body = {"login": login, "password": password}
        return (await (browser or fresh).ask("POST", "/api/v1/session", body, **headers)).status


async def test_wrong_passwords_cost_a_wait(tmp_path: Path) -> None:
    async with _centre(tmp_path) as (it, clock), Browser(it.url) as browser:
        for _ in range(5):
            assert await _try(it, "agent1", "wrong") == 401
        response = await browser.ask("POST", "/api/v1/session", {"login": "agent1", "password": PASSWORD})
        assert response.status == 429
        assert int(response.headers["Retry-After"]) >= 2
        clock.advance(int(response.headers["Retry-After"]))
        await browser.log_in("agent1")


async def test_a_burst_gets_no_more_guesses_than_one_after_another(tmp_path: Path) -> None:
    async with _centre(tmp_path) as (it, _):
        async with asyncio.TaskGroup() as group:
            tries = [group.create_task(_try(it, "agent1", f"wrong {number}")) for number in range(40)]
        assert Counter(one.result() for one in tries) == {401: 5, 429: 35}


async def test_one_account_is_guarded_against_many_addresses(tmp_path: Path) -> None:
    async with _centre(tmp_path, PROXY) as (it, _):
        said = [await _try(it, "agent1", "wrong", f"198.51.100.{number}") for number in range(60)]
        assert Counter(said) == {401: 5, 429: 55}
        assert await _try(it, "agent2", PASSWORD, "198.51.100.7") == 201


async def test_one_address_is_held_up_over_many_accounts_and_no_other_is(tmp_path: Path) -> None:
    async with _centre(tmp_path, PROXY) as (it, _):
        said = [await _try(it, f"name{number}", "wrong", "198.51.100.7") for number in range(ADDRESS_FREE + 5)]
        assert Counter(said) == {401: ADDRESS_FREE, 429: 5}
        assert await _try(it, "agent1", PASSWORD, "198.51.100.7") == 429
        assert await _try(it, "agent1", PASSWORD, "198.51.100.8") == 201


async def test_an_own_account_in_between_buys_no_guesses(tmp_path: Path) -> None:
    async with _centre(tmp_path, PROXY) as (it, _):
        said: list[int] = []
        for number in range(ADDRESS_FREE + 5):
            said.append(await _try(it, f"name{number}", "wrong", "198.51.100.7"))
            await _try(it, "agent2", PASSWORD, "198.51.100.7")
        assert Counter(said) == {401: ADDRESS_FREE, 429: 5}


async def test_a_browser_that_was_here_before_is_not_held_up_by_strangers(tmp_path: Path) -> None:
    async with _centre(tmp_path) as (it, _), Browser(it.url) as browser:
        await browser.log_in("agent1")
        await browser.log_in("agent2")  # agents share desks: the browser is known for both
        for number in range(ADDRESS_FREE):
            await _try(it, "agent1" if number < 5 else f"name{number}", "wrong")
        assert await _try(it, "agent1", PASSWORD) == 429
        assert await _try(it, "agent1", PASSWORD, browser=browser) == 201
        assert await _try(it, "agent2", PASSWORD, browser=browser) == 201
        # It has its own count: being known is no way to guess.
        assert [await _try(it, "agent1", "wrong", browser=browser) for _ in range(7)] == [401] * 5 + [429] * 2
        # A new password makes it a stranger.
        await it.features.users.set_password("agent2", "another password")
        assert await _try(it, "agent2", "another password", browser=browser) == 429


async def test_admins_see_that_somebody_guesses(tmp_path: Path) -> None:
    async with _centre(tmp_path, PROXY) as (it, clock), Browser(it.url) as admin:
        for number in range(9):
            await _try(it, "agent1", "wrong", f"198.51.100.{number}")
        clock.advance(400)
        await _try(it, "agent1", "wrong", "198.51.100.99")
        await admin.log_in("admin1")
        entries = (await admin.json("GET", "/api/v1/audit?act=log_ins_held_up"))["entries"]
        assert [(entry["subject"], entry["peer"]) for entry in entries] == [("user:agent1", "198.51.100.4")]
        metrics = await (await admin.ask("GET", "/readyz")).text()
        assert "reasons" not in metrics  # nothing of this kind is said to what comes through the proxy


@pytest.mark.parametrize(
    ("said", "trusted", "client"),
    [
        ("198.51.100.7", "127.0.0.1/32", "198.51.100.7"),
        ("203.0.113.1, 198.51.100.7", "127.0.0.1/32", "198.51.100.7"),
        ("198.51.100.7, 10.0.0.2", "127.0.0.1/32 10.0.0.0/8", "198.51.100.7"),
        ("10.0.0.3, 10.0.0.2", "127.0.0.1/32 10.0.0.0/8", "10.0.0.3"),
        ("2001:db8::7", "127.0.0.1/32", "2001:db8::7"),
        ("::ffff:198.51.100.7", "127.0.0.1/32", "198.51.100.7"),
        ("nonsense", "127.0.0.1/32", "127.0.0.1"),
        ("198.51.100.7, nonsense", "127.0.0.1/32", "127.0.0.1"),
        ("", "127.0.0.1/32", "127.0.0.1"),
        ("198.51.100.7", "10.0.0.0/8", "127.0.0.1"),
        ("198.51.100.7", "", "127.0.0.1"),
    ],
)
async def test_the_clients_address_is_read_from_trusted_proxies_alone(
    tmp_path: Path, said: str, trusted: str, client: str
) -> None:
    networks = tuple(IPv6Network(one) if ":" in one else IPv4Network(one) for one in trusted.split())
    async with _centre(tmp_path, WebSettings(port=0, trusted_proxies=networks)) as (it, _), Browser(it.url) as browser:
        await browser.ask("POST", "/api/v1/session", {"login": "agent1", "password": PASSWORD}, X_Forwarded_For=said)
        await browser.log_in("admin1")
        entries = (await browser.json("GET", "/api/v1/audit?act=logged_in&actor=user:agent1"))["entries"]
        assert [entry["peer"] for entry in entries] == [client]


def test_waits_double_up_to_a_limit_and_are_forgotten() -> None:
    clock = ManualClock(NOW)
    attempts = Attempts(clock)
    count = by_account("agent1", exists=True)
    waits = []
    for _ in range(16):
        attempts.begin(count)
        try:
            attempts.begin(count)
        except TooMany as error:
            waits.append(error.retry_after_s)
            clock.advance(error.retry_after_s)
        else:
            attempts.undo(count)
            waits.append(0)
    assert waits[:7] == [0, 0, 0, 0, 3, 5, 9]
    assert waits[-1] == 301
    clock.advance(900)
    assert not attempts.begin(count)
    assert not attempts.begin(count)


def test_what_was_right_takes_back_itself_alone() -> None:
    attempts = Attempts(ManualClock(NOW))
    address = AttemptCount("address", 3)
    for _ in range(2):
        attempts.begin(address)
    attempts.begin(AttemptCount("account"), address)
    attempts.undo(AttemptCount("account"), address)
    attempts.begin(address)
    with pytest.raises(TooMany):
        attempts.begin(address)


def test_a_flood_of_names_and_addresses_frees_no_account() -> None:
    clock = ManualClock(NOW)
    attempts = Attempts(clock, limit=2000)
    for _ in range(5):
        attempts.begin(by_account("agent1", exists=True))
    for number in range(1990):
        attempts.begin(by_account(f"name{number}", exists=False)) if number < 500 else attempts.begin(
            by_address(f"2001:db8:{number:x}::1")
        )
    with pytest.raises(TooMany):
        attempts.begin(by_account("agent1", exists=True))


def test_addresses_of_one_network_are_one() -> None:
    assert by_address("2001:db8:0:1::1") == by_address("2001:db8:0:1:ffff::9")
    assert by_address("2001:db8:0:2::1") != by_address("2001:db8:0:1::1")


@pytest.mark.parametrize("said", ["", ".", "x", "a.b.c", "A" * 22, f"{'A' * 22}.{'0' * 32}", "." * 400, "é.é"])
def test_a_made_up_cookie_is_known_for_nothing_and_breaks_nothing(said: str) -> None:
    assert not is_known(said, "agent1", "stored")
    assert is_known(make_known(said, "agent1", "stored"), "agent1", "stored")


def test_a_browser_is_known_for_the_last_ten_accounts() -> None:
    known = ""
    for number in range(12):
        known = make_known(known, f"agent{number}", f"stored{number}")
    assert [is_known(known, f"agent{number}", f"stored{number}") for number in range(12)] == [False] * 2 + [True] * 10
    assert len(known) <= 400
