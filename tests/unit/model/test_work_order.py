"""The states of a work order are a table; whatever is not in it changes nothing."""

from datetime import UTC, datetime, timedelta
from itertools import product
from typing import get_args

import pytest

from ctiserver.model.assignment import choose
from ctiserver.model.ids import RecordId, UserId, WorkOrderId
from ctiserver.model.work_order import (
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
from tests.support.rows import a_user

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


def test_the_fitting_person_with_the_fewest_orders_is_chosen_and_everybody_explained() -> None:
    idle = a_user("idle", skills=("boiler",))
    busy = a_user("busy", skills=("boiler", "gas"))
    others = [
        a_user("north", regions=("north",), skills=("boiler",)),
        a_user("left", active=False),
        a_user("plumber", skills=("pipes",)),
        a_user("tired"),
    ]
    found = choose(
        [busy, idle, *others],
        {busy.id: 3, idle.id: 1},
        skills=["boiler"],
        region="south",
        avoid=[others[3].id],
    )
    assert found.user == idle.id
    assert {one.login: one.reason for one in found.considered} == {
        "idle": "chosen",
        "busy": "has_more_orders",
        "north": "other_region",
        "left": "not_active",
        "plumber": "lacks_skill",
        "tired": "declined_before",
    }
    assert found.explained()["considered"]


def test_of_equals_the_first_by_name_and_of_none_nobody() -> None:
    users = [a_user("b"), a_user("a")]
    assert choose(users, {}).user == users[1].id
    assert choose([], {}).user is None
    assert choose(users, {}, avoid=[user.id for user in users]).user is None
    assert choose(users, {users[1].id: 1, UserId("x"): 0}).user == users[0].id
