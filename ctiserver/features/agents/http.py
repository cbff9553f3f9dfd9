"""``/api/v1/agents``: what an agent does at the start of a shift, for a break, after a call; and who is there."""

from __future__ import annotations

from typing import Annotated

from aiohttp import web
from pydantic import Field

from ctiserver.features.agents.answers import PauseReasonsAnswer, PresenceAnswer, TeamAnswer
from ctiserver.features.agents.service import Agents
from ctiserver.model.agent import Presence
from ctiserver.model.json_value import Json, iso
from ctiserver.model.person import Agent
from ctiserver.site.load import Site
from ctiserver.web.access import DESK, SUPERVISORS, agent_of
from ctiserver.web.routes import PAGED, Body, Route, json_answer, page_of, read_body


class PauseBody(Body):
    """POST /api/v1/agents/me/pause"""

    reason: Annotated[str, Field(min_length=1, max_length=40)]


class AgentsHttp:
    """Routes over agents."""

    def __init__(self, agents: Agents, site: Site) -> None:
        self._agents = agents
        self._site = site

    def routes(self) -> list[Route]:
        mine = "/api/v1/agents/me"
        return [
            Route(
                method="GET",
                path="/api/v1/agents",
                handler=self._list,
                roles=SUPERVISORS,
                answer=TeamAnswer,
                query=PAGED,
            ),
            Route(method="GET", path=mine, handler=self._me, roles=DESK, answer=PresenceAnswer),
            Route(method="POST", path=f"{mine}/login", handler=self._log_in, roles=DESK, answer=PresenceAnswer),
            Route(method="POST", path=f"{mine}/logout", handler=self._log_out, roles=DESK, answer=PresenceAnswer),
            Route(
                method="POST",
                path=f"{mine}/pause",
                handler=self._pause,
                roles=DESK,
                body=PauseBody,
                answer=PresenceAnswer,
            ),
            Route(method="POST", path=f"{mine}/unpause", handler=self._unpause, roles=DESK, answer=PresenceAnswer),
            Route(method="POST", path=f"{mine}/extend", handler=self._extend, roles=DESK, answer=PresenceAnswer),
            Route(
                method="GET", path="/api/v1/pause-reasons", handler=self._reasons, roles=DESK, answer=PauseReasonsAnswer
            ),
        ]

    async def _list(self, request: web.Request) -> web.Response:
        page, after = page_of(self._agents.everybody(), lambda member: member[0].id, request)
        return json_answer({"agents": [_member(*member, self._agents) for member in page], "after": after})

    async def _me(self, request: web.Request) -> web.Response:
        agent_id = agent_of(request)
        await self._agents.load()  # an account that was added while the server runs is seen from here on
        return self._answer(self._agents.presence(agent_id))

    async def _log_in(self, request: web.Request) -> web.Response:
        return self._answer(await self._agents.log_in(agent_of(request)))

    async def _log_out(self, request: web.Request) -> web.Response:
        return self._answer(await self._agents.log_out(agent_of(request)))

    async def _pause(self, request: web.Request) -> web.Response:
        body = await read_body(request, PauseBody)
        return self._answer(await self._agents.pause(agent_of(request), body.reason))

    async def _unpause(self, request: web.Request) -> web.Response:
        return self._answer(await self._agents.ready(agent_of(request)))

    async def _extend(self, request: web.Request) -> web.Response:
        return self._answer(self._agents.extend_wrap_up(agent_of(request)))

    async def _reasons(self, request: web.Request) -> web.Response:
        return json_answer(
            {
                "pause_reasons": [
                    {
                        "name": name,
                        "title": dict(reason.title),
                        "paid": reason.paid,
                        "limit_s": None if reason.limit is None else reason.limit.total_seconds(),
                    }
                    for name, reason in self._site.pause_reasons.items()
                ]
            }
        )

    def _answer(self, presence: Presence) -> web.Response:
        return json_answer(presence_json(presence, self._agents))


def presence_json(presence: Presence, agents: Agents) -> dict[str, Json]:
    """A presence as the API and the topics write it."""
    until = presence.wrap_up_until
    return {
        "agent_id": presence.agent_id,
        "state": presence.state,
        "since": presence.since.isoformat(),
        "logged_in": presence.logged_in,
        "reachable": presence.reachable,
        "pause_reason": presence.pause_reason,
        "wrap_up_until": iso(until),
        "extension_s": agents.wrap_up_extension(presence.agent_id).total_seconds(),
        "queues": list(agents.queues(presence.agent_id)),
        "pbx": agents.pbx_of(presence.agent_id),
        "pbx_up": agents.pbx_up(presence.agent_id),
        "pbx_trouble": agents.pbx_trouble(presence.agent_id),
        "calls": sorted(presence.talking | presence.ringing),
    }


def team_json(agents: Agents) -> list[Json]:
    """Everybody with name and presence, by id."""
    return [_member(agent, presence, agents) for agent, presence in agents.everybody()]


def _member(agent: Agent, presence: Presence, agents: Agents) -> dict[str, Json]:
    return {"name": agent.name, "extension": agent.extension, **presence_json(presence, agents)}
