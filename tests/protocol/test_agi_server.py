"""The FastAGI server among peers that are hostile, broken, or merely gone."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from ctiserver.agi.server import AgiServer, Handler
from ctiserver.agi.session import CommandRefused, HungUp, PromptMissing, Session
from ctiserver.clock import Clock, ManualClock, SystemClock
from ctiserver.errors import DeadlineExceeded, UserFault
from ctiserver.settings import AgiSettings
from tests.support.eventually import eventually
from tests.support.fake_asterisk import FakeAsterisk, header

SETTINGS = AgiSettings(port=0, header_timeout_s=0.3, max_sessions=50)


async def polite(session: Session) -> None:
    await session.answer()
    await session.stream_file("/prompts/hello", "#", longest_s=2.0)
    await session.wait_for_digit(3.0)
    await session.release()
    await session.set_variable("CTI_DONE", 1)


@contextlib.asynccontextmanager
async def serving(
    handler: Handler = polite, settings: AgiSettings = SETTINGS, clock: Clock | None = None
) -> AsyncIterator[tuple[AgiServer, int]]:
    server = AgiServer(settings, {"flow": handler}, clock or SystemClock())
    async with asyncio.TaskGroup() as group:
        task = group.create_task(server.run())
        yield server, await server.listening()
        task.cancel()


async def closed(data: bytes, port: int, *, half_close: bool = False, within_s: float = 2.0) -> bytes:
    """Send ``data``; what the server says until it closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        with contextlib.suppress(ConnectionError):
            writer.write(data)
            await writer.drain()
            if half_close:
                writer.write_eof()
            async with asyncio.timeout(within_s):
                return await reader.read()
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    return b""


async def test_a_call_from_header_to_done() -> None:
    async with serving() as (server, port):
        asterisk = FakeAsterisk(keys="5")
        await asterisk.call(port)
    names = [" ".join(words[:3]) if words[0] == "SET" else words[0] for words in asterisk.commands]
    # The dialplan's own second suffices for the first command.
    assert names == ["ANSWER", "SET AUTOHANGUP 3.0", "STREAM", "SET AUTOHANGUP 4.0", "WAIT",
                     "SET AUTOHANGUP 0", "SET VARIABLE CTI_DONE"]  # fmt: skip
    assert not asterisk.struck
    assert asterisk.variables["CTI_DONE"] == "1"
    assert server.counts.served == 1
    assert server.active == 0


#: What a peer sends, and whether it then closes its side.
HOSTILE: dict[str, tuple[bytes, bool]] = {
    "connect and close": (b"", True),
    "half a header": (b"agi_network: yes\n", False),
    "no newline": (b"agi_network: yes", False),
    "10 MB": (b"agi_x: " + b"y" * 10_000_000, False),
    "duplicate keys": (header().replace(b"agi_callerid:", b"agi_channel:"), False),
    "bad UTF-8": (header(callerid="@@").replace(b"@@", b"\xff\xfe"), False),
    "TLS": (b"\x16\x03\x01\x02\x00", False),
    "zeros": (b"\x00" * 5000, False),
}


@pytest.mark.parametrize("kind", HOSTILE)
async def test_a_bad_peer_is_gone_within_two_seconds_and_nothing_is_said_to_it(kind: str) -> None:
    data, half_close = HOSTILE[kind]
    async with serving() as (server, port):
        assert await closed(data, port, half_close=half_close) == b""
        good = FakeAsterisk(keys="1")
        await good.call(port)
    assert good.variables["CTI_DONE"] == "1"
    assert server.counts.refused_header == 1


async def test_two_hundred_bad_peers_of_every_kind_at_once_hurt_no_call() -> None:
    """Each is gone within two seconds (``closed`` sees to that), and no good call is held up by them."""
    bad = [(data[:100_000], half_close) for data, half_close in HOSTILE.values()] * 25
    good = [FakeAsterisk(keys="1") for _ in range(20)]
    loop = asyncio.get_running_loop()
    times: list[float] = []

    async def timed(asterisk: FakeAsterisk) -> None:
        began = loop.time()
        await asterisk.call(port)
        times.append(loop.time() - began)

    async with serving() as (server, port), asyncio.TaskGroup() as group:
        for data, half_close in bad:
            group.create_task(closed(data, port, half_close=half_close))
        for asterisk in good:
            group.create_task(timed(asterisk))
    assert server.counts.served == 20
    assert server.counts.refused_header == len(bad) == 200
    # Peers and calls share this process with the server; `python -m tests.bench hostile` has the server's own figures.
    assert max(times) < 2.0


