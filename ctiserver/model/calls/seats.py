"""The members of a PBX's queues: what app_queue last said of each, and what changed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from ctiserver.model.calls.call import moment
from ctiserver.model.calls.signals import MemberSeen
from ctiserver.model.events import MemberChanged
from ctiserver.model.ids import Interface, PbxName, QueueName


@dataclass(slots=True)
class QueueMembers:
    """Every (queue, interface) of one PBX. Says a change once, however often app_queue repeats it."""

    pbx: PbxName
    known: dict[tuple[QueueName, Interface], MemberChanged] = field(default_factory=dict)

    def see(self, seen: MemberSeen, at: datetime) -> MemberChanged | None:
        """Take in what an event or list says; the change, if it is one."""
        key = (seen.queue, seen.interface)
        now = MemberChanged(
            pbx=self.pbx,
            at=at,
            queue=seen.queue,
            interface=seen.interface,
            name=seen.name,
            present=seen.present,
            dynamic=seen.dynamic,
            paused=seen.paused,
            pause_reason=seen.pause_reason if seen.paused else "",
            penalty=seen.penalty,
            status=seen.status,
            in_call=seen.in_call,
            paused_at=moment(seen.paused_at) if seen.paused else None,
        )
        before = self.known.get(key)
        if before is not None and _same(before, now):
            return None
        if seen.present:
            self.known[key] = now
        elif self.known.pop(key, None) is None:
            return None
        return now

    def reconcile(self, members: Iterable[MemberSeen], at: datetime) -> list[MemberChanged]:
        """Make the known members those of a fresh list; the changes, removals among them."""
        changes = []
        left = dict(self.known)
        for seen in members:
            left.pop((seen.queue, seen.interface), None)
            changed = self.see(seen, at)
            if changed is not None:
                changes.append(changed)
        for key, before in left.items():
            del self.known[key]
            changes.append(_gone(before, at))
        return changes


def _same(one: MemberChanged, two: MemberChanged) -> bool:
    return (
        one.present == two.present
        and one.status == two.status
        and one.paused == two.paused
        and one.in_call == two.in_call
        and one.pause_reason == two.pause_reason
        and one.penalty == two.penalty
        and one.name == two.name
        and one.dynamic == two.dynamic
    )


def _gone(before: MemberChanged, at: datetime) -> MemberChanged:
    return MemberChanged(
        pbx=before.pbx,
        at=at,
        queue=before.queue,
        interface=before.interface,
        name=before.name,
        present=False,
        dynamic=before.dynamic,
        paused=before.paused,
        pause_reason=before.pause_reason,
        penalty=before.penalty,
        status=before.status,
        in_call=False,
    )
