"""What the routes of agents answer: for the API's description, and held to by its tests."""

from __future__ import annotations

from datetime import datetime

from ctiserver.model.agent import AgentState
from ctiserver.pbx.trouble import TroubleKind
from ctiserver.web.routes import Answer


class PresenceAnswer(Answer):
    """What an agent is doing."""

    agent_id: str
    state: AgentState
    since: datetime
    logged_in: bool
    reachable: bool  #: the phone is registered
    pause_reason: str | None
    wrap_up_until: datetime | None
    extension_s: float  #: what an extension of the after-call work would give now
    queues: list[str]
    pbx: str  #: the one that the phone is on
    pbx_up: bool  #: False: all of this is as it was when the link to the PBX was lost
    pbx_trouble: TroubleKind | None  #: what is wrong with it, connected or not
    calls: list[str]


class TeamMemberAnswer(PresenceAnswer):
    """An agent, and what they are doing."""

    name: str
    extension: str


class TeamAnswer(Answer):
    """Agents, by id."""

    agents: list[TeamMemberAnswer]
    after: str | None  #: for the next page; None: this is the last


class PauseReasonAnswer(Answer):
    name: str
    title: dict[str, str]
    paid: bool
    limit_s: float | None


class PauseReasonsAnswer(Answer):
    """pause_reasons.yaml"""

    pause_reasons: list[PauseReasonAnswer]