async def test_a_peer_outside_the_allow_list_is_not_heard() -> None:
    settings = AgiSettings.model_validate({"port": 0, "allow": ["10.0.0.0/8"]}, strict=False)
    async with serving(settings=settings) as (server, port):
        assert await closed(header(network_script="flow"), port) == b""
    assert server.counts.refused_peer == 1


async def test_a_call_too_many_is_told_so_and_falls_back() -> None:
    inside, leave = asyncio.Event(), asyncio.Event()

    async def busy(_: Session) -> None:
        inside.set()
        await leave.wait()

    one = SETTINGS.model_copy(update={"max_sessions": 1})
    async with serving(busy, one) as (server, port), asyncio.TaskGroup() as group:
        group.create_task(FakeAsterisk().call(port))
        await inside.wait()
        late = FakeAsterisk()
        await late.call(port)
        leave.set()
    assert late.variables == {"CTI_BUSY": "calls"}
    assert server.counts.refused_busy == 1


async def test_an_ending_server_refuses_new_calls_and_lets_those_under_way_finish() -> None:
    inside, leave = asyncio.Event(), asyncio.Event()

    async def talks(session: Session) -> None:
        inside.set()
        await leave.wait()
        await session.hand_back({"CTI_DO": "queue"})

    async with serving(talks) as (server, port), asyncio.TaskGroup() as group:
        under_way = FakeAsterisk()
        call = group.create_task(under_way.call(port))
        await inside.wait()
        draining = group.create_task(server.drain(20.0))
        await asyncio.sleep(0)
        late = FakeAsterisk()
        await late.call(port)
        assert late.variables == {"CTI_BUSY": "ending"}
        assert not draining.done()
        leave.set()
        await draining
        await call
    assert under_way.variables["CTI_DONE"] == "1"


async def test_an_ending_server_waits_no_longer_than_it_was_told_to() -> None:
    inside = asyncio.Event()

    async def talks_on(_: Session) -> None:
        inside.set()
        await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        async with serving(talks_on) as (server, port):
            asterisk = FakeAsterisk()
            call = group.create_task(asterisk.call(port))
            await inside.wait()
            async with asyncio.timeout(10):
                await server.drain(0.05)
            assert server.active == 1
        await call  # by the server's end: Asterisk sees the session closed, and no mark
    assert "CTI_DONE" not in asterisk.variables


async def test_an_unknown_script_falls_back() -> None:
    async with serving() as (server, port):
        asterisk = FakeAsterisk()
        await asterisk.call(port, script="nothing")
    assert asterisk.variables == {"CTI_BUSY": "script"}
    assert server.counts.unknown_script == 1


async def test_a_handler_that_crashes_takes_only_its_own_call_along() -> None:
    async def crash(_: Session) -> None:
        raise RuntimeError("a bug")

    async with serving(crash) as (server, port):
        first = FakeAsterisk()
        await first.call(port)
        await FakeAsterisk().call(port)
    assert first.variables == {}
    assert server.counts.failed == 2


@pytest.mark.parametrize("how", ["HANGUP", "511", "-1", "EOF"])
@pytest.mark.parametrize("command", ["ANSWER", "STREAM", "WAIT"])
async def test_a_hang_up_is_one_thing_however_asterisk_says_it(how: str, command: str) -> None:
    ended = asyncio.Event()

    async def handler(session: Session) -> None:
        with pytest.raises(HungUp):
            await polite(session)
        with pytest.raises(HungUp):
            await session.set_variable("X", 1)  # there is no second chance
        ended.set()

    async with serving(handler) as (server, port):
        asterisk = FakeAsterisk(hang_up_before=lambda words: words[0] == command, how=how)
        await asterisk.call(port)
        async with asyncio.timeout(2.0):
            await ended.wait()
    assert server.counts.failed == 0
    assert "CTI_DONE" not in asterisk.variables


