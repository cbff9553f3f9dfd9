"""Clock, ids, bus, supervision, logs: what everything else stands on."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
import structlog

from ctiserver.bus import Bus, Lagged
from ctiserver.clock import ManualClock
from ctiserver.errors import UserFault
from ctiserver.logs import _printable, _worth_telling, mask
from ctiserver.model.ids import PbxName, Uniqueid, call_id, new_ulid
from ctiserver.model.set_aside import reason_of, storable
from ctiserver.supervise import RestartPolicy, Supervisor


def test_manual_clock() -> None:
    clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
    clock.advance(1.5)
    assert clock.now() == datetime(2026, 1, 1, 0, 0, 1, 500_000, tzinfo=UTC)
    assert clock.monotonic() == 1.5
    with pytest.raises(ValueError, match="backwards"):
        clock.advance(-1)
    with pytest.raises(ValueError, match="aware"):
        ManualClock(datetime(2026, 1, 1))  # noqa: DTZ001


def test_call_ids_are_stable_distinct_and_sort_by_time() -> None:
    main, other = PbxName("main"), PbxName("other")
    early, late = Uniqueid("1763000000.7"), Uniqueid("pbx-1-1763000001.1")
    assert call_id(main, early) == call_id(main, early)
    assert call_id(main, early) != call_id(other, early)
    assert call_id(main, early) < call_id(main, late)
    assert len(call_id(main, Uniqueid("opaque"))) == 26


def test_ulids_sort_by_time_and_are_crockford() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    ids = [new_ulid(start + timedelta(milliseconds=n), lambda bits, n=n: 2**bits - 1 - n) for n in range(50)]
    assert ids == sorted(ids)
    assert new_ulid(datetime.fromtimestamp(0, UTC), lambda _: 31) == "0" * 25 + "Z"


async def test_bus_keeps_order_and_kind() -> None:
    bus = Bus()
    with bus.subscribe(int) as numbers, bus.subscribe(int, str) as both:
        for event in (1, "a", 2):
            bus.publish(event)
        bus.close()
        assert [event async for event in numbers] == [1, 2]
        assert [event async for event in both] == [1, "a", 2]


async def test_a_slow_subscriber_is_told_what_it_missed_and_goes_on() -> None:
    bus = Bus()
    with bus.subscribe(int, limit=2) as numbers:
        for event in range(5):
            bus.publish(event)
        with pytest.raises(Lagged, match="5 events missed"):
            await anext(numbers)
        bus.publish(9)
        assert await anext(numbers) == 9


QUICK = RestartPolicy(first_delay_s=0.001, longest_delay_s=0.001)


async def test_a_service_that_fails_is_restarted() -> None:
    runs = 0
    up = asyncio.Event()

    async def service() -> None:
        nonlocal runs
        runs += 1
        if runs < 3:
            raise RuntimeError("boom")
        up.set()
        await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        supervisor = Supervisor(group, QUICK)
        supervisor.start("s", service)
        async with asyncio.timeout(20):
            await up.wait()
        assert supervisor.running == {"s"}
        await supervisor.stop("s")
        assert supervisor.running == frozenset()


async def test_a_service_that_fails_again_and_again_ends_nobody_else_and_is_named() -> None:
    runs = 0
    enough = asyncio.Event()

    async def broken() -> None:
        nonlocal runs
        runs += 1
        if runs > 40:
            enough.set()
        raise RuntimeError("the secret number is 13800000001")

    async with asyncio.TaskGroup() as group:
        supervisor = Supervisor(group, QUICK)
        supervisor.start("broken", broken)
        supervisor.start("good", asyncio.Event().wait)  # type: ignore[arg-type]
        async with asyncio.timeout(20):
            await enough.wait()
        assert supervisor.running == {"broken", "good"}
        (failing,) = supervisor.failing
        assert failing.service == "broken"
        assert failing.failures >= 40
        assert "RuntimeError" in str(failing)
        assert "138" not in str(failing)
        supervisor.stop_all()


async def test_a_service_that_has_run_well_for_long_is_named_no_more() -> None:
    runs = 0
    again = asyncio.Event()

    async def once_broken() -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            raise RuntimeError("boom")
        again.set()
        await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        supervisor = Supervisor(group, RestartPolicy(first_delay_s=0.001, well_after_s=0.0))
        supervisor.start("s", once_broken)
        async with asyncio.timeout(20):
            await again.wait()
        assert supervisor.failing == ()
        supervisor.stop_all()


async def test_one_failure_again_and_again_is_one_line() -> None:
    runs = 0
    enough = asyncio.Event()

    async def broken() -> None:
        nonlocal runs
        runs += 1
        if runs == 30:
            enough.set()
        raise ValueError("a") if runs < 20 else TypeError("b")

    with structlog.testing.capture_logs() as lines:
        async with asyncio.TaskGroup() as group:
            supervisor = Supervisor(group, QUICK)
            supervisor.start("s", broken)
            async with asyncio.timeout(20):
                await enough.wait()
            supervisor.stop_all()
    assert [line["event"] for line in lines] == ["service_failed"] * 2  # one a kind
    assert lines[1]["not_told"] == 18


async def test_what_is_away_is_waited_for_however_long_it_takes() -> None:
    runs = 0

    async def service() -> None:
        nonlocal runs
        runs += 1
        if runs <= 6:
            raise ConnectionError("the database is away")

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        Supervisor(group, QUICK, away=(ConnectionError,)).start("s", service)
    assert runs == 7


async def test_a_users_fault_ends_the_server_at_the_start_of_what_it_needs_and_nothing_else() -> None:
    runs = {"other": 0, "later": 0}
    enough = asyncio.Event()

    async def other() -> None:
        runs["other"] += 1
        raise UserFault("no such calendar", where="queues.yaml", fix="Add it")

    async def later() -> None:
        runs["later"] += 1
        if runs["later"] > 3:
            enough.set()
        if runs["later"] == 1:
            raise RuntimeError("boom")
        raise UserFault("the port is taken by now", where="agi.port", fix="Free it")

    async def at_once() -> None:
        raise UserFault("wrong password", where="pbxs.main.secret", fix="Set it")

    async def server() -> None:
        async with asyncio.TaskGroup() as group:
            supervisor = Supervisor(group, QUICK)
            supervisor.start("other", other)
            supervisor.start("later", later, essential=True)
            async with asyncio.timeout(20):
                await enough.wait()
            assert supervisor.running == {"other", "later"}
            supervisor.start("at-once", at_once, essential=True)
            await asyncio.Event().wait()

    with pytest.raises(ExceptionGroup) as failure:
        await server()
    fault = failure.value.exceptions[0]
    assert isinstance(fault, UserFault)
    assert fault.what == "wrong password"
    assert runs["other"] > 1


def test_what_others_wrote_is_printable_in_a_log_and_in_a_reason() -> None:
    event = _printable(None, "", {"path": "/\x1b[2J\x07", "ref": "a\ud800b", "n": 7, "name": "张伟\n"})
    assert event == {"path": "/\\x1b[2J\\x07", "ref": "a\\xd800b", "n": 7, "name": "张伟\n"}
    assert reason_of(ValueError("no\nsuch\x00 zone\ud800")) == "ValueError: no such zone"
    assert reason_of(KeyError()) == "KeyError"
    assert storable("a\x00\ud800" + "x" * 500, 4) == "a ?x"


def test_numbers_are_masked() -> None:
    assert mask("13800138000") == "*******8000"
    assert mask("101") == "101"


def test_a_cancelled_reset_of_a_connection_is_no_error_to_tell_of() -> None:
    def told(name: str, error: BaseException) -> bool:
        record = logging.LogRecord(name, logging.ERROR, "", 0, "", (), (type(error), error, None))
        return _worth_telling(record)

    assert not told("sqlalchemy.pool.impl.AsyncAdaptedQueuePool", asyncio.CancelledError())
    assert told("sqlalchemy.pool.impl.AsyncAdaptedQueuePool", OSError())
    assert told("ctiserver.app", asyncio.CancelledError())


def test_a_logged_failure_says_where_and_nothing_of_what_was_in_hand() -> None:
    """Locals hold callers' keys, and drawing them has kept a server from its callers for a minute."""
    fails = """
import logging
from ctiserver.logs import configure
from ctiserver.settings import LogSettings
configure(LogSettings())
typed = "".join(["4", "7", "1", "1"])
try:
    int("x")
except ValueError:
    logging.getLogger("a").exception("broken")
"""
    done = subprocess.run([sys.executable, "-c", fails], capture_output=True, text=True, check=True, timeout=60)
    assert "ValueError: invalid literal" in done.stderr
    assert "Traceback (most recent call last)" in done.stderr
    assert "4711" not in done.stderr
