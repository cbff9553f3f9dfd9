"""FastAGI's bytes, without I/O: the request's header, the replies, the commands.

Whatever comes in, :meth:`RequestReader.feed` and :meth:`ReplyReader.feed` give values or raise :class:`AgiGarbage`;
nothing else. Sources: Asterisk's ``res/res_agi.c`` (``setup_env``, ``agi_handle_command``, ``parse_args``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from urllib.parse import parse_qsl, urlsplit

from ctiserver.errors import CtiError, UnsafeValue
from ctiserver.system_name import bearer, without_system_name

#: A variable's value may be long, but Asterisk itself cuts it far below this.
MAX_REPLY_BYTES = 65536
#: Asterisk reads a command into 2048 bytes (``AGI_BUF_LEN``) and would take what is beyond for another command.
MAX_COMMAND_BYTES = 2000


class AgiGarbage(CtiError):
    """The peer does not speak AGI: its bytes are refused and the connection is closed."""


@dataclass(frozen=True, slots=True)
class Request:
    """What Asterisk says of the call before the first command."""

    script: str  #: the path of ``agi://host/script?query``, without slashes around it
    query: Mapping[str, str]
    headers: Mapping[str, str]  #: without the ``agi_`` before each name, and without a secret systemname before ids
    sign: str = ""  #: the secret systemname with which the channel's id began; empty: there was none

    def __getitem__(self, name: str) -> str:
        """A header by its name without ``agi_``; empty where Asterisk says nothing or ``unknown``."""
        value = self.headers.get(name, "")
        return "" if value == "unknown" else value


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer to one command."""

    code: int  #: 200 done, 510 unknown command, 511 dead channel, 520 wrong syntax
    result: str = ""  #: what follows ``result=``
    text: str | None = None  #: what stands in parentheses, None if nothing does
    endpos: int | None = None  #: samples played, of audio commands
    usage: str = ""  #: of a 520, what Asterisk says about the right syntax

    @property
    def number(self) -> int:
        """The result as a number; -1 is how Asterisk says that the channel is gone or the command failed."""
        return int(self.result) if re.fullmatch(r"-?\d{1,18}", self.result) else -1


class HangupLine:
    """The line ``HANGUP``: it may stand before or between replies and answers no command."""

    def __repr__(self) -> str:
        return "HANGUP"


HANGUP = HangupLine()

_HEADER = re.compile(rb"agi_([a-z0-9_]{1,40}): ?(.*)", re.DOTALL)
_REPLY = re.compile(r"(\d{3})(?:[ -](.*))?", re.DOTALL)
_RESULT = re.compile(r"result=(\S*)(?:\s+\((.*)\))?(?:\s+endpos=(-?\d{1,18}))?(?: Gosub complete)?\s*", re.DOTALL)
#: Most commands are answered so.
_OFTEN = {f"200 result={number}\n".encode(): Reply(200, str(number)) for number in range(2)}
#: A caller's name may come in any encoding from a trunk, and harms nobody; all else is Asterisk's own and UTF-8.
_ANY_ENCODING = frozenset({"calleridname"})


@dataclass(slots=True)
class RequestReader:
    """Collects the header up to its empty line; Asterisk's own is under 1 kB."""

    max_bytes: int = 8192
    _buffer: bytearray = field(default_factory=bytearray)

    def feed(self, data: bytes) -> Request | None:
        """The request once its empty line is here, else None.

        Raises AgiGarbage for more than ``max_bytes``, a line that is no ``agi_name: value``, a name given twice (a
        newline in a caller's name forges one) or text that is not UTF-8.
        """
        self._buffer += data
        end = self._buffer.find(b"\n\n")
        if end < 0 or end > self.max_bytes:
            if len(self._buffer) > self.max_bytes:
                raise AgiGarbage(f"the AGI header is longer than {self.max_bytes} bytes")
            if not b"agi_".startswith(self._buffer[:4]):
                raise AgiGarbage("the peer does not begin with agi_ headers")
            return None
        return _request(bytes(self._buffer[:end]))


