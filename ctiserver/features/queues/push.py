"""WebSocket topic ``queues``: every queue as it stands."""

from __future__ import annotations

from ctiserver.features.queues.service import Queues, QueueState
from ctiserver.model.json_value import Json, iso
from ctiserver.web.access import DESK
from ctiserver.web.hub import Hub, Topic


def topics(queues: Queues) -> list[Topic]:
    """The topics of this feature."""

    async def everything(_: str) -> Json:
        return [state_json(state) for state in queues.states()]

    return [Topic(kind="queues", roles=DESK, may=lambda _person, key: key == "all", snapshot=everything)]


def publish(hub: Hub, state: QueueState) -> None:
    """Tell who follows the queues of a new state."""
    hub.publish("queues", "all", "queue", state_json(state))


def state_json(state: QueueState) -> dict[str, Json]:
    return {
        "name": state.queue,
        "waiting": state.waiting,
        "longest_since": iso(state.longest_since),
        "members": state.members,
        "agents_ready": state.agents_ready,
        "expected_wait_s": state.expected_wait_s,
    }
