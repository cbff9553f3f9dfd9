"""Queues as a state machine: callers and members of two PBXs, against plain sets of who waits and who sits where."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ctiserver.bus import Bus
from ctiserver.clock import ManualClock
from ctiserver.features.queues.service import Queues, QueueState
from ctiserver.model.events import (
    CallEnded,
    CallerEnteredQueue,
    CallerLeftQueue,
    CallSummary,
    MemberChanged,
    MemberStatus,
    PbxEvent,
    QueueOutcome,
)
from ctiserver.model.ids import CallId, Interface, Linkedid, PbxName, QueueName, Uniqueid
from ctiserver.resources import shipped
from ctiserver.site.load import load_site

T0 = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)
SITE = load_site(shipped("config"))
PBXS = st.sampled_from([PbxName("main"), PbxName("branch")])
QUEUES = st.sampled_from([QueueName("repair"), QueueName("operators")])
CALLS = st.sampled_from([CallId(name) for name in "ABCD"])  # the same ids on both PBXs
PHONES = st.sampled_from([Interface("PJSIP/a"), Interface("PJSIP/b"), Interface("Local/9@q/n")])
OUTCOMES: st.SearchStrategy[QueueOutcome] = st.sampled_from(["answered", "abandoned", "timeout", "empty", "key"])
STATUSES: st.SearchStrategy[MemberStatus] = st.sampled_from(["free", "ringing", "in_use", "unavailable"])


def _queues(told: list[QueueState]) -> Queues:
    return Queues(Bus(), ManualClock(T0), SITE, pbxs={}, closed=lambda calendar, at: False, changed=told.append)


class TwoPbxs(RuleBasedStateMachine):
    """Who waits and who sits, as plain dictionaries know it."""

    def __init__(self) -> None:
        super().__init__()
        self.now = T0
        self.told: list[QueueState] = []
        self.queues = _queues(self.told)
        self.log: list[PbxEvent] = []
        self.waiting: dict[tuple[QueueName, PbxName, CallId], datetime] = {}
        self.seats: dict[tuple[QueueName, PbxName, Interface], tuple[str, bool]] = {}

    def _hear(self, event: PbxEvent) -> None:
        self.log.append(event)
        self.queues.heard(event)

    def _of(self, pbx: PbxName, call: CallId) -> dict[str, Any]:
        return {"pbx": pbx, "at": self.now, "call_id": call, "linkedid": Linkedid(call)}

    @rule(seconds=st.integers(1, 300))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(pbx=PBXS, call=CALLS, queue=QUEUES)
    def a_caller_comes(self, pbx: PbxName, call: CallId, queue: QueueName) -> None:
        self.waiting[queue, pbx, call] = self.now
        self._hear(CallerEnteredQueue(**self._of(pbx, call), uniqueid=Uniqueid(call), queue=queue, position=1))

    @rule(pbx=PBXS, call=CALLS, queue=QUEUES, outcome=OUTCOMES, wait_s=st.integers(0, 900))
    def a_caller_leaves(self, pbx: PbxName, call: CallId, queue: QueueName, outcome: QueueOutcome, wait_s: int) -> None:
        self.waiting.pop((queue, pbx, call), None)  # also one who was never seen to come
        self._hear(
            CallerLeftQueue(
                **self._of(pbx, call),
                uniqueid=Uniqueid(call),
                queue=queue,
                outcome=outcome,
                interface=Interface("PJSIP/a") if outcome == "answered" else None,
                wait_ms=wait_s * 1000,
            )
        )

    @rule(pbx=PBXS, call=CALLS)
    def a_call_ends(self, pbx: PbxName, call: CallId) -> None:
        for key in [key for key in self.waiting if key[1:] == (pbx, call)]:
            del self.waiting[key]
        summary = CallSummary(
            call_id=call, pbx=pbx, linkedids=(), direction="inbound", ani="", caller_name="", dnis="", started_at=None,
            answered_at=None, ended_at=None, outcome=None, answered_by=(), queue_visits=(), transfers=(),
            hangup_cause=None, hangup_by=None, segments=(), reconstructed=False, complete=True,
        )  # fmt: skip
        self._hear(CallEnded(**self._of(pbx, call), summary=summary))

    @rule(seat=st.tuples(QUEUES, PBXS, PHONES), present=st.booleans(), status=STATUSES, paused=st.booleans())
    def a_member_changes(
        self, seat: tuple[QueueName, PbxName, Interface], present: bool, status: MemberStatus, paused: bool
    ) -> None:
        queue, pbx, phone = seat
        if present:
            self.seats[seat] = (status, paused)
        else:
            self.seats.pop(seat, None)
        self._hear(
            MemberChanged(
                pbx=pbx, at=self.now, queue=queue, interface=phone, name="", present=present, dynamic=True,
                paused=paused, pause_reason="", penalty=0, status=status, in_call=False,
            )
        )  # fmt: skip

    @invariant()
    def each_queue_is_what_its_callers_and_members_are(self) -> None:
        for queue in ("repair", "operators"):
            state = self.queues.state(QueueName(queue))
            waiting = [at for (name, _, _), at in self.waiting.items() if name == queue]
            seats = [seat for (name, _, _), seat in self.seats.items() if name == queue]
            assert state.waiting == len(waiting)
            assert state.longest_since == min(waiting, default=None)
            assert state.members == len(seats)
            assert state.agents_ready == sum(1 for status, paused in seats if status == "free" and not paused)
            assert state.expected_wait_s >= 0

    @invariant()
    def what_was_told_last_is_so(self) -> None:
        last = {state.queue: state for state in self.told}
        for queue, state in last.items():
            assert state.waiting == self.queues.state(queue).waiting
            assert state.members == self.queues.state(queue).members

    @invariant()
    def the_same_log_comes_to_the_same_queues(self) -> None:
        again = _queues([])
        for event in self.log:
            again.heard(event)
        assert again.states() == self.queues.states()


TestTwoPbxs = TwoPbxs.TestCase