def _request(block: bytes) -> Request:
    headers: dict[str, str] = {}
    for line in block.split(b"\n"):
        match = _HEADER.fullmatch(line)
        if match is None:
            raise AgiGarbage(f"no AGI header: {line[:60]!r}")
        name = match[1].decode("ascii")
        if name in headers:
            raise AgiGarbage(f"agi_{name} comes twice: a caller's data forged it, or the peer is not Asterisk")
        try:
            headers[name] = match[2].decode("utf-8", "replace" if name in _ANY_ENCODING else "strict")
        except UnicodeDecodeError:
            raise AgiGarbage(f"agi_{name} is not UTF-8") from None
    address = headers.get("network_script") or headers.get("request", "")
    try:
        url = urlsplit(address)
        query = dict(parse_qsl(url.query, keep_blank_values=True, max_num_fields=50))
    except ValueError:
        raise AgiGarbage(f"agi_network_script is not a path: {address[:60]!r}") from None
    sign = bearer(headers.get("uniqueid", ""))
    if sign:
        headers["uniqueid"] = headers["uniqueid"].removeprefix(f"{sign}-")
    return Request(url.path.strip("/"), MappingProxyType(query), MappingProxyType(headers), sign)


@dataclass(slots=True)
class ReplyReader:
    """Cuts what Asterisk sends after the header into replies and HANGUP lines."""

    _buffer: bytearray = field(default_factory=bytearray)
    _scanned: int = 0
    _usage: list[str] | None = None
    _partial: str = ""

    def feed(self, data: bytes) -> list[Reply | HangupLine]:
        """What is complete now. Raises AgiGarbage for an overlong reply or a line that is not a reply."""
        if not self._buffer and self._usage is None and not self._partial and data in _OFTEN:
            return [_OFTEN[data]]
        self._buffer += data
        found: list[Reply | HangupLine] = []
        while (end := self._buffer.find(b"\n", self._scanned)) >= 0:
            line = bytes(self._buffer[:end]).decode("utf-8", "replace")
            del self._buffer[: end + 1]
            self._scanned = 0
            item = self._line(line)
            if item is not None:
                found.append(item)
        self._scanned = len(self._buffer)
        held = sum(map(len, self._usage)) if self._usage else 0
        if len(self._buffer) + len(self._partial) + held > MAX_REPLY_BYTES:
            raise AgiGarbage(f"a reply is longer than {MAX_REPLY_BYTES} bytes")
        return found

    def _line(self, line: str) -> Reply | HangupLine | None:
        if self._usage is not None:
            if line.startswith("520 End of proper usage"):
                usage, self._usage = "\n".join(self._usage), None
                return Reply(520, usage=usage)
            self._usage.append(line)
            return None
        if self._partial:  # a variable's value holds a newline: the reply goes on until its parenthesis closes
            line, self._partial = f"{self._partial}\n{line}", ""
        elif line == "HANGUP":
            return HANGUP
        match = _REPLY.fullmatch(line)
        if match is None:
            raise AgiGarbage(f"no AGI reply: {line[:60]!r}")
        code, rest = int(match[1]), match[2] or ""
        if code == 520 and line[3:4] == "-":
            self._usage = []
            return None
        if code < 200:
            return None  # "100 result=0 Trying...", which GOSUB says before its reply
        if code != 200:
            return Reply(code, usage=rest)
        result = _RESULT.fullmatch(rest)
        if result is not None:
            text = result[2] and without_system_name(result[2])
            return Reply(200, result[1], text, int(result[3]) if result[3] else None)
        if re.match(r"result=\S*\s+\(", rest):
            self._partial = line
            return None
        raise AgiGarbage(f"no AGI result: {line[:60]!r}")


def command(name: str, *arguments: str | int | float) -> bytes:
    """A command line: ``command("STREAM FILE", "/x/hello", "#")``. Every argument is quoted.

    Raises UnsafeValue for CR, LF or NUL in an argument, and for a line that Asterisk would cut in two.
    """
    parts = [name]
    for argument in arguments:
        text = str(argument)
        if "\n" in text or "\r" in text or "\0" in text:
            raise UnsafeValue(f"an argument of {name} holds CR, LF or NUL")
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        parts.append(f'"{escaped}"')
    line = " ".join(parts).encode("utf-8") + b"\n"
    if len(line) > MAX_COMMAND_BYTES:
        raise UnsafeValue(f"{name} with its arguments is longer than {MAX_COMMAND_BYTES} bytes; Asterisk would cut it")
    return line
