"""Recorded streams: raw AMI bytes or JSON events, plain or xz, through the same code as a live link."""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, Any, cast

from ctiserver.errors import UserFault
from ctiserver.model.calls.tracking.book import Sides
from ctiserver.model.events import CallEnded, CallSummary, PbxEvent
from ctiserver.model.ids import PbxName
from ctiserver.pbx.codec import AmiDecoder, AmiMessage
from ctiserver.pbx.intake import Intake
from ctiserver.pbx.translate import WANTED

_CHUNK = 1 << 16


@dataclass(slots=True, repr=False)
class Replay:
    """Feeds one recording. ``events`` and ``summaries`` come out as they would live."""

    pbx: PbxName
    sides: Sides = field(default_factory=Sides)
    unparsable: int = 0
    intake: Intake = field(init=False)

    def __post_init__(self) -> None:
        self.intake = Intake(self.pbx, self.sides)

    def events(self, chunks: Iterable[bytes]) -> Iterator[PbxEvent]:
        """Domain events, as the bytes come."""
        for message in self._messages(iter(chunks)):
            yield from self.intake.take(message)

    def summaries(self, chunks: Iterable[bytes]) -> Iterator[CallSummary]:
        """One summary when a call ends; at the end of input one for each call that still goes on."""
        for event in self.events(chunks):
            if isinstance(event, CallEnded):
                yield event.summary
        for call in self.intake.tracker.going_on():
            yield call.summary(complete=False)

    def _messages(self, chunks: Iterator[bytes]) -> Iterator[AmiMessage]:
        head = b""
        for chunk in chunks:
            head += chunk
            if head.lstrip(b"\xef\xbb\xbf \t\r\n"):
                break
        start = head.lstrip(b"\xef\xbb\xbf \t\r\n")
        if start.startswith((b"{", b"[")):
            yield from self._json(start + b"".join(chunks))
        else:
            yield from self._ami(head, chunks)

    def _ami(self, head: bytes, chunks: Iterator[bytes]) -> Iterator[AmiMessage]:
        decoder = AmiDecoder(WANTED)
        # A recording that went through an editor or a version control may have lost its carriage returns.
        while b"\n" not in head and (more := next(chunks, b"")):
            head += more
        bare = b"\n" in head and b"\r\n" not in head
        chunk: bytes | None = head
        while chunk is not None:
            yield from decoder.feed(chunk.replace(b"\n", b"\r\n") if bare else chunk)
            self.unparsable = decoder.unparsable
            chunk = next(chunks, None)
        decoder.close()
        self.unparsable = decoder.unparsable

    def _json(self, data: bytes) -> Iterator[AmiMessage]:
        text = data.decode("utf-8", "replace")
        whole: Any
        try:
            whole = json.loads(text)
        except ValueError:
            whole = self._json_lines(text)
        for event in whole if isinstance(whole, list | Iterator) else [whole]:
            message = _message_of(event)
            if message is None:
                self.unparsable += 1
            else:
                yield message

    def _json_lines(self, text: str) -> Iterator[object]:
        """One object after the other, however they are laid out; what lies between them is counted."""
        decoder = json.JSONDecoder()
        position = 0
        while position < len(text):
            if text[position] in " \t\r\n,[]":
                position += 1
                continue
            try:
                value, position = decoder.raw_decode(text, position)
            except ValueError:
                value = None
                end = text.find("\n", position)
                position = len(text) if end < 0 else end + 1
            yield value


def _message_of(event: object) -> AmiMessage | None:
    if not isinstance(event, dict):
        return None
    lines = []
    for key, value in cast(dict[str, object], event).items():
        for one in value if isinstance(value, list) else [value]:
            text = "" if one is None else str(one)
            lines.append(f"{key}: {' '.join(text.splitlines())}")
    name = next((str(value) for key, value in event.items() if key == "Event"), "")
    return AmiMessage(name, "\r\n".join(lines)) if name else None


def read_chunks(path: str, stdin: IO[bytes]) -> Iterator[bytes]:
    """The bytes of a file (``.xz`` unpacked), or of standard input for ``-``.

    Raises UserFault if there is no such file or it can't be read.
    """
    try:
        if path == "-":
            yield from _chunks(stdin)
        elif Path(path).suffix == ".xz":
            with lzma.open(path) as packed:
                yield from _chunks(packed)
        else:
            with Path(path).open("rb") as plain:
                yield from _chunks(plain)
    except (OSError, lzma.LZMAError, EOFError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserFault(
            f"can't be read: {reason}", where=path, fix="Give a recorded AMI stream, or - for stdin"
        ) from None


def _chunks(stream: Any) -> Iterator[bytes]:
    read = getattr(stream, "read1", stream.read)
    while chunk := read(_CHUNK):
        yield chunk


def as_json(call: CallSummary) -> dict[str, object]:
    """A call as ``ctiserver replay --json`` and the API write it; times ISO 8601 UTC with milliseconds."""
    return {
        "call_id": call.call_id,
        "pbx": call.pbx,
        "linkedids": list(call.linkedids),
        "direction": call.direction,
        "ani": call.ani,
        "caller_name": call.caller_name,
        "dnis": call.dnis,
        "started_at": _iso(call.started_at),
        "answered_at": _iso(call.answered_at),
        "ended_at": _iso(call.ended_at),
        "outcome": call.outcome,
        "answered_by": list(call.answered_by),
        "queue_visits": [
            {
                "queue": visit.queue,
                "entered_at": _iso(visit.entered_at),
                "left_at": _iso(visit.left_at),
                "outcome": visit.outcome,
                "agent": visit.agent,
            }
            for visit in call.queue_visits
        ],
        "transfers": [{"kind": transfer.kind, "by": transfer.by, "to": transfer.to} for transfer in call.transfers],
        "hangup": {"cause": call.hangup_cause, "by": call.hangup_by},
        "segments": [
            {
                "party": segment.party,
                "kind": segment.kind,
                "from": _iso(segment.started_at),
                "to": _iso(segment.ended_at),
            }
            for segment in call.segments
        ],
        "reconstructed": call.reconstructed,
        "complete": call.complete,
    }


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
