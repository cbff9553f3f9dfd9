"""Whatever bytes a PBX sends, in whatever chunks: messages or counted parts, never an exception."""

from __future__ import annotations

import re
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from ctiserver.model.ids import PbxName
from ctiserver.pbx.codec import AmiDecoder, Wanted
from ctiserver.pbx.recording import Replay
from ctiserver.pbx.translate import WANTED

KEYS = (
    "Event",
    "Response",
    "Uniqueid",
    "Linkedid",
    "Channel",
    "DestUniqueid",
    "Queue",
    "Interface",
    "Timestamp",
    "Cause",
)
NAMES = tuple(name.decode() for name in WANTED)

line = st.one_of(
    st.tuples(st.sampled_from(KEYS), st.one_of(st.sampled_from(NAMES), st.text(max_size=12), st.just("1.1"))).map(
        lambda pair: f"{pair[0]}: {pair[1]}".encode("utf-8", "surrogatepass")
    ),
    st.binary(max_size=30),
)
stream = st.lists(st.one_of(line, st.just(b""), st.just(b"\r\n")), max_size=60).map(b"\r\n".join)


def chunked(data: bytes, cuts: list[int]) -> list[bytes]:
    points = sorted({cut % (len(data) + 1) for cut in cuts})
    return [data[a:b] for a, b in zip([0, *points], [*points, len(data)], strict=True)]


@given(stream, st.lists(st.integers(0, 10_000), max_size=20), st.sampled_from((None, WANTED)))
def test_chunks_do_not_matter(data: bytes, cuts: list[int], wanted: Wanted | None) -> None:
    whole, parts = AmiDecoder(wanted), AmiDecoder(wanted)
    expected = [repr(message) for message in whole.feed(data)]
    found = [repr(message) for chunk in chunked(data, cuts) for message in parts.feed(chunk)]
    assert found == expected
    assert parts.unparsable == whole.unparsable
    assert parts.greeting == whole.greeting
    assert parts.unwanted == whole.unwanted


@given(stream)
def test_what_is_wanted_is_what_everything_holds_of_it(data: bytes) -> None:
    everything, some = AmiDecoder(), AmiDecoder(WANTED)
    all_messages, messages = everything.feed(data), some.feed(data)
    unwanted = Counter(dict(some.unwanted))
    kept = []
    for message in all_messages:
        raw = message._text.removeprefix("\r\n").encode()
        first = raw.partition(b"\r")[0]
        needle = WANTED.get(first.removeprefix(b"Event: "))
        if first.startswith(b"Event: ") and (needle is None or needle not in raw.removesuffix(b"\r\n")):
            name = first.removeprefix(b"Event: ")
            unwanted[name if re.fullmatch(rb"[A-Za-z]{1,40}", name) else b"other"] -= 1
        else:
            kept.append(repr(message))
    assert [repr(message) for message in messages] == kept
    assert not any(unwanted.values())


@given(stream)
def test_any_stream_replays(data: bytes) -> None:
    replay = Replay(PbxName("pbx"))
    for call in replay.summaries([data]):
        assert call.linkedids
    assert replay.intake.broken == 0
