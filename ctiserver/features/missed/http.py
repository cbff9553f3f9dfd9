"""``/api/v1/missed-calls``: who left unserved, and what happened to the calls back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from aiohttp import web

from ctiserver.features.missed.answers import (
    MissedCallAnswer,
    MissedCallsAnswer,
    MissedFiguresAnswer,
)
from ctiserver.features.missed.service import Missed
from ctiserver.model.calls.missed import MISSED_STATES
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
        return json_answer(
            MissedCallsAnswer(
                missed_calls=[MissedCallAnswer.of(it, callback=callback) for it, callback in found], before=following
            )
        )

    async def figures(request: web.Request) -> web.Response:
        since = midnight()
        asked = request.query.get("since")
        if asked:
            since = near_time(asked, "since")
        return json_answer(MissedFiguresAnswer.of(await missed.figures(since), since=since))

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
