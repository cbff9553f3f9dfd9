"""The states of a work order are a table; whatever is not in it changes nothing."""

from datetime import UTC, datetime, timedelta
from itertools import product
from typing import get_args

import pytest

from ctiserver.model.ids import RecordId, WorkOrderId
from ctiserver.model.work.work_order import (
    NUMBER_PREFIX,
    OPEN_STATES,
    ORDER_KINDS,
    TRANSITIONS,
    IllegalAct,
    OrderAct,
    OrderState,
    WorkOrder,
    step,
)

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)


def an_order(state: OrderState, held_from: OrderState | None = None) -> WorkOrder:
    return WorkOrder(
        id=WorkOrderId("0" * 26),
        number="D1",
        key="k",
        kind="dispatch",
        record_id=RecordId("0" * 26),
        process_id=None,
        step="visit",
        state=state,
        held_from=held_from,
        created_at=NOW,
        updated_at=NOW,
    )


@pytest.mark.parametrize(("state", "act"), list(product(get_args(OrderState), get_args(OrderAct))))
def test_every_pair_is_in_the_table_or_refused(state: OrderState, act: OrderAct) -> None:
    order = an_order(state)
    if (state, act) in TRANSITIONS:
        after = step(order, act, LATER)
        assert (after.state, after.updated_at) == (TRANSITIONS[state, act], LATER)
    else:
        with pytest.raises(IllegalAct, match="D1"):
            step(order, act, LATER)


@pytest.mark.parametrize("state", ["accepted", "en_route", "started"])
def test_on_hold_goes_back_where_it_came_from(state: OrderState) -> None:
    held = step(an_order(state), "hold", NOW)
    assert (held.state, held.held_from) == ("on_hold", state)
    resumed = step(held, "resume", LATER)
    assert (resumed.state, resumed.held_from) == (state, None)


def test_from_every_open_state_an_order_can_be_cancelled_and_from_no_other() -> None:
    assert {state for state, act in TRANSITIONS if act == "cancel"} == OPEN_STATES


def test_each_kind_has_a_number_of_its_own() -> None:
    assert set(NUMBER_PREFIX) == set(ORDER_KINDS)
    assert len(set(NUMBER_PREFIX.values())) == len(ORDER_KINDS)
