"""An Asterisk that says over AMI what a test wants: log-in, snapshots, events, silence, a broken connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

#: What the dialplan puts into its events.
KEY = "0123456789abcdef"


def event(name: str, **headers: object) -> bytes:
    """An event as Asterisk writes it; ``_`` in a key is left out, so that Python's words can be keys.

    One with an ActionID is a row of an answer, and says nothing of rights and time.
    """
    lines = [f"Event: {name}"]
    if "ActionID" not in headers:
        lines.append("Privilege: call,all")
        if "Timestamp" in headers:
            lines.append(f"Timestamp: {float(str(headers.pop('Timestamp'))):.6f}")
    if str(headers.get("UserEvent", "")).startswith("Cti"):
        lines.append(f"Key: {KEY}")
    lines += [f"{key.replace('_', '')}: {value}" for key, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def channel(uniqueid: str, name: str = "PJSIP/trunk-00000001", **more: object) -> dict[str, object]:
    """The headers of a channel."""
    return {
        "Channel": name,
        "ChannelState": "6",
        "ChannelStateDesc": "Up",
        "CallerIDNum": "13800138000",
        "CallerIDName": "<unknown>",
        "ConnectedLineNum": "<unknown>",
        "ConnectedLineName": "<unknown>",
        "Language": "en",
        "AccountCode": "",
        "Context": "cti-inbound",
        "Exten": "4001",
        "Priority": "1",
        "Uniqueid": uniqueid,
        "Linkedid": uniqueid,
        **more,
    }


@dataclass
class FakeAmi:
    """What the PBX is, has and does. Change it at any time; :meth:`say` speaks to everybody who is logged in."""

    secret: str = "right"
    version: str = "22.10.1"
    systemname: str = ""
    started: str = "2026-11-21 19:00:00"
    uptime_s: int = 3600
    booted: bool = True
    channels: list[dict[str, object]] = field(default_factory=list)
    entries: list[dict[str, object]] = field(default_factory=list)
    members: list[dict[str, object]] = field(default_factory=list)
    refuses: dict[str, str] = field(default_factory=dict)  #: action (``*``: each) → the error it gets
    greets: bytes = b"Asterisk Call Manager/11.0.0\r\n"
    gives: tuple[str, ...] = ()  #: the actions that the account is given; none: it is not told
    rubbish: bytes | None = None  #: what every action but the log-in gets for an answer; ``%b`` is its ActionID
    silent: set[str] = field(default_factory=set)  #: actions that get no answer
    said_before_channels: bytes = b""  #: sent just before the list of channels, as events of meanwhile are
    said_after_channels: bytes = b""
    marks: dict[str, str] = field(default_factory=dict)  #: global variables by which a link knows the process again
    astdb: dict[str, str] = field(default_factory=dict)  #: /family/key → value
    received: list[dict[str, list[str]]] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    def actions(self, name: str) -> list[dict[str, list[str]]]:
        """Every action of this name that arrived."""
        return [action for action in self.received if action["Action"] == [name]]

    async def arrived(self, name: str, count: int = 1) -> None:
        """Wait until so many actions of this name came."""
        async with asyncio.timeout(20), self._changed:
            await self._changed.wait_for(lambda: len(self.actions(name)) >= count)

    async def say(self, data: bytes) -> None:
        """Send bytes to everybody who is logged in."""
        for writer in list(self._writers):
            writer.write(data)
            await writer.drain()

    def drop(self) -> None:
        """Break every connection."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            writer.write(self.greets)
            while True:
                block = (await reader.readuntil(b"\r\n\r\n")).decode()
                action: dict[str, list[str]] = {}
                for line in block.strip().split("\r\n"):
                    key, _, value = line.partition(": ")
                    action.setdefault(key, []).append(value)
                async with self._changed:
                    self.received.append(action)
                    self._changed.notify_all()
                if action["Action"][0] not in self.silent:
                    writer.write(b"".join(self._answers(action)))
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    def _answers(self, action: dict[str, list[str]]) -> Iterable[bytes]:
        name, action_id = action["Action"][0], action["ActionID"][0]

        def response(word: str, *lines: str) -> bytes:
            return "\r\n".join([f"Response: {word}", f"ActionID: {action_id}", *lines, "", ""]).encode()

        refusal = self.refuses.get(name) or self.refuses.get("*")
        if refusal is not None:
            yield response("Error", f"Message: {refusal}")
        elif self.rubbish is not None and name != "Login":
            yield self.rubbish.replace(b"%b", action_id.encode())
        elif name == "ListCommands" and self.gives:
            yield response("Success", *(f"{one}: What it does.  (Priv: x,all)" for one in self.gives))
        elif name == "Login":
            if action["Secret"] == [self.secret]:
                yield response("Success", "Message: Authentication accepted")
                if self.booted:
                    yield event("FullyBooted", Uptime=self.uptime_s, Status="Fully Booted")
            else:
                yield response("Error", "Message: Authentication failed")
        elif name == "CoreSettings":
            yield response("Success", f"AsteriskVersion: {self.version}", f"SystemName: {self.systemname}")
        elif name == "CoreStatus":
            day, time = self.started.split()
            yield response("Success", f"CoreStartupDate: {day}", f"CoreStartupTime: {time}")
        elif name == "CoreShowChannels":
            yield self.said_before_channels
            yield response("Success", "EventList: start", "Message: Channels will follow")
            for row in self.channels:
                yield event("CoreShowChannel", ActionID=action_id, **row)
            yield event("CoreShowChannelsComplete", ActionID=action_id, EventList="Complete")
            yield self.said_after_channels
        elif name == "QueueStatus":
            yield response("Success", "EventList: start", "Message: Queue status will follow")
            for row in self.members:
                yield event("QueueMember", ActionID=action_id, **row)
            for row in self.entries:
                yield event("QueueEntry", ActionID=action_id, **row)
            yield event("QueueStatusComplete", ActionID=action_id, EventList="Complete")
        elif name == "DBGetTree":
            yield response("Success", "EventList: start", "Message: Result will follow")
            for key, value in self.astdb.items():
                if key.startswith(f"/{action['Family'][0]}/"):
                    yield event("DBGetTreeResponse", Key=key, Val=value, ActionID=action_id)
            yield event("DBGetTreeComplete", ActionID=action_id, EventList="Complete")
        elif name == "Getvar":
            variable = action["Variable"][0]
            value = self.marks.get(variable, "") if variable.startswith("CTI_MARK_") else KEY
            yield response("Success", f"Variable: {variable}", f"Value: {value}")
        else:
            if name == "Setvar" and action["Variable"][0].startswith("CTI_MARK_"):
                self.marks[action["Variable"][0]] = action["Value"][0]
            if name == "Setvar" and action["Variable"][0].startswith("DB_DELETE("):
                self.astdb.pop("/" + action["Variable"][0].removeprefix("DB_DELETE(").removesuffix(")"), None)
            yield response("Success", "Message: done")


@asynccontextmanager
async def fake_ami(**traits: object) -> AsyncIterator[FakeAmi]:
    """A FakeAmi on a free port of 127.0.0.1."""
    pbx = FakeAmi(**traits)  # type: ignore[arg-type]
    server = await asyncio.start_server(pbx.serve, "127.0.0.1", 0)
    pbx.port = server.sockets[0].getsockname()[1]
    try:
        yield pbx
    finally:
        server.close()
        pbx.drop()
        await server.wait_closed()
