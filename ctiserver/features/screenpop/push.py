"""The topic ``pop:<agent>``: what that agent's desk shows, to that agent and nobody else, not even a supervisor."""

from __future__ import annotations

from ctiserver.features.screenpop.answers import ShownAnswer
from ctiserver.features.screenpop.service import ScreenPops, Shown
from ctiserver.model.ids import AgentId
from ctiserver.model.json_value import Json, JsonObject
from ctiserver.web.access import DESK
from ctiserver.web.hub import Hub, Topic


def topics(pops: ScreenPops) -> list[Topic]:
    """What browsers can follow of screen-pops."""

    async def shown(key: str) -> Json:
        return _shown(pops.shown_to(AgentId(key)))

    return [Topic(kind="pop", roles=DESK, may=lambda person, key: person.agent_id == key, snapshot=shown)]


def publish(hub: Hub, agent_id: AgentId, shown: Shown | None) -> None:
    """Push what the agent's desk shall show."""
    hub.publish("pop", agent_id, "changed", _shown(shown))


def browsers(hub: Hub, agent_id: AgentId) -> int:
    """How many browsers show the agent's desk."""
    return hub.followers("pop", agent_id)


def _shown(shown: Shown | None) -> JsonObject | None:
    """A pop as the topic writes it; None for an empty desk."""
    return None if shown is None else ShownAnswer.of_shown(shown).model_dump(mode="json")
