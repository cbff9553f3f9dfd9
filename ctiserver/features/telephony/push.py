"""The topic ``phone:<agent>``: what that agent's phone does, to that agent alone."""

from __future__ import annotations

from ctiserver.features.telephony.service import PhoneCall, Telephony
from ctiserver.model.ids import AgentId
from ctiserver.model.json_value import Json, JsonObject
from ctiserver.web.access import DESK
from ctiserver.web.hub import Hub, Topic


def topics(telephony: Telephony) -> list[Topic]:
    """What browsers can follow of phones."""

    async def snapshot(key: str) -> Json:
        return phone_json(telephony.call(AgentId(key)))

    return [Topic(kind="phone", roles=DESK, may=lambda person, key: person.agent_id == key, snapshot=snapshot)]


def publish(hub: Hub, agent_id: AgentId, call: PhoneCall | None) -> None:
    """Tell the agent's desk what the phone does."""
    hub.publish("phone", agent_id, "changed", phone_json(call))


def phone_json(call: PhoneCall | None) -> JsonObject | None:
    """A phone's call as the topic writes it; None when it is idle."""
    if call is None:
        return None
    return {
        "call_id": call.call_id,
        "doing": call.doing,
        "parties": call.parties,
        "waiting": call.waiting,
        "held": call.held,
        "muted": call.muted,
    }
