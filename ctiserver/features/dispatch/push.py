"""The topic ``inbox:<user id>``, and ``inbox:role-<role>`` for orders that nobody has yet: says that one changed."""

from __future__ import annotations

from collections.abc import Iterable

from ctiserver.model.json_value import Json
from ctiserver.model.work_order import WorkOrder
from ctiserver.web.access import EVERYBODY, Person
from ctiserver.web.hub import Hub, Topic


def topics() -> list[Topic]:
    """What browsers can follow of work orders; whoever hears of a change reads the inbox anew."""

    async def nothing(_: str) -> Json:
        return None

    def mine(person: Person, key: str) -> bool:
        return key in (person.user_id, f"role-{person.role}")

    return [Topic(kind="inbox", roles=EVERYBODY, may=mine, snapshot=nothing)]


def publish(hub: Hub, orders: Iterable[WorkOrder]) -> None:
    """Tell those who have these orders, or could take them, that they changed."""
    for order in orders:
        # an order that was just taken from the role's pool must vanish from everybody else's page too
        for key in {order.assignee or f"role-{order.role}", f"role-{order.role}"}:
            hub.publish("inbox", key, "changed", {"order": order.number, "state": order.state})
