"""baresip, driven: its configuration, its control socket, and the state of its calls as its events tell it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ctiserver.errors import CtiError, PeerLost
from ctiserver.lab.privatepbx.modules import PHONE_ACCOUNT_MODULE, PHONE_APPLICATIONS, PHONE_MODULES
from ctiserver.lab.privatepbx.ports import free_port
from ctiserver.lab.privatepbx.tree import Programs
from ctiserver.pid import Process

COMMAND_TIMEOUT_S = 5.0
SOURCE_RATE_HZ = 48_000  #: of whatever is spoken; the one rate that the tone source has
HEARD_RATE_HZ = 8_000
#: What is sent until something else is said.
TONE = "ausine,440"

_DIALLED = re.compile(r"call id: (\S+)\s*$")
_TONES = ("ring", "ringback", "callwaiting", "notfound", "busy", "error", "sip_autoanswer")
_RTP_PORTS = 40
_CONNECT_POLL_S = 0.02


class CallFailed(CtiError):
    """The call that was waited for ended or was refused."""


class Control(asyncio.Protocol):
    """baresip's control socket: JSON in netstrings, and the state of its calls as its events tell it."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._data = b""
        self._changed = asyncio.Event()
        self._answers: dict[str, dict[str, Any]] = {}
        self._asked = 0
        self._lost = False
        self.registered: bool | None = None
        self.calls: set[str] = set()
        self.ringing: dict[str, str] = {}  #: call → who calls
        self.established: set[str] = set()
        self.dialled = ""  #: the call that was dialled last
        self.answered = False  #: whether that was answered, even if it has ended since
        self.rung = 0  #: how often somebody called
        self.reason = ""
        self.keys = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self._changed.set()

    def data_received(self, data: bytes) -> None:
        self._data += data
        while True:
            length, colon, rest = self._data.partition(b":")
            if not colon or len(rest) <= int(length):
                return
            self._data = rest[int(length) + 1 :]
            self._read(json.loads(rest[: int(length)], strict=False))

    def _read(self, message: dict[str, Any]) -> None:
        if message.get("response"):
            self._answers[message.get("token", "")] = message
            # Before the events behind it are read: the call may be over in the very same packet.
            dialled = _DIALLED.match(str(message.get("data", "")))
            if dialled:
                self.calls.add(dialled[1])
                self.dialled, self.answered = dialled[1], False
        else:
            self._event(message.get("type", ""), message.get("id", ""), message)
        self._changed.set()

    def _event(self, kind: str, call: str, message: dict[str, Any]) -> None:
        match kind:
            case "REGISTER_OK":
                self.registered = True
            case "REGISTER_FAIL":
                self.registered = False
            case "CALL_INCOMING":
                self.calls.add(call)
                self.rung += 1
                self.ringing[call] = str(message.get("peeruri", ""))
            case "CALL_ESTABLISHED":
                self.calls.add(call)
                self.ringing.pop(call, None)
                self.established.add(call)
                self.answered = self.answered or call == self.dialled
            case "CALL_CLOSED":
                self.calls.discard(call)
                self.ringing.pop(call, None)
                self.established.discard(call)
                self.reason = str(message.get("param", ""))
            case "CALL_DTMF_START":
                self.keys += str(message.get("param", ""))
            case _:
                pass  # progress and statistics

    async def until(self, true: Callable[[Control], bool]) -> None:
        """Wait until ``true(self)``. Raises PeerLost if the phone ends first."""
        while not true(self):
            if self._lost:
                raise PeerLost("the phone ended")
            self._changed.clear()
            await self._changed.wait()

    async def ask(self, command: str, parameters: str = "") -> str:
        """Have ``command`` done; returns what the phone says of it. Raises CallFailed where it refuses."""
        self._asked += 1
        token = str(self._asked)
        body = json.dumps({"command": command, "params": parameters, "token": token}).encode()
        assert self._transport is not None
        self._transport.write(b"%d:%b," % (len(body), body))
        async with asyncio.timeout(COMMAND_TIMEOUT_S):
            await self.until(lambda seen: token in seen._answers)
        answer = self._answers.pop(token)
        text = str(answer.get("data", "")).strip()
        if not answer.get("ok"):
            raise CallFailed(f"the phone refused {command}: {text or 'no reason given'}")
        return text

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


async def connect(port: int, process: Process) -> Control:
    loop = asyncio.get_running_loop()
    while True:
        try:
            _, control = await loop.create_connection(Control, "127.0.0.1", port)
            return control
        except OSError:
            if not process.alive:
                raise PeerLost("the phone ended while it started") from None
            await asyncio.sleep(_CONNECT_POLL_S)


def write(folder: Path, programs: Programs, sip_port: int = 0) -> int:
    """Write baresip's configuration; returns its control port. ``sip_port`` 0 is any that is free."""
    sip = sip_port or free_port()
    control = free_port(frozenset({sip}))
    rtp = free_port(frozenset({sip, control}))
    (folder / "accounts").touch(mode=0o600)
    lines = [
        "poll_method epoll",
        f"sip_listen 127.0.0.1:{sip}",
        "net_interface 127.0.0.1",
        "call_max_calls 4",
        "call_local_timeout 300",
        f"rtp_ports {rtp}-{rtp + _RTP_PORTS}",
        "statmode_default off",
        f"audio_source {TONE}",
        # What is heard goes nowhere but into sndfile's dump: baresip 1.1 crashes, now and then, when its file player
        # is stopped, and it plays a ringing tone through the same player.
        "audio_player aubridge,nil",
        "audio_alert aubridge,nil",
        *(f"{tone}_aufile none" for tone in _TONES),
        f"snd_path {folder}",
        f"ausrc_srate {SOURCE_RATE_HZ}",
        f"auplay_srate {HEARD_RATE_HZ}",
        "ausrc_channels 1",
        "auplay_channels 1",
        "audio_txmode thread",
        f"module_path {programs.baresip_modules}",
        *(f"module {name}.so" for name in PHONE_MODULES),
        f"module_tmp {PHONE_ACCOUNT_MODULE}.so",
        *(f"module_app {name}.so" for name in PHONE_APPLICATIONS),
        f"ctrl_tcp_listen 127.0.0.1:{control}",
    ]
    (folder / "config").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return control


def last_words(folder: Path) -> str:
    with contextlib.suppress(OSError):
        lines = (folder / "output").read_text(encoding="utf-8", errors="replace").split("\n")
        words = [re.sub(r"\x1b\[[0-9;]*m", "", line).strip() for line in lines]
        return "; ".join([word for word in words if word][-3:]) or "it said nothing"
    return "it said nothing"
