"""How queues stand, from what the PBX says."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from ctiserver.bus import Bus
from ctiserver.clock import ManualClock
from ctiserver.features.queues.service import Queues, QueueState
from ctiserver.model.events import CallerEnteredQueue, CallerLeftQueue, CallsMerged, CallStarted, MemberChanged
from ctiserver.model.ids import CallId, Interface, Linkedid, PbxName, QueueName, Uniqueid
from ctiserver.pbx.port import Pbx
from ctiserver.resources import shipped
from ctiserver.site.files import Closing
from ctiserver.site.load import load_site

T0 = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)
MAIN, REPAIR = PbxName("main"), QueueName("repair")
ENTERED = CallerEnteredQueue(
    pbx=MAIN, at=T0, call_id=CallId("A"), linkedid=Linkedid("1"), uniqueid=Uniqueid("1"), queue=REPAIR, position=1
)
LEFT = CallerLeftQueue(
    pbx=MAIN, at=T0, call_id=CallId("A"), linkedid=Linkedid("1"), uniqueid=Uniqueid("1"), queue=REPAIR, outcome="answered", interface=Interface("PJSIP/a"), wait_ms=30_000
)  # fmt: skip
MEMBER = MemberChanged(
    pbx=MAIN, at=T0, queue=REPAIR, interface=Interface("PJSIP/a"), name="a", present=True, dynamic=True, paused=False, pause_reason="", penalty=0, status="free", in_call=False
)  # fmt: skip


@pytest.fixture
def told() -> list[QueueState]:
    return []


class Withdrawals:
    """A PBX as far as draining uses it."""

    def __init__(self) -> None:
        self.taken_out: list[tuple[str, str]] = []

    async def queue_withdraw(self, queue: QueueName, channel: str) -> None:
        self.taken_out.append((queue, channel))


@pytest.fixture
def pbx() -> Withdrawals:
    return Withdrawals()


@pytest.fixture
def queues(told: list[QueueState], pbx: Withdrawals) -> Queues:
    site = load_site(shipped("config"))
    repair = site.queues["repair"].model_copy(
        update={"calendar": "desk", "closing": Closing(drain_until=timedelta(minutes=15))}
    )
    return Queues(
        Bus(),
        ManualClock(T0),
        replace(site, queues={**site.queues, "repair": repair}),
        pbxs={MAIN: cast(Pbx, pbx)},
        closed=lambda calendar, at: calendar == "desk" and at >= CLOSES_AT[0],
        changed=told.append,
    )


CLOSES_AT = [T0]


@pytest.mark.parametrize(("closed_for_m", "expected"), [(-5, []), (10, []), (16, [("repair", "PJSIP/trunk-1")])])
async def test_who_still_waits_long_after_closing_is_taken_out(
    queues: Queues, pbx: Withdrawals, closed_for_m: int, expected: list[tuple[str, str]]
) -> None:
    CLOSES_AT[0] = T0 - timedelta(minutes=closed_for_m)
    queues.heard(
        CallStarted(
            pbx=MAIN, at=T0, call_id=CallId("A"), linkedid=Linkedid("1"), uniqueid=Uniqueid("1"), channel="PJSIP/trunk-1", direction="inbound", ani="", caller_name="", dnis="", context=""
        )
    )  # fmt: skip
    queues.heard(ENTERED)
    await queues.drain_now(REPAIR)
    await queues.drain_now(QueueName("operators"))
    assert pbx.taken_out == expected


def test_who_waits_and_since_when(queues: Queues, told: list[QueueState]) -> None:
    later = replace(ENTERED, call_id=CallId("B"), at=T0 + timedelta(seconds=5))
    queues.heard(ENTERED)
    queues.heard(later)
    assert (queues.state(REPAIR).waiting, queues.state(REPAIR).longest_since) == (2, T0)
    queues.heard(LEFT)
    assert (queues.state(REPAIR).waiting, queues.state(REPAIR).longest_since) == (1, later.at)
    assert [state.waiting for state in told] == [1, 2, 1]


def test_equal_calls_of_two_pbxs_are_two(queues: Queues) -> None:
    queues.heard(ENTERED)
    queues.heard(replace(ENTERED, pbx=PbxName("other")))
    assert queues.state(REPAIR).waiting == 2


def test_a_call_that_became_part_of_another_waits_no_more(queues: Queues) -> None:
    queues.heard(ENTERED)
    queues.heard(CallsMerged(pbx=MAIN, at=T0, call_id=CallId("Z"), linkedid=Linkedid("1"), absorbed=CallId("A")))
    assert queues.state(REPAIR).waiting == 0


def test_who_is_ready(queues: Queues) -> None:
    queues.heard(MEMBER)
    queues.heard(replace(MEMBER, interface=Interface("PJSIP/b"), paused=True))
    queues.heard(replace(MEMBER, interface=Interface("PJSIP/c"), status="unavailable"))
    assert (queues.state(REPAIR).members, queues.state(REPAIR).agents_ready) == (3, 1)
    queues.heard(replace(MEMBER, present=False))
    assert (queues.state(REPAIR).members, queues.state(REPAIR).agents_ready) == (2, 0)


def test_the_expected_wait_is_what_the_last_ones_waited(queues: Queues) -> None:
    queues.heard(LEFT)
    queues.heard(replace(LEFT, wait_ms=10_000))
    queues.heard(replace(LEFT, outcome="abandoned", wait_ms=90_000))
    assert queues.state(REPAIR).expected_wait_s == 20
    queues.heard(MEMBER)
    assert queues.state(REPAIR).expected_wait_s == 0


def test_an_unknown_queue_is_empty(queues: Queues) -> None:
    assert queues.state(QueueName("nowhere")).waiting == 0
    assert [state.queue for state in queues.states()] == ["operators", "repair"]
