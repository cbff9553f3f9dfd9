"""A caller's way through a queue, played on the bus at times of the test's own."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from ctiserver.model.events import (
    CallEnded,
    CallerEnteredQueue,
    CallerLeftQueue,
    CallStarted,
    CallSummary,
    QueueOutcome,
    QueueVisit,
)
from ctiserver.model.ids import CallId, Interface, Linkedid, Uniqueid, call_id
from tests.support.desk import PBX, REPAIR, Desk


class Caller:
    """One caller's way through the queue, at times of the test's own."""

    _count = 0

    def __init__(self, running: Desk, at: datetime, ani: str = "13800000001") -> None:
        Caller._count += 1
        self.uniqueid = f"{int(at.timestamp())}.{Caller._count}"
        self.id: CallId = call_id(PBX, Uniqueid(self.uniqueid))
        self._bus = running.bus
        self._ani = ani
        self._at = at
        self._visits: list[QueueVisit] = []

    def _common(self, at: datetime) -> dict[str, Any]:
        return {"pbx": PBX, "at": at, "call_id": self.id, "linkedid": Linkedid(self.uniqueid)}

    def enter(self) -> None:
        self._bus.publish(
            CallStarted(
                **self._common(self._at),
                uniqueid=Uniqueid(self.uniqueid),
                channel="PJSIP/trunk-1",
                direction="inbound",
                ani=self._ani,
                caller_name="",
                dnis="400",
                context="cti-inbound",
            )
        )
        self._bus.publish(
            CallerEnteredQueue(**self._common(self._at), uniqueid=Uniqueid(self.uniqueid), queue=REPAIR, position=1)
        )

    def leave(self, outcome: QueueOutcome, after_s: float) -> None:
        at = self._at + timedelta(seconds=after_s)
        agent = Interface("PJSIP/agent1") if outcome == "answered" else None
        self._bus.publish(
            CallerLeftQueue(
                **self._common(at),
                uniqueid=Uniqueid(self.uniqueid),
                queue=REPAIR,
                outcome=outcome,
                interface=agent,
                wait_ms=round(after_s * 1000),
            )
        )
        self._visits.append(QueueVisit(queue=REPAIR, entered_at=self._at, left_at=at, outcome=outcome, agent=agent))

    def end(self) -> None:
        at = self._visits[-1].left_at or self._at
        summary = CallSummary(
            call_id=self.id,
            pbx=PBX,
            linkedids=(Linkedid(self.uniqueid),),
            direction="inbound",
            ani=self._ani,
            caller_name="",
            dnis="400",
            started_at=self._at,
            answered_at=None,
            ended_at=at,
            outcome="abandoned",
            answered_by=(),
            queue_visits=tuple(self._visits),
            transfers=(),
            hangup_cause=16,
            hangup_by="caller",
            segments=(),
            reconstructed=False,
            complete=True,
        )
        self._bus.publish(CallEnded(**self._common(at), summary=summary))
