"""Whatever bytes a PBX sends, in whatever chunks: messages or counted parts, never an exception."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ctiserver.model.ids import PbxName
from ctiserver.pbx.codec import AmiDecoder
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


@given(stream, st.lists(st.integers(0, 10_000), max_size=20))
def test_chunks_do_not_matter(data: bytes, cuts: list[int]) -> None:
    whole, parts = AmiDecoder(), AmiDecoder()
    expected = [repr(message) for message in whole.feed(data)]
    found = [repr(message) for chunk in chunked(data, cuts) for message in parts.feed(chunk)]
    assert found == expected
    assert parts.unparsable == whole.unparsable
    assert parts.greeting == whole.greeting


@given(stream)
def test_any_stream_replays(data: bytes) -> None:
    replay = Replay(PbxName("pbx"))
    for call in replay.summaries([data]):
        assert call.linkedids
    assert replay.intake.broken == 0
