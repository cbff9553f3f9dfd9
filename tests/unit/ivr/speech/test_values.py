from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctiserver.ivr.language.requests import Said, SayAs
from ctiserver.ivr.speech.values import vocabulary, words
from ctiserver.model.expression.expression import Money, Value


@pytest.mark.parametrize(
    ("value", "as_", "zh", "en"),
    [
        (0, "auto", "零", "zero"),
        (2, "auto", "二", "two"),
        (2, "count", "两", "two"),
        (10, "auto", "十", "ten"),
        (110, "auto", "一百一十", "one hundred ten"),
        (202, "auto", "两百零二", "two hundred two"),
        (1010, "auto", "一千零一十", "one thousand ten"),
        (2002, "auto", "两千零二", "two thousand two"),
        (12000, "auto", "一万两千", "twelve thousand"),
        (102030, "auto", "十万两千零三十", "one hundred two thousand thirty"),
        (100010000, "auto", "一亿零一万", "one hundred million ten thousand"),
        (Decimal("-3.50"), "auto", "负三点五", "minus three point five"),
        ("0012", "auto", "零零一二", "zero zero one two"),
        (Money(Decimal("199.5")), "auto", "一百九十九元五角", "one hundred ninety-nine point five zero yuan"),
        (Money(Decimal("2.20")), "auto", "两元二角", "two point two zero yuan"),
        (Money(Decimal("0.2")), "auto", "两角", "zero point two zero yuan"),
        (Money(Decimal("10.05")), "auto", "十元零五分", "ten point zero five yuan"),
        (Money(Decimal(0)), "auto", "零元", "zero yuan"),
        (date(2027, 1, 31), "auto", "二零二七年一月三十一日", "January thirty-first twenty twenty-seven"),
        (date(2005, 12, 2), "auto", "二零零五年十二月二日", "December second two thousand five"),
        (
            datetime(2026, 11, 23, 2, 5, tzinfo=UTC),
            "auto",
            "二零二六年十一月二十三日两点零五分",
            "November twenty-third twenty twenty-six two oh five",
        ),
        (
            datetime(2026, 11, 23, 14, 0, tzinfo=UTC),
            "auto",
            "二零二六年十一月二十三日十四点",
            "November twenty-third twenty twenty-six fourteen hundred",
        ),
        (None, "auto", "", ""),
        ("王先生", "auto", "王先生", "王先生"),
    ],
)
def test_values_as_people_say_them(value: Value, as_: SayAs, zh: str, en: str) -> None:
    assert "".join(words("zh-CN", Said(value, as_))) == zh
    assert " ".join(words("en", Said(value, as_))) == en


NUMBERS = st.integers(-(10**16), 10**16) | st.decimals(-(10**9), 10**9, places=3) | st.integers(0, 30)


@given(
    NUMBERS
    | st.dates()
    | st.datetimes()
    | NUMBERS.map(lambda n: Money(Decimal(n)))
    | st.text("0123456789*#", max_size=9)
)
def test_every_value_is_spoken_by_words_that_are_rendered_ahead(value: Value) -> None:
    for language in ("zh-CN", "en"):
        known = set(vocabulary(language))
        for as_ in ("auto", "number", "money", "digits", "count"):
            if as_ == "auto" or isinstance(value, int):
                assert set(words(language, Said(value, as_))) <= known


def test_a_language_whose_grammar_is_unknown_gets_plain_text() -> None:
    assert words("fr", Said(Decimal("2.5"))) == ("2.5",)
