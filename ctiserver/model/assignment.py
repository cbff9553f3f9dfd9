"""Who gets a work order, and why."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ctiserver.model.ids import UserId
from ctiserver.model.json_value import JsonObject
from ctiserver.model.person import User

Reason = Literal["chosen", "not_active", "lacks_skill", "other_region", "declined_before", "has_more_orders"]


@dataclass(frozen=True, slots=True)
class Considered:
    """One person who was looked at."""

    login: str
    open_orders: int
    reason: Reason


@dataclass(frozen=True, slots=True)
class Assignment:
    """Who was chosen, if anybody fits, and everybody who was looked at."""

    user: UserId | None
    considered: tuple[Considered, ...]

    def explained(self) -> JsonObject:
        """For the order's payload: people ask why."""
        return {
            "considered": [
                {"login": one.login, "open_orders": one.open_orders, "reason": one.reason} for one in self.considered
            ]
        }


def choose(
    people: Sequence[User],
    load: Mapping[UserId, int],
    *,
    skills: Collection[str] = (),
    region: str = "",
    avoid: Collection[UserId] = (),
) -> Assignment:
    """The fitting person with the fewest open orders; of equals the one whose log-in sorts first.

    Somebody without any skill or region of their own does everything everywhere: a small shop writes none down.
    """
    considered: list[Considered] = []
    best: User | None = None
    for user in sorted(people, key=lambda user: (load.get(user.id, 0), user.login)):
        reason = _unfit(user, skills, region, avoid)
        if reason is None:
            reason = "chosen" if best is None else "has_more_orders"
            best = best or user
        considered.append(Considered(user.login, load.get(user.id, 0), reason))
    return Assignment(best.id if best else None, tuple(considered))


def _unfit(user: User, skills: Collection[str], region: str, avoid: Collection[UserId]) -> Reason | None:
    if not user.active:
        return "not_active"
    if user.id in avoid:
        return "declined_before"
    if user.skills and not set(skills) <= set(user.skills):
        return "lacks_skill"
    if user.regions and region and region not in user.regions:
        return "other_region"
    return None
