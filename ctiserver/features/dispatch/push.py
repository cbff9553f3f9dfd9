"""The topics of work orders, which say that something changed.

``inbox:<user id>``, and ``inbox:role-<role>`` for orders that nobody has yet; ``day:all`` for dispatchers.
"""

from __future__ import annotations

from collections.abc import Iterable

from ctiserver.features.dispatch.day import WHAT
from ctiserver.features.dispatch.http import DISPATCHERS
from ctiserver.model.json_value import Json
from ctiserver.model.work.work_order import WorkOrder
from ctiserver.web.access import EVERYBODY, Person
from ctiserver.web.hub import Hub, Topic


def topics() -> list[Topic]:
    """What browsers can follow of work orders; anyone who hears of a change reads the inbox again."""

    async def nothing(_: str) -> Json:
        return None

    def mine(person: Person, key: str) -> bool:
        return key in (person.user_id, f"role-{person.role}")

    return [
        Topic(kind="inbox", roles=EVERYBODY, may=mine, snapshot=nothing),
        Topic(kind="day", roles=DISPATCHERS, may=lambda person, key: key == "all", snapshot=nothing),
    ]


def publish(hub: Hub, orders: Iterable[WorkOrder]) -> None:
    """Tell those who have these orders, or could take them, that they changed."""
    for order in orders:
        # an order that was just taken from the role's pool must vanish from everybody else's page too
        for key in {order.assignee or f"role-{order.role}", f"role-{order.role}"}:
            hub.publish("inbox", key, "changed", {"order": order.number, "state": order.state})
        if order.kind == WHAT:
            hub.publish("day", "all", "changed", {"order": order.number, "state": order.state})
