"""Stock: never below zero, never more promised than there is."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctiserver.model.ids import WorkOrderId
from ctiserver.model.work.expense import payer_of
from ctiserver.model.work.stock import MOVE_KINDS, Level, MoveKind, NotEnough, StockMove, moved
from ctiserver.site.price_list import amount

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def move(kind: MoveKind, quantity: int = 1) -> StockMove:
    order = WorkOrderId("o") if kind in ("reserve", "release", "issue") else None
    return StockMove(
        id="m",
        key="k",
        kind=kind,
        place="main",
        part="filter",
        quantity=quantity,
        order_id=order,
        actor="user:x",
        at=NOW,
    )


LEVEL = Level(place="main", part="filter", on_hand=5, reserved=2, old_due=1)


@pytest.mark.parametrize(
    ("kind", "promised", "after"),
    [
        ("receive", 0, (6, 2, 1)),
        ("arrive", 0, (6, 2, 1)),
        ("reserve", 0, (5, 3, 1)),
        ("release", 2, (5, 1, 1)),
        ("issue", 0, (4, 2, 1)),  # out of what is free
        ("issue", 1, (4, 1, 1)),  # out of what was promised to this order
        ("send", 0, (4, 2, 1)),
        ("write_off", 0, (4, 2, 1)),
        ("return_old", 0, (5, 2, 0)),
    ],
)
def test_each_move(kind: MoveKind, promised: int, after: tuple[int, int, int]) -> None:
    level = moved(LEVEL, move(kind), promised=promised)
    assert (level.on_hand, level.reserved, level.old_due) == after


@pytest.mark.parametrize(
    ("kind", "quantity", "promised"),
    [
        ("reserve", 4, 0),
        ("release", 2, 1),
        ("issue", 4, 0),
        ("issue", 5, 1),
        ("send", 4, 0),
        ("return_old", 2, 0),
        ("write_off", 4, 0),
    ],
)
def test_what_is_not_there_is_refused(kind: MoveKind, quantity: int, promised: int) -> None:
    with pytest.raises(NotEnough, match=rf"{quantity} of filter are wanted"):
        moved(LEVEL, move(kind, quantity), promised=promised)


def test_a_part_whose_worn_one_comes_back_leaves_one_due() -> None:
    assert moved(LEVEL, move("issue", 2), old_back=True).old_due == 3


@given(st.lists(st.tuples(st.sampled_from(MOVE_KINDS), st.integers(1, 5), st.booleans()), max_size=40))
def test_whatever_is_done_nothing_falls_below_zero(steps: list[tuple[MoveKind, int, bool]]) -> None:
    level, promised = Level(place="main", part="filter"), 0
    for kind, quantity, old_back in steps:
        try:
            after = moved(level, move(kind, quantity), promised=promised, old_back=old_back)
        except NotEnough:
            continue
        if kind in ("reserve", "release", "issue"):
            promised += after.reserved - level.reserved
        level = after
        assert 0 <= level.reserved <= level.on_hand
        assert level.old_due >= 0
        assert promised == level.reserved  # there is but one order here


@pytest.mark.parametrize(
    ("said", "until", "payer"),
    [
        ("", date(2026, 11, 23), "maker"),  # the last day of the warranty counts
        ("", date(2026, 11, 22), "customer"),
        ("", None, "customer"),
        ("company", date(2027, 1, 1), "company"),
        ("customer", date(2027, 1, 1), "customer"),
    ],
)
def test_who_pays(said: str, until: date | None, payer: str) -> None:
    assert payer_of(said, until, date(2026, 11, 23)) == payer


@pytest.mark.parametrize("text", ["-1", "1.005", "abc", "NaN", "Infinity", ""])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a valid amount"):
        amount(text)


def test_amounts_are_exact() -> None:
    assert amount("80") == Decimal("80.00")
    assert str(amount("0.1") + amount("0.2")) == "0.30"
