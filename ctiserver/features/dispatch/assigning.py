"""Giving orders to people inside a unit of work: by the definition's rule or by hand, each time with the reasons.

An order keeps them in its payload. ``assigned``: ``how`` it came to its assignee (``rule``, ``sticky``, ``hand``,
``bulk``, ``taken``, ``owner``, ``same``; ``pool``: the first who takes it; ``nobody``: nobody fits), ``by`` whom, the
``reason`` they gave, and ``at`` which time. ``considered``: everybody who was looked at, and what spoke against each.
``had_before``: from whom it was taken, since what they did for it until they heard of that is worth knowing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Literal

from ctiserver.model.calendar.span import WorkingTime
from ctiserver.model.ids import UserId
from ctiserver.model.json_value import Json
from ctiserver.model.person import User
from ctiserver.model.work.assignment import Assignment, AssignmentRequest, AssignmentRules
from ctiserver.model.work.work_order import WorkOrder
from ctiserver.store.unit_of_work import UnitOfWork

How = Literal["rule", "sticky", "hand", "bulk", "taken", "owner", "same", "pool", "nobody"]


class Assigning:
    """Finds people for orders; what it gave out counts as load for the next."""

    def __init__(self, uow: UnitOfWork, time: WorkingTime, now: datetime) -> None:
        self._uow = uow
        self._time = time
        self._now = now
        self._people: dict[str, Sequence[User]] = {}
        self._load: dict[UserId, int] = {}

    async def by_rule(self, order: WorkOrder, *, avoid: Collection[UserId] = ()) -> WorkOrder:
        """The order, assigned to the person who fits best; if nobody fits, open to its role."""
        if order.payload.get("choose") == "anybody":
            return said(replace(order, assignee=None), "pool", self._now)
        people = await self._of_role(order.role)
        found = AssignmentRules(self._time, self._load).choose(people, await self._wish(order, avoid))
        how: How = "nobody" if found.user is None else "sticky" if found.sticky else "rule"
        return said(self._with(order, found), how, self._now)

    async def kept(self, order: WorkOrder) -> WorkOrder:
        """The order with the person who has it, if they still fit; else as :meth:`by_rule`."""
        people = await self._of_role(order.role)
        wish = await self._wish(order, ())
        has_it = next((user for user in people if user.id == order.assignee), None)
        if has_it is not None and AssignmentRules(self._time, self._load).against(has_it, wish) is None:
            return order
        return await self.by_rule(order)

    async def by_hand(self, order: WorkOrder, to: User) -> WorkOrder:
        """The order with ``to``, and what the rule says of that; who gave it is for the caller to say."""
        people = await self._of_role(order.role)
        found = AssignmentRules(self._time, self._load).given(people, await self._wish(order, ()), to)
        return self._with(order, found)

    def known(self, user: UserId) -> User | None:
        """Somebody who was looked at before."""
        return next((one for people in self._people.values() for one in people if one.id == user), None)

    def _with(self, order: WorkOrder, found: Assignment) -> WorkOrder:
        if order.assignee is not None and order.assignee in self._load:
            self._load[order.assignee] -= 1
        if found.user is not None:
            self._load[found.user] = self._load.get(found.user, 0) + 1
        return replace(order, assignee=found.user, payload={**order.payload, **found.explained()})

    async def _of_role(self, role: str) -> Sequence[User]:
        if role not in self._people:
            people = await self._uow.users.everybody(role)
            self._people[role] = people
            self._load |= await self._uow.work_orders.load([user.id for user in people])
        return self._people[role]

    async def _wish(self, order: WorkOrder, avoid: Collection[UserId]) -> AssignmentRequest:
        said_ = order.payload
        planned = order.planned_at is not None and order.planned_at > self._now
        begin = order.planned_at if planned and order.planned_at is not None else self._now
        # Who is to be there at a time must be at work then; what is only to be done in time can wait for their hours.
        latest = begin if planned else order.accept_by or order.due_at or begin
        return AssignmentRequest(
            begin=begin,
            latest=latest,
            department=str(said_.get("department") or ""),
            skills=_words(said_.get("skills")),
            region=str(said_.get("region") or ""),
            avoid={*(UserId(user) for user in _words(said_.get("avoid"))), *avoid},
            sticky=await self._did_it_before(order),
        )

    async def _did_it_before(self, order: WorkOrder) -> UserId | None:
        match order.payload.get("sticky"):
            case "record":
                return await self._uow.work_orders.last_doer(order.kind, record=order.record_id)
            case "contact":
                record = await self._uow.records.get(order.record_id)
                return await self._uow.work_orders.last_doer(
                    order.kind, record=order.record_id, contact=record.contact_id
                )
            case _:
                return None


def said(order: WorkOrder, how: How, now: datetime, *, by: str | None = None, reason: str = "") -> WorkOrder:
    """The order with a note of how it came to the person who has it."""
    assigned: dict[str, Json] = {"how": how, "by": by, "reason": reason, "at": now.isoformat()}
    return replace(order, payload={**order.payload, "assigned": assigned})


def how_of(order: WorkOrder) -> str:
    """How the order came to the person who has it; empty where that was never noted."""
    assigned = order.payload.get("assigned")
    return str(assigned["how"]) if isinstance(assigned, Mapping) else ""


def taken_from(order: WorkOrder, who: UserId) -> WorkOrder:
    """The order with a note that this person had it."""
    before = [user for user in _words(order.payload.get("had_before")) if user != who]
    return replace(order, payload={**order.payload, "had_before": [*before, who]})


def had_before(order: WorkOrder, who: UserId) -> bool:
    """Whether it was taken from this person, and was not given back."""
    return order.assignee != who and who in _words(order.payload.get("had_before"))


def _words(value: Json) -> list[str]:
    """A skill or several, as a definition may give them."""
    if isinstance(value, str):
        return [value] if value else []
    return [str(item) for item in value] if isinstance(value, list | tuple) else []
