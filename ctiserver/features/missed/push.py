"""WebSocket topic ``missed``: the missed calls are others now; anyone who looks at them reads them again."""

from __future__ import annotations

from ctiserver.model.json_value import Json
from ctiserver.web.access import SUPERVISORS
from ctiserver.web.hub import Hub, Topic


def topics() -> list[Topic]:
    """The topics of this feature."""

    async def nothing(_: str) -> Json:
        return None

    return [Topic(kind="missed", roles=SUPERVISORS, may=lambda _person, key: key == "all", snapshot=nothing)]


def publish(hub: Hub) -> None:
    """Tell who looks at missed calls that they changed."""
    hub.publish("missed", "all", "changed", None)
