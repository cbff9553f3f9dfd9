"""Who gets a work order, and why: everybody who was looked at, and what spoke against each."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from ctiserver.model.calendar.span import WorkingTime
from ctiserver.model.ids import UserId
from ctiserver.model.json_value import JsonObject
from ctiserver.model.person import User

#: What speaks against somebody, in the order in which it is looked at.
Against = Literal[
    "not_active", "away", "declined_before", "other_department", "lacks_skill", "other_region", "off_hours"
]
#: ``sticky``: chosen because they did this before. ``fits``: would have been right too, had the rule chosen.
Reason = Against | Literal["chosen", "sticky", "by_hand", "has_more_orders", "somebody_did_it_before", "fits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AssignmentRequest:
    """What an order asks of anyone who gets it."""

    begin: datetime  #: when there is something to do: now, or the time that it is planned for (aware)
    latest: datetime  #: they must be at work at some moment from ``begin`` to then
    department: str = ""  #: empty: any
    skills: Collection[str] = ()
    region: str = ""
    avoid: Collection[UserId] = ()  #: who declined it, or has to hand it over
    sticky: UserId | None = None  #: who did this before, and shall have it whatever their load, if they fit


@dataclass(frozen=True, slots=True, kw_only=True)
class Considered:
    """One person who was looked at."""

    login: str
    name: str
    open_orders: int
    reason: Reason
    against: Against | None = None  #: what spoke against somebody who was chosen by hand

    def to_json(self) -> JsonObject:
        said: JsonObject = {
            "login": self.login,
            "name": self.name,
            "open_orders": self.open_orders,
            "reason": self.reason,
        }
        return said if self.against is None else {**said, "against": self.against}


@dataclass(frozen=True, slots=True)
class Assignment:
    """Who was chosen, if anybody fits, and everybody who was looked at, the one who was chosen first."""

    user: UserId | None
    considered: tuple[Considered, ...]

    @property
    def sticky(self) -> bool:
        """Whether somebody was chosen because they did this before."""
        return any(one.reason == "sticky" for one in self.considered)

    def explained(self) -> JsonObject:
        """For the order's payload: people ask why."""
        return {"considered": [one.to_json() for one in self.considered]}


@dataclass(frozen=True, slots=True)
class AssignmentRules:
    """The rules of assignment, with what they need to know of time."""

    time: WorkingTime
    load: Mapping[UserId, int] = field(default_factory=dict)  #: open orders a person

    def choose(self, people: Iterable[User], wish: AssignmentRequest) -> Assignment:
        """The person who did it before, if they fit; else the fitting one with the fewest open orders; of equals the
        one whose log-in sorts first.

        Somebody without any skill or region of their own does everything everywhere, and somebody without a calendar
        works at any time: a small shop writes none down. A department that an order asks for is one's own or not.
        """
        judged = [(user, self.against(user, wish)) for user in self._by_load(people)]
        fitting = [user for user, against in judged if against is None]
        kept = next((user for user in fitting if user.id == wish.sticky), None)
        best = kept or next(iter(fitting), None)
        others: Reason = "has_more_orders" if kept is None else "somebody_did_it_before"
        considered: list[Considered] = []
        for user, against in judged:
            if user is not best:
                considered.append(self._looked_at(user, against or others))
        if best is not None:
            considered.insert(0, self._looked_at(best, "chosen" if kept is None else "sticky"))
        return Assignment(None if best is None else best.id, tuple(considered))

    def given(self, people: Iterable[User], wish: AssignmentRequest, to: User) -> Assignment:
        """Somebody gave it to ``to`` by hand: what the rule says of them, and of everybody else."""
        others = [
            self._looked_at(user, self.against(user, wish) or "fits")
            for user in self._by_load(people)
            if user.id != to.id
        ]
        chosen = self._looked_at(to, "by_hand", self.against(to, wish))
        return Assignment(to.id, (chosen, *others))

    def against(self, user: User, wish: AssignmentRequest) -> Against | None:
        """The first thing that speaks against somebody; None: they fit."""
        if not user.active:
            return "not_active"
        if user.away_until is not None and user.away_until > wish.begin:
            return "away"
        if user.id in wish.avoid:
            return "declined_before"
        if wish.department and wish.department != user.department:
            return "other_department"
        if user.skills and not set(wish.skills) <= set(user.skills):
            return "lacks_skill"
        if user.regions and wish.region and wish.region not in user.regions:
            return "other_region"
        if not self._works(user, wish):
            return "off_hours"
        return None

    def _works(self, user: User, wish: AssignmentRequest) -> bool:
        calendar = self.time.calendars.get(user.calendar)
        if calendar is None:
            return True
        opens = self.time.next_open(wish.begin, user.calendar)
        return opens <= max(wish.begin, wish.latest) and calendar.at(opens).state == "open"

    def _by_load(self, people: Iterable[User]) -> Sequence[User]:
        return sorted(people, key=lambda user: (self.load.get(user.id, 0), user.login))

    def _looked_at(self, user: User, reason: Reason, against: Against | None = None) -> Considered:
        return Considered(
            login=user.login,
            name=user.name,
            open_orders=self.load.get(user.id, 0),
            reason=reason,
            against=against,
        )
