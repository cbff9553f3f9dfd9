"""``/api/v1/missed-calls``: who left unserved, and what happened to the calls back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from aiohttp import web

from ctiserver.features.missed.answers import MissedCallsAnswer, MissedFiguresAnswer
from ctiserver.features.missed.service import Missed, OwedCallback
from ctiserver.model.calls.missed import MISSED_STATES, MissedCall
from ctiserver.model.json_value import JsonObject, iso
from ctiserver.web.access import SUPERVISORS
from ctiserver.web.inputs import near_time
from ctiserver.web.problems import Invalid
from ctiserver.web.routes import Route, json_answer

_PAGE = 50


def routes(missed: Missed, midnight: Callable[[], datetime]) -> list[Route]:
    """What missed calls offer over HTTP. ``midnight``: when the site's own day began."""

    async def page(request: web.Request) -> web.Response:
        wanted = request.query.get("state")
        state = next((known for known in MISSED_STATES if known == wanted), None)
        if wanted and state is None:
            raise Invalid("there is no such state", {"state": f"one of {', '.join(MISSED_STATES)}"})
        found = await missed.page(before=request.query.get("before") or None, state=state, limit=_PAGE)
        following = found[-1][0].id if len(found) == _PAGE else None
        return json_answer({"missed_calls": [_missed(*pair) for pair in found], "before": following})

    async def figures(request: web.Request) -> web.Response:
        since = midnight()
        asked = request.query.get("since")
        if asked:
            since = near_time(asked, "since")
        it = await missed.figures(since)
        return json_answer(
            {
                "since": since.isoformat(),
                "missed": it.missed,
                "recovered": it.recovered,
                "minutes_to_recover": it.minutes_to_recover,
            }
        )

    return [
        Route(
            method="GET",
            path="/api/v1/missed-calls",
            handler=page,
            roles=SUPERVISORS,
            answer=MissedCallsAnswer,
            query={
                "before": "the id of the last one of the page before",
                "state": f"only these: {', '.join(MISSED_STATES)}",
            },
        ),
        Route(
            method="GET",
            path="/api/v1/missed-calls/figures",
            handler=figures,
            roles=SUPERVISORS,
            answer=MissedFiguresAnswer,
            query={"since": "an instant with its zone; left out: today's midnight"},
        ),
    ]


def _missed(it: MissedCall, callback: OwedCallback | None) -> JsonObject:
    return {
        "id": it.id,
        "number": it.number,
        "period_began_at": it.period_began_at.isoformat(),
        "queue": it.queue,
        "record_id": it.record_id,
        "call_id": it.call_id,
        "calls": it.calls,
        "missed_at": it.missed_at.isoformat(),
        "last_at": it.last_at.isoformat(),
        "state": it.state,
        "ended_at": iso(it.ended_at),
        "ended_by": it.ended_by,
        "callback": None
        if callback is None
        else {"number": callback.number, "state": callback.state, "attempt": callback.attempt},
    }
