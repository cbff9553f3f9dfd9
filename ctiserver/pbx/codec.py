"""AMI's bytes, without any I/O: ``feed(data)`` gives messages, ``refuse_unsafe`` guards what is written.

AMI is lines ``Key: value`` ended by CR LF, a message ended by an empty line; after connecting one line greets. Keys may
repeat (``ChanVariable``, ``Output``). Asterisk passes through whatever bytes a caller's name holds, so text that is not
UTF-8 is read as Latin-1, line by line. Whatever comes in, :meth:`AmiDecoder.feed` never raises: what can't be read
is counted.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from ctiserver.errors import UnsafeValue
from ctiserver.system_name import without_system_name

GREETING = b"Asterisk Call Manager/"
_END = b"\r\n\r\n"
_EVENT = b"Event: "
#: Asterisk has some two hundred events; anyone who sends more kinds than this is not remembered.
_MOST_NAMES = 1000
_UNSAFE = ("\r", "\n", "\0")
#: What is counted under this name: events that were named by somebody else than Asterisk.
_OTHERS = b"other"

_NAMED = re.compile(rb"Event: [A-Za-z]{1,40}")

#: Which events to parse: name → bytes that the event must hold (none: ``b""``).
Wanted = Mapping[bytes, bytes]


class _Needles(dict[str, str]):
    def __missing__(self, key: str) -> str:
        needle = self[key] = f"\r\n{key}: "
        return needle


_NEEDLES = _Needles()  #: keys come from our own source, so this stays small


def needles(*keys: str) -> tuple[str, ...]:
    """Keys as :meth:`Message.values` looks for them."""
    return tuple(f"\r\n{key}: " for key in keys)


class AmiMessage:
    """One AMI event or response. ``name`` is the event's name, empty for a response.

    A value is looked up in the text when it is asked for: of some thirty headers an event has, we read ten.
    """

    __slots__ = ("_text", "name")

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self._text = f"\r\n{text}\r\n"

    @property
    def text(self) -> str:
        """All of it, a line's end before and after each line."""
        return self._text

    def get(self, key: str, default: str = "") -> str:
        """The first value of ``key``."""
        text = self._text
        needle = _NEEDLES[key]
        start = text.find(needle)
        if start < 0:
            return default
        start += len(needle)
        return text[start : text.find("\r\n", start)]

    def values(self, needles: tuple[str, ...]) -> list[str]:
        """The first value of each key, empty for those that are missing; :func:`needles` makes the argument.

        Quick where the keys are in the order in which Asterisk writes them.
        """
        text = self._text
        found = []
        at = 0
        for needle in needles:
            start = text.find(needle, at)
            if start < 0:
                start = text.find(needle)
            if start < 0:
                found.append("")
            else:
                start += len(needle)
                at = text.find("\r\n", start)
                found.append(text[start:at])
        return found

    def all(self, key: str) -> list[str]:
        """All values of ``key``, in order."""
        return [value for name, value in self.items() if name == key]

    def items(self) -> Iterator[tuple[str, str]]:
        """Every header, in order; keys may repeat. Lines that are not headers are left out."""
        for line in self._text.split("\r\n"):
            key, colon, value = line.partition(":")
            if colon and key:
                yield key, value.removeprefix(" ")

    def __repr__(self) -> str:
        return f"Message({self._text.strip()!r})"


class Guard(Protocol):
    """Tells Asterisk's own messages from what a caller wrote; see :mod:`ctiserver.pbx.authenticity`."""

    def genuine(self, message: AmiMessage) -> AmiMessage | None:
        """What of a message may be read; None: nothing. One without a name or response is the rest of another."""

    @property
    def within(self) -> bool:
        """Whether blocks that nobody reads are to be :meth:`passed` as well."""

    def passed(self, text: str) -> None:
        """Such a block."""


