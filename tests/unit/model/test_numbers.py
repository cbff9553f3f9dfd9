"""Numbers as contacts are found by them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctiserver.model.numbers import dialable, normal, shown, withheld


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("13800000001", "+8613800000001"),
        ("+86 138-0000-0001", "+8613800000001"),
        ("008613800000001", "+8613800000001"),
        ("010-6552 9988", "+861065529988"),
        ("+1 (212) 555-2368", "+12125552368"),
        ("101", "101"),
        ("*43", "*43"),
        ("10086", "10086"),
    ],
)
def test_one_key_for_every_way_to_write_a_number(written: str, key: str) -> None:
    assert normal(written, "CN") == key


@pytest.mark.parametrize(
    "ani",
    [
        "",
        " ",
        "anonymous",
        "Anonymous",
        "ANONYMOUS",
        "unknown",
        "<unknown>",
        "private",
        "Restricted",
        "0",
        "000000",
        "+000",
        "unavailable",
        "00-00",
    ],
)
def test_what_names_nobody_is_nobodys(ani: str) -> None:
    assert withheld(ani)
    assert normal(ani, "CN") is None


@pytest.mark.parametrize("text", ["Wang Fang", "sip:alice@example.com", "1\r\n2", "7", "+"])
def test_what_is_no_number_is_none(text: str) -> None:
    assert normal(text, "CN") is None


def test_a_region_says_how_national_numbers_are_read() -> None:
    assert normal("030 901820", "DE") == "+4930901820"
    assert normal("(212) 555-2368", "US") == "+12125552368"


@given(st.text(max_size=40))
def test_any_text_has_a_key_or_none_and_the_key_is_its_own_key(text: str) -> None:
    key = normal(text, "CN")
    assert key is None or normal(key, "CN") == key


def test_a_number_is_shown_as_people_there_read_it() -> None:
    assert shown("+8613800000001", "CN") == "138 0000 0001"
    assert shown("+12125552368", "CN") == "+1 212-555-2368"
    assert shown("101", "CN") == "101"


@pytest.mark.parametrize(
    ("number", "dialled"),
    [
        ("13800000001", "+8613800000001"),
        ("+86 138-0000-0001", "+8613800000001"),
        ("010 6552 9988", "+861065529988"),
        ("0044 20 7946 0958", None),  # outside what is allowed
        ("+16502530000", None),
        ("110", None),
        ("101", None),
        ("102@evil", None),
        ("13800000001,1", "+8613800000001"),  # read as an extension, which is not dialled
        ("", None),
    ],
)
def test_only_allowed_numbers_of_a_plan_are_dialable(number: str, dialled: str | None) -> None:
    assert dialable(number, "CN", allow=("+86",), refuse=("+86400",)) == dialled


def test_what_is_refused_is_not_dialable_though_allowed() -> None:
    assert dialable("4008001234", "CN", allow=("+86",)) == "+864008001234"
    assert dialable("4008001234", "CN", allow=("+86",), refuse=("+86400",)) is None
    assert dialable("13800000001", "CN", allow=()) is None
