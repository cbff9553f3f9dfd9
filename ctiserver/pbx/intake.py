"""One PBX's messages become domain events: the one way, for a live link and for a recording."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from ctiserver.model.calls.call import moment
from ctiserver.model.calls.seats import QueueMembers
from ctiserver.model.calls.signals import MemberSeen, Snapshot
from ctiserver.model.calls.tracking.book import LONG_AGO, Sides
from ctiserver.model.calls.tracking.tracker import CallTracker
from ctiserver.model.events import PbxEvent
from ctiserver.model.ids import PbxName
from ctiserver.pbx.codec import AmiMessage
from ctiserver.pbx.translate import translate

log = structlog.get_logger(__name__)


@dataclass(slots=True, repr=False)
class Intake:
    """Calls and queue members of one PBX, kept by its messages.

    ``now`` gives the time, in seconds since 1970, of messages without a time of their own; a recording has none.
    """

    pbx: PbxName
    sides: Sides = field(default_factory=Sides)
    midstream: bool = True
    now: Callable[[], float] | None = None
    broken: int = 0  #: messages that could not be taken in
    tracker: CallTracker = field(init=False)
    seats: QueueMembers = field(init=False)

    def __post_init__(self) -> None:
        self.tracker = CallTracker(self.pbx, self.sides, self.midstream)
        self.seats = QueueMembers(self.pbx)

    def take(self, message: AmiMessage) -> list[PbxEvent]:
        """The domain events that follow from one message.

        A message that breaks our code is logged whole, counted and dropped: one bad event must not end a link.
        """
        try:
            return self._take(message)
        except Exception:
            self.broken += 1
            log.exception("ami_event_failed", pbx=self.pbx, message=repr(message))
            return []

    def _take(self, message: AmiMessage) -> list[PbxEvent]:
        signal = translate(message)
        if signal is None:
            return []
        if signal.at is None and self.now is not None:
            signal = signal._replace(at=self.now())
        if not isinstance(signal, MemberSeen):
            return [*self.tracker.apply(signal)]
        self.tracker.learn_phone(signal.interface)
        change = self.seats.see(signal, moment(signal.at) or LONG_AGO)
        return [] if change is None else [change]

    def current_events(self) -> list[PbxEvent]:
        """What a new subscriber would be told: every seat, and the calls that go on."""
        return [*self.seats.known.values(), *self.tracker.retell()]

    def reconcile(self, snapshot: Snapshot) -> list[PbxEvent]:
        """Make what is known that of a snapshot; the domain events that follow."""
        at = moment(snapshot.at) or LONG_AGO
        for member in snapshot.members:
            self.tracker.learn_phone(member.interface)
        return [*self.seats.reconcile(snapshot.members, at), *self.tracker.reconcile(snapshot)]
