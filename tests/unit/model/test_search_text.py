"""What is found by which words: any part of three letters or digits, any 汉字, the beginning of words by two."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctiserver.model.search_text import encoded, wanted

KEPT = encoded(
    ["张伟明", "Müller GmbH", "+8613800000001", "浦东新区世纪大道100号A座3-201室", "SN-2024-00917", "O'Brien Wu"]
)


def _found(query: str) -> bool:
    pieces = wanted(query)
    return bool(pieces) and all(piece in KEPT for piece in pieces)


@pytest.mark.parametrize(
    "query",
    [
        "张", "张伟", "伟明", "张伟明", "世纪大道", "a座", "A座3201", "3-201", "100号",
        "müll", "MÜLLER", "mu", "gmbh", "ller",
        "138", "0000001", "+86 138 0000 0001", "138-0000-0001", "(138) 0000 0001",
        "sn", "00917", "SN-2024-00917", "2024", "brien", "wu", "wu 张", "浦东 138", "ＷＵ",
    ],
)  # fmt: skip
def test_found(query: str) -> None:
    assert _found(query) == (query != "mu")  # ü is not u


@pytest.mark.parametrize(
    "query", ["", " ", "w", "1", "()", "%%%", "___", "明伟", "张明", "rien wa", "86 139", "大学", "伟a"]
)
def test_not_found(query: str) -> None:
    assert not _found(query)


@given(st.text(max_size=40), st.integers(0, 40), st.integers(1, 40))
def test_every_word_is_found_by_itself(text: str, begin: int, length: int) -> None:
    kept = encoded([text])
    for word in kept.split():
        pieces = wanted(word.replace("_", ""))
        assert all(piece in kept for piece in pieces)
        assert pieces or len(word) == 1


@given(st.text(max_size=60))
def test_a_piece_is_never_too_short_for_the_index_nor_holds_a_quote(query: str) -> None:
    for piece in wanted(query):
        assert len(piece) >= 3
        assert '"' not in piece
        assert "\0" not in piece
