"""What is neither a row nor an event: menus, the link, prompts, orders to the PBX, journals, sockets."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from aiohttp import web
from pydantic import SecretStr

from ctiserver.app.composition import App
from ctiserver.errors import PbxRefused, UnsafeValue
from ctiserver.model.ids import CallId, PbxName, QueueName
from ctiserver.pbx.port import Pbx
from ctiserver.resources import shipped
from ctiserver.settings import PbxSettings
from tests.poison.registry import poison
from tests.support.ami import channel, event, fake_ami
from tests.support.eventually import eventually
from tests.support.fake_asterisk import header
from tests.support.whole_server import whole_server

MAIN = PbxName("main")


def healthy(app: App) -> bool:
    return app.supervisor.names == app.supervisor.running and app.supervisor.failing == ()


class Awkward:
    """A PBX that is up, and whose answers a test chooses."""

    name, up = MAIN, True

    def __init__(self, tree: dict[str, str] | None = None, *, bad: tuple[str, ...] = ()) -> None:
        self.tree = tree or {}
        self.bad = bad
        self.done: list[str] = []
        self.since = datetime.now(UTC)

    async def read_tree(self, family: str) -> dict[str, str]:
        return self.tree

    async def delete_key(self, family: str, key: str) -> None:
        self.done.append(key)

    async def hangup(self, channel: str, **_: object) -> None:
        self._do(channel)

    async def queue_withdraw(self, queue: str, channel: str) -> None:
        self._do(channel)

    def _do(self, channel: str) -> None:
        if channel in self.bad:
            raise UnsafeValue(f"{channel!r} holds a line feed")
        if channel == "refused":
            raise PbxRefused("no such channel")
        self.done.append(channel)


@poison("agi")
async def test_menus(tmp_path: Path) -> None:
    async with whole_server(tmp_path) as app:
        for odd in (
            b"\x00" * 9000,
            b"agi_network: yes\n\n",
            header(uniqueid="\x01" * 500, network_script="flow?dnis=%00"),
            header(network_script="no such script"),
            header(network_script="flow?" + "&a" * 2000),
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", app.agi_port)
            writer.write(odd)
            writer.write_eof()
            async with asyncio.timeout(20):
                await reader.read()
            writer.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", app.agi_port)
        writer.write(header(network_script="flow?dnis=4008001234&deadman=1"))
        async with asyncio.timeout(20):
            assert await reader.readline()
        writer.close()
        assert healthy(app)


@poison("pbx-main")
async def test_the_link(tmp_path: Path) -> None:
    async with fake_ami() as ami:
        pbx = PbxSettings(port=ami.port, secret=SecretStr("right"), reconnect_first_s=0.05, reconnect_longest_s=0.1)
        async with whole_server(tmp_path, pbx=pbx) as app:
            await app.ready(20)
            for odd in (
                b"\xff\xfe\x00\r\n\r\n",
                b"Event: Newchannel\r\n\r\n",
                event("Newchannel", Uniqueid="", Channel="\x00", Timestamp="nan"),
                event("Hangup", Uniqueid="1.1", Cause="9" * 400),
                event("QueueCallerJoin", Uniqueid="1.1", Queue="q" * 10_000, Position="-1"),
                b"Response: Success\r\nActionID: nobody's\r\n\r\n",
            ):
                await ami.say(odd)
            line = channel("1795295764.1", Exten="4008001234", Context="cti-inbound")
            await ami.say(event("Newchannel", **line))

            async def calls() -> int:
                return len(app.links[MAIN].calls())

            await eventually(calls, lambda count: count >= 1)
            assert healthy(app)


@poison("prompts")
async def test_prompts_that_no_engine_speaks(tmp_path: Path) -> None:
    async with whole_server(tmp_path, prompt_command=("/no/such/program", "{text}", "{out}")) as app:
        app.reload()
        await asyncio.sleep(0)
        assert healthy(app)


@poison("catching-up")
async def test_journals(tmp_path: Path) -> None:
    good = ("1795295764.7", "1795295764|FAILURE|13800000001|4008001234|menu|repair|zh-CN|1795295764.7")
    tree = {
        "not a key": "",
        "1795295764.1": "9" * 400 + "|FAILURE|a|b|c|d|e",
        "1795295764.2": "1795295764|voicemail|" + "9" * 5000 + "|4008001234|x|OK|../../etc/passwd|" + "9" * 300,
        "1795295764.3": "1795295764|callback||||ANSWER|\x00|1795295764.3",
        good[0]: good[1],
    }
    async with whole_server(tmp_path) as app:
        pbx = Awkward(tree)
        await app.features.catching_up.catch_up(cast(Pbx, pbx), None)
        assert good[0] in pbx.done
        before = len(await app.features.aside.page(50))
        await app.features.catching_up.catch_up(cast(Pbx, Awkward(tree)), None)
        assert len(await app.features.aside.page(50)) == before  # set aside once
        assert before >= 2
        assert healthy(app)


@poison("callbacks-withdrawn")
async def test_places_that_are_kept_needlessly(tmp_path: Path) -> None:
    async with whole_server(tmp_path) as app:
        callbacks, pbx = app.features.callbacks, Awkward(bad=("a\nb",))
        callbacks._pbxs = {MAIN: cast(Pbx, pbx)}
        for number, name in enumerate(("a\nb", "refused", "good")):
            callbacks._channels[CallId(str(number))] = (MAIN, name)
            callbacks._needless.put_nowait(CallId(str(number)))
        callbacks._needless.put_nowait(CallId("nobody's"))

        async def done() -> list[str]:
            return pbx.done

        await eventually(done, lambda seen: seen == ["good"])
        assert [item.service for item in app.bus.not_taken_in] == ["callbacks-withdrawn"]
        assert healthy(app)


@poison("queue-closing")
async def test_queues_that_close(tmp_path: Path) -> None:
    shipped_queues = shipped("config", "queues.yaml").read_text(encoding="utf-8")
    closing = re.sub(r"(    strategy:)", r"    calendar: service_desk\n\1", shipped_queues)
    async with whole_server(tmp_path, files={"queues.yaml": closing}) as app:
        queues, pbx = app.features.queues, Awkward(bad=("a\nb",))
        queues._pbxs = {MAIN: cast(Pbx, pbx)}
        queues._closed = lambda calendar, at: True
        names = [QueueName(name) for name, queue in app.site.queues.items() if queue.calendar is not None]
        assert len(names) > 1
        now = queues._clock.now()
        for number, name in enumerate(("refused", "good")):
            queues._channels[MAIN, CallId(str(number))] = name
            queues._of(names[-1]).entered[MAIN, CallId(str(number))] = now
        queues._channels[MAIN, CallId("odd")] = "a\nb"
        queues._of(names[0]).entered[MAIN, CallId("odd")] = now

        async def done() -> list[str]:
            return pbx.done

        await eventually(done, lambda seen: "good" in seen)
        assert healthy(app)


@poison("phone-lines")
async def test_lines_whose_socket_fails(tmp_path: Path) -> None:
    closed: list[str] = []

    class Socket:
        def __init__(self, name: str) -> None:
            self.name = name

        async def close(self, **_: Any) -> None:
            if self.name == "broken":
                raise RuntimeError("Cannot write to closing transport")
            closed.append(self.name)

    async with whole_server(tmp_path) as app:
        lines = app.features.lines
        for name in ("broken", "good"):
            lines._open[cast(web.WebSocketResponse, Socket(name))] = cast(Any, None)
        assert healthy(app)
    assert closed == ["good"]