@pytest.mark.parametrize("how", ["HANGUP", "511", "-1", "EOF"])
@pytest.mark.parametrize("late", [False, True])
async def test_the_caller_has_left_if_the_channel_says_so_before_the_dead_man_may_have_struck(
    how: str, late: bool
) -> None:
    left: list[bool] = []

    async def handler(session: Session) -> None:
        with pytest.raises(HungUp):
            await polite(session)
        left.append(session.caller_left)

    def hangs_up(words: list[str]) -> bool:
        if words[0] == "WAIT" and late:
            clock.advance(60.0)
        return words[0] == "WAIT"

    clock = ManualClock(datetime(2026, 11, 23, tzinfo=UTC))
    async with serving(handler, clock=clock) as (server, port):
        await FakeAsterisk(hang_up_before=hangs_up, how=how).call(port)
        async with asyncio.timeout(2.0):
            await server.drain(2.0)
    assert left == [how != "EOF" and not late]


async def test_a_missing_prompt_is_not_a_hang_up() -> None:
    class NoPrompt(FakeAsterisk):
        def reply(self, words: list[str]) -> str:
            return "200 result=-1 endpos=0" if words[0] == "STREAM" else super().reply(words)

    async def handler(session: Session) -> None:
        with pytest.raises(PromptMissing):
            await session.stream_file("/nowhere", "")
        await session.set_variable("CTI_DONE", 1)

    async with serving(handler) as (_, port):
        asterisk = NoPrompt()
        await asterisk.call(port)
    assert asterisk.variables["CTI_DONE"] == "1"


async def test_a_refused_command_keeps_replies_in_step() -> None:
    class Refusing(FakeAsterisk):
        def reply(self, words: list[str]) -> str:
            if words[0] == "FOO":
                return "520-Invalid command syntax.  Proper usage follows:\n Usage: FOO\n520 End of proper usage."
            return super().reply(words)

    async def handler(session: Session) -> None:
        with pytest.raises(CommandRefused, match="520"):
            await session.execute("FOO")
        assert await session.get_variable("A") == "b"

    async with serving(handler) as (server, port):
        await Refusing(variables={"A": "b"}).call(port)
    assert server.counts.served == 1


async def test_an_asterisk_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctiserver.agi.session._REPLY_TIMEOUT_S", 0.05)
    failed: list[BaseException] = []

    async def handler(session: Session) -> None:
        try:
            await session.answer()
        except DeadlineExceeded as error:
            failed.append(error)
            raise

    async with serving(handler) as (server, port):
        assert b"SET AUTOHANGUP" in await closed(header(network_script="flow"), port)
    assert len(failed) == 1
    assert server.counts.failed == 1


async def test_cancelling_the_server_ends_calls_and_leaves_no_task() -> None:
    inside = asyncio.Event()

    async def waits(session: Session) -> None:
        inside.set()
        await session.wait_for_digit(60.0)

    before = len(asyncio.all_tasks())
    reader: asyncio.StreamReader | None = None
    async with serving(waits) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(header(network_script="flow"))
        await inside.wait()
    assert b"SET AUTOHANGUP" in await reader.read()  # and then the end: the dialplan goes on
    writer.close()
    await writer.wait_closed()
    assert len(asyncio.all_tasks()) == before


async def test_a_port_in_use_is_a_fault_that_names_the_setting() -> None:
    async with serving() as (_, port):
        with pytest.raises(UserFault, match=r"agi\.port"):
            await AgiServer(SETTINGS.model_copy(update={"port": port}), {}, SystemClock()).run()


async def test_half_open_connections_refuse_no_call() -> None:
    """560 of them, opened again as they are ended, and 61 calls: strangers wait for each other, not calls for them."""
    good = [FakeAsterisk(keys="1") for _ in range(61)]
    async with serving(settings=AgiSettings(port=0, header_timeout_s=2.0, max_sessions=100)) as (server, port):
        strangers = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.support.half_open", str(port), "560"), stdin=asyncio.subprocess.PIPE
        )
        try:
            await eventually(lambda: _refused(server), lambda refused: refused > 560)
            async with asyncio.TaskGroup() as group:
                for asterisk in good:
                    group.create_task(asterisk.call(port))
        finally:
            strangers.kill()
            await strangers.wait()
    assert [asterisk.variables.get("CTI_DONE") for asterisk in good] == ["1"] * 61
    assert not any(asterisk.struck for asterisk in good)
    assert server.counts.served == 61


async def _refused(server: AgiServer) -> int:
    return server.counts.refused_header
