"""``/api/v1/board`` and what a supervisor does from it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

from aiohttp import web
from pydantic import Field

from ctiserver.features.wallboard.answers import BoardAnswer, CountedAnswer, MonitoringAnswer, SteeredAnswer
from ctiserver.features.wallboard.board import Board
from ctiserver.features.wallboard.push import board_json
from ctiserver.features.wallboard.steering import Mode, Steering, Wish
from ctiserver.model.calls.service_level import COUNTED, CountedVisit
from ctiserver.model.ids import AgentId, QueueName
from ctiserver.model.json_value import JsonObject, iso
from ctiserver.store.database import Database
from ctiserver.web.access import SUPERVISORS, Intent, Person, agent_of, person_of
from ctiserver.web.problems import Invalid
from ctiserver.web.routes import Body, Route, json_answer, nothing, read_body

Reason = Annotated[str, Field(min_length=3, max_length=500)]
_LISTED = 500


class MonitorBody(Body):
    """POST /api/v1/agents/{agent_id}/monitor"""

    mode: Mode
    reason: Reason  #: why: it stands in the audit log


class StateBody(Body):
    """POST /api/v1/agents/{agent_id}/state"""

    state: Wish
    pause_reason: Annotated[str, Field(max_length=40)] = ""
    reason: Reason


class SeatBody(Body):
    """PUT /api/v1/queues/{queue}/members/{agent_id}"""

    penalty: Annotated[int, Field(ge=0, le=99)] = 0


class WallboardHttp:
    """Routes of the live board."""

    def __init__(
        self, database: Database, board: Board, steering: Steering, *, logged: Callable[[], Awaitable[None]]
    ) -> None:
        """``logged`` waits until the call log has what was seen so far."""
        self._logged = logged
        self._database = database
        self._board = board
        self._steering = steering

    def routes(self) -> list[Route]:
        member = "/api/v1/queues/{queue}/members/{agent_id}"
        return [
            Route(method="GET", path="/api/v1/board", handler=self._show, roles=SUPERVISORS, answer=BoardAnswer),
            Route(
                method="GET",
                path="/api/v1/queues/{queue}/counted",
                handler=self._counted,
                roles=SUPERVISORS,
                answer=CountedAnswer,
                query={"figure": f"which count of the board: {', '.join(COUNTED)}"},
            ),
            Route(
                method="POST",
                path="/api/v1/agents/{agent_id}/monitor",
                handler=self._monitor,
                roles=SUPERVISORS,
                body=MonitorBody,
                answer=MonitoringAnswer,
                status=(202,),
            ),
            Route(
                method="POST",
                path="/api/v1/agents/{agent_id}/state",
                handler=self._set_state,
                roles=SUPERVISORS,
                body=StateBody,
                answer=SteeredAnswer,
            ),
            Route(method="PUT", path=member, handler=self._seat, roles=SUPERVISORS, body=SeatBody),
            Route(method="DELETE", path=member, handler=self._unseat, roles=SUPERVISORS),
        ]

    async def may_reach_agent(self, person: Person, agent_id: str, _: Intent) -> bool:
        """Agents are steered by supervisors."""
        return person.role in SUPERVISORS and self._steering.knows(agent_id)

    async def may_reach_queue(self, person: Person, queue: str, _: Intent) -> bool:
        """Queues are looked into by supervisors."""
        return person.role in SUPERVISORS and any(it.queue == queue for it in self._board.everything())

    async def _show(self, _: web.Request) -> web.Response:
        return json_answer(board_json(self._board))

    async def _counted(self, request: web.Request) -> web.Response:
        queue = QueueName(request.match_info["queue"])
        what = next((known for known in COUNTED if known == request.query.get("figure")), None)
        if what is None:
            raise Invalid("there is no such figure", {"figure": f"one of {', '.join(COUNTED)}"})
        count = getattr(self._board.figures(queue).figures, what)
        visits = await self._board.counted(queue, what, _LISTED)
        await self._logged()  # whose numbers are shown with them
        async with self._database.reading() as uow:
            callers = {
                entry.id: (entry.ani, entry.caller_name)
                for visit in visits
                if (entry := await uow.calls.find(visit.call_id)) is not None
            }
        listed = [_visit(visit, *callers.get(visit.call_id, ("", ""))) for visit in visits]
        return json_answer({"queue": queue, "figure": what, "count": count, "visits": listed})

    async def _monitor(self, request: web.Request) -> web.Response:
        body = await read_body(request, MonitorBody)
        call_id = await self._steering.monitor(
            person_of(request),
            agent_of(request),
            AgentId(request.match_info["agent_id"]),
            body.mode,
            body.reason,
        )
        return json_answer({"call_id": call_id}, status=202)

    async def _set_state(self, request: web.Request) -> web.Response:
        body = await read_body(request, StateBody)
        presence = await self._steering.set_state(
            person_of(request),
            AgentId(request.match_info["agent_id"]),
            body.state,
            pause_reason=body.pause_reason,
            reason=body.reason,
        )
        return json_answer({"agent_id": presence.agent_id, "state": presence.state})

    async def _seat(self, request: web.Request) -> web.Response:
        body, path = await read_body(request, SeatBody), request.match_info
        await self._steering.seat(person_of(request), QueueName(path["queue"]), AgentId(path["agent_id"]), body.penalty)
        return nothing()

    async def _unseat(self, request: web.Request) -> web.Response:
        path = request.match_info
        await self._steering.unseat(person_of(request), QueueName(path["queue"]), AgentId(path["agent_id"]))
        return nothing()


def _visit(visit: CountedVisit, ani: str, caller_name: str) -> JsonObject:
    return {
        "call_id": visit.call_id,
        "ani": ani,
        "caller_name": caller_name,
        "entered_at": visit.entered_at.isoformat(),
        "left_at": iso(visit.left_at),
        "wait_ms": visit.wait_ms,
        "outcome": visit.outcome,
        "agent": visit.agent,
    }
