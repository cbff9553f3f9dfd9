"""Whatever bytes come, the AGI codec gives values or its one documented error, the same however they are cut."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ctiserver.agi.codec import AgiGarbage, ReplyReader, RequestReader
from tests.support.fake_asterisk import header

LINES = st.lists(
    st.sampled_from(
        [
            b"200 result=0",
            b"200 result=1 (x",
            b"y)",
            b"HANGUP",
            b"520-Invalid",
            b"520 End of proper usage.",
            b"511 dead",
            b"",
        ]
    )
    | st.binary(max_size=20),
    max_size=12,
).map(lambda lines: b"\n".join(lines) + b"\n")


def outcome(reader: RequestReader | ReplyReader, pieces: list[bytes]) -> list[str]:
    """What is read until the first request or the first garbage, where a server stops reading."""
    found: list[str] = []
    try:
        for piece in pieces:
            got = reader.feed(piece)
            if isinstance(got, list):
                found += [str(item) for item in got]
            elif got is not None:
                return [str(got)]
    except AgiGarbage:
        return ["garbage"]
    return found


def cut(data: bytes, at: list[int]) -> list[bytes]:
    edges = [0, *sorted(n % (len(data) + 1) for n in at), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


@given(data=LINES | st.binary(max_size=200), at=st.lists(st.integers(min_value=0), max_size=5))
def test_replies(data: bytes, at: list[int]) -> None:
    assert outcome(ReplyReader(), cut(data, at)) == outcome(ReplyReader(), [data])


@given(
    data=st.binary(max_size=200)
    | st.binary(max_size=60).map(lambda noise: header(callerid="@@").replace(b"@@", noise)),
    at=st.lists(st.integers(min_value=0), max_size=5),
)
def test_requests(data: bytes, at: list[int]) -> None:
    assert outcome(RequestReader(), cut(data, at)) == outcome(RequestReader(), [data])
