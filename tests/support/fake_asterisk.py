"""The other end of FastAGI: a channel that answers commands as Asterisk does, with a caller who presses keys."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

HEADER = {
    "network": "yes",
    "request": "agi://127.0.0.1/flow",
    "channel": "PJSIP/trunk-00000000",
    "language": "en",
    "type": "PJSIP",
    "uniqueid": "1795295764.0",
    "version": "22.10.1",
    "callerid": "13800138000",
    "calleridname": "unknown",
    "dnid": "4008001234",
    "rdnis": "unknown",
    "context": "cti-call",
    "extension": "flow",
    "priority": "6",
    "accountcode": "",
}


def header(**changes: str) -> bytes:
    """An AGI header as Asterisk sends it."""
    lines = [f"agi_{name}: {value}" for name, value in {**HEADER, **changes}.items()]
    return ("\n".join(lines) + "\n\n").encode()


@dataclass
class FakeAsterisk:
    """One session. ``keys`` are pressed one by one whenever the server listens; ``-`` lets a listen time out."""

    keys: str = ""
    variables: dict[str, str] = field(default_factory=dict)
    hang_up_before: Callable[[list[str]], bool] = lambda _: False
    how: str = "HANGUP"  #: how a hang-up is said: HANGUP, 511, -1, EOF
    pace_s: float = 0.0  #: how long a prompt lasts, and a caller takes to press a key
    commands: list[list[str]] = field(default_factory=list)
    struck: bool = False  #: the dead-man was not renewed in time
    _expires_at: float | None = None
    _writer: asyncio.StreamWriter | None = None

    def hang_up(self) -> None:
        """Say HANGUP now, whatever the server is doing."""
        assert self._writer is not None
        self._writer.write(b"HANGUP\n")

    async def call(self, port: int, *, query: str = "dnis=4008001234", script: str = "flow", **changes: str) -> None:
        """Connect, and answer commands until the server ends the session."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        self._writer = writer
        self._dead_man(1.0)
        try:
            query += f"&deadman=1&result={quote(self.variables.get('CTI_RESULT', ''))}"
            writer.write(header(network_script=f"{script}?{query}", **changes))
            while line := await reader.readline():
                words = shlex.split(line.decode())
                self.commands.append(words)
                self.struck |= self._expires_at is not None and asyncio.get_running_loop().time() > self._expires_at
                if self.hang_up_before(words):
                    if self.how == "EOF":
                        return
                    writer.write(
                        {
                            "HANGUP": "HANGUP\n200 result=-1\n",
                            "511": "511 Command Not Permitted on a dead channel\n",
                        }.get(self.how, "200 result=-1\n").encode()
                    )
                    if self.how == "-1":
                        self.hang_up_before = lambda _: True
                    continue
                if self.pace_s and words[0] in ("STREAM", "WAIT"):
                    await asyncio.sleep(self.pace_s)
                writer.write(self.reply(words).encode() + b"\n")
        finally:
            writer.close()
            await writer.wait_closed()

    def _dead_man(self, seconds: float) -> None:
        self._expires_at = asyncio.get_running_loop().time() + seconds if seconds else None

    def reply(self, words: list[str]) -> str:
        match words:
            case ["SET", "AUTOHANGUP", seconds]:
                self._dead_man(float(seconds))
                return "200 result=0"
            case ["SET", "VARIABLE", name, value]:
                self.variables[name] = value
                return "200 result=1"
            case ["EXEC", "MSet", pairs]:
                told = dict(pair.split("=", 1) for pair in pairs.split(","))
                self.variables.update(told)
                if "TIMEOUT(absolute)" in told:
                    self._dead_man(float(told["TIMEOUT(absolute)"]))
                return "200 result=0"
            case ["GET", "FULL", "VARIABLE", name]:
                value = self.variables.get(name.removeprefix("${").removesuffix("}"))
                return f"200 result=1 ({value})" if value is not None else "200 result=0"
            case ["STREAM", "FILE", _, _, offset]:
                return f"200 result=0 endpos={int(offset) + 8000}"
            case ["WAIT", "FOR", "DIGIT", _]:
                key, self.keys = self.keys[:1], self.keys[1:]
                return f"200 result={ord(key) if key and key != '-' else 0}"
            case ["CHANNEL", "STATUS"]:
                return "200 result=6"
            case _:
                return "200 result=0"

    @property
    def done(self) -> Mapping[str, str]:
        """The variables the server left on the channel."""
        return self.variables

    def played(self) -> list[str]:
        """The files that were played."""
        return [words[2] for words in self.commands if words[:2] == ["STREAM", "FILE"]]