class AmiDecoder:
    """Bytes in, messages out. One per connection.

    With a ``guard`` only what it believes comes out; without one, as for a recording, everything does. Either way no
    secret systemname stands before an id any more.

    ``wanted`` names the events to parse; others are only counted in ``unwanted``. None parses everything. Responses are
    always parsed. A message longer than ``longest`` bytes is dropped and counted in ``unparsable``.
    """

    def __init__(self, wanted: Wanted | None = None, longest: int = 1 << 20, guard: Guard | None = None) -> None:
        self.wanted = wanted
        self._guard = guard
        self.longest = longest
        self.greeting: str | None = None
        self.unparsable = 0
        self.unwanted: Counter[bytes] = Counter()
        #: First lines seen: what else the message must hold, or None for one that nobody wants.
        self._needles: dict[bytes, bytes | None] = {_EVENT + name: needle for name, needle in (wanted or {}).items()}
        self._rest = bytearray()
        self._skipping = False
        self._greeted = False

    def feed(self, data: bytes) -> list[AmiMessage]:
        """The messages that ``data`` completes."""
        rest = self._rest
        if not self._greeted:
            rest += data
            if not self._take_greeting():
                return []
            data = bytes(rest)
            rest.clear()
        if rest:
            # The empty line may be begun already. Found only then, so that a long message in small parts is cheap.
            if _END not in bytes(rest[-len(_END) + 1 :]) + data:
                rest += data
                self._drop_too_long()
                return []
            data = bytes(rest) + data
        blocks = data.split(_END)
        rest[:] = blocks.pop()
        if self._skipping and blocks:
            self._skipping = False
            del blocks[0]
        self._drop_too_long()
        return self._read(blocks)

    def _drop_too_long(self) -> None:
        if len(self._rest) > self.longest:
            # Keep the tail: it may hold the first bytes of the empty line that ends this message.
            del self._rest[: -len(_END) + 1]
            if not self._skipping:
                self._skipping = True
                self.unparsable += 1

    def close(self) -> None:
        """The stream ended: a message that began and did not end is counted as unparsable."""
        if self._rest.strip() and not self._skipping:
            self.unparsable += 1
        self._rest.clear()

    def _take_greeting(self) -> bool:
        """Cut the greeting off, if this stream has one; False while that can't be told yet."""
        rest = self._rest
        if len(rest) < len(GREETING) and GREETING.startswith(rest):
            return False
        if rest.startswith(GREETING):
            end = rest.find(b"\n")
            if end < 0:
                if len(rest) < 200:
                    return False
            else:
                self.greeting = rest[len(GREETING) : end].decode("ascii", "replace").strip()
                del rest[: end + 1]
        self._greeted = True
        return True

    def _read(self, blocks: Iterable[bytes]) -> list[AmiMessage]:
        """One turn of this loop is what an event costs that nobody wants: most of a busy PBX's are such."""
        messages: list[AmiMessage] = []
        passed: list[bytes] = []
        needles, parse, guard = self._needles, self._parse, self._guard
        for block in blocks:
            first = block.partition(b"\r")[0]
            try:
                needle = needles[first]
            except KeyError:
                if block.startswith(b"\r\n"):  # TestEvent ends in two empty lines
                    block = block.lstrip(b"\r\n")
                    first = block.partition(b"\r")[0]
                needle = self._learn(first)
            if needle is None or needle not in block:
                passed.append(first if first in needles else _EVENT + _OTHERS)
                if guard is not None and guard.within:
                    guard.passed(f"\r\n{block.decode('latin-1')}\r\n")
            else:
                message = parse(block)
                if message is not None:
                    messages.append(message)
        for first, count in Counter(passed).items():
            self.unwanted[first[len(_EVENT) :]] += count
        return messages

    def _learn(self, first: bytes) -> bytes | None:
        """What a message must hold that begins with this line; None: it is not wanted."""
        known = self._needles
        if first in known:
            return known[first]
        if self.wanted is None or not first.startswith(_EVENT):
            return b""
        if len(known) < _MOST_NAMES and _NAMED.fullmatch(first):
            known[first] = None
        return None

    def _parse(self, block: bytes) -> AmiMessage | None:
        try:
            text = block.decode()
        except UnicodeDecodeError:
            text = "\r\n".join(map(_text, block.split(b"\r\n")))
        if text.startswith("Event: "):
            end = text.find("\r", 7)
            message = AmiMessage(text[7:end] if end > 0 else text[7:], text)
        else:
            message = AmiMessage("", text)
            message.name = message.get("Event")
            if not message.name and not message.get("Response"):
                self.unparsable += bool(text.strip())
                if self._guard is not None:
                    self._guard.genuine(message)
                return None
        # Every line has its colon; fewer than lines means that something else is among them.
        if text.count(": ") <= text.count("\n"):
            self.unparsable += sum(":" not in line for line in text.split("\r\n") if line.strip())
        if self._guard is not None:
            return self._guard.genuine(message)
        return message if "cti" not in text else AmiMessage(message.name, without_system_name(text))


def _text(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode("latin-1")


def refuse_unsafe(name: str, value: str) -> str:
    """``value`` itself, which may be sent to the PBX.

    Raises UnsafeValue if it holds CR, LF or NUL: it could forge further headers, such as a variable or an account code.
    Also if it is not text that UTF-8 can write.
    """
    if any(character in value for character in _UNSAFE):
        raise UnsafeValue(f"{name} holds a line break or NUL; it was not sent to the PBX")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise UnsafeValue(f"{name} holds half a character; it was not sent to the PBX") from None
    return value
