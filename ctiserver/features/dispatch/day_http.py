"""``/api/v1/day``: the dispatcher's day; and handing over what somebody has who is ill."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from aiohttp import web
from pydantic import Field

from ctiserver.features.dispatch.answers import AbsenceAnswer, DayAnswer, HandoverAnswer
from ctiserver.features.dispatch.day import Day, Days, FieldVisit, Row
from ctiserver.features.dispatch.http import DISPATCHERS, TEXT_MAX, account
from ctiserver.features.dispatch.placing import Placing
from ctiserver.model.ids import UserId
from ctiserver.model.json_value import JsonObject, iso
from ctiserver.store.database import Database
from ctiserver.web.access import person_of
from ctiserver.web.inputs import Day as DayText
from ctiserver.web.inputs import NearTime, usual_day
from ctiserver.web.routes import Body, Route, json_answer, read_body


class HandoverBody(Body):
    """POST /api/v1/handovers"""

    whose: Annotated[str, Field(min_length=1, max_length=64)]  #: a log-in
    reason: Annotated[str, Field(min_length=1, max_length=TEXT_MAX)]
    to: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """A log-in; nobody: each order goes by its rule."""
    day: DayText | None = None
    """Only what is planned for this date or for no time; none: everything."""
    away_until: NearTime | None = None
    """So long the rules give them nothing new."""


class AbsenceBody(Body):
    """POST /api/v1/absences"""

    login: Annotated[str, Field(min_length=1, max_length=64)]
    until: NearTime | None
    """So long the rules give them nothing new; none: they are back."""
    reason: Annotated[str, Field(max_length=TEXT_MAX)] = ""


class DayHttp:
    """The routes of anyone who gives orders out."""

    def __init__(self, days: Days, placing: Placing, database: Database) -> None:
        self._days = days
        self._placing = placing
        self._database = database

    def routes(self) -> list[Route]:
        return [
            Route(
                method="GET",
                path="/api/v1/day",
                handler=self._day,
                roles=DISPATCHERS,
                answer=DayAnswer,
                query={"date": "such as 2026-11-23; the site's today if left out"},
            ),
            Route(
                method="POST",
                path="/api/v1/handovers",
                handler=self._hand_over,
                roles=DISPATCHERS,
                body=HandoverBody,
                answer=HandoverAnswer,
            ),
            Route(
                method="POST",
                path="/api/v1/absences",
                handler=self._set_away,
                roles=DISPATCHERS,
                body=AbsenceBody,
                answer=AbsenceAnswer,
            ),
        ]

    async def _day(self, request: web.Request) -> web.Response:
        text = request.query.get("date")
        wanted = None if text is None else usual_day(text, "date")
        return json_answer(_day(await self._days.of(wanted)))

    async def _hand_over(self, request: web.Request) -> web.Response:
        body = await read_body(request, HandoverBody)
        done = await self._placing.hand_over(
            await account(self._database, body.whose, "whose"),
            person_of(request).user_id,
            reason=body.reason,
            day=body.day,
            to=None if body.to is None else await account(self._database, body.to),
            away_until=body.away_until,
        )
        return json_answer(
            {
                "orders": [
                    {
                        "id": one.order.id,
                        "number": one.order.number,
                        "to": None if one.to is None else one.to.login,
                        "considered": one.order.payload.get("considered", []),
                    }
                    for one in done
                ]
            }
        )

    async def _set_away(self, request: web.Request) -> web.Response:
        body = await read_body(request, AbsenceBody)
        whose = await account(self._database, body.login, "login")
        user = await self._placing.set_away(whose, body.until, person_of(request).user_id, reason=body.reason)
        until = iso(user.away_until)
        return json_answer({"login": user.login, "until": until})


def _day(day: Day) -> JsonObject:
    logins: Mapping[UserId, str] = {row.user.id: row.user.login for row in day.rows}
    return {
        "day": day.day.isoformat(),
        "today": day.today.isoformat(),
        "time_zone": day.time_zone,
        "calendar": day.calendar,
        "windows": [{"begin": window.begin.isoformat(), "end": window.end.isoformat()} for window in day.windows],
        "rows": [_row(row) for row in day.rows],
        "visits": [_visit(visit, logins) for visit in day.visits],
    }


def _row(row: Row) -> JsonObject:
    away = row.user.away_until
    return {
        "login": row.user.login,
        "name": row.user.name,
        "department": row.user.department,
        "regions": list(row.user.regions),
        "skills": list(row.user.skills),
        "away_until": iso(away),
        "open_orders": row.open_orders,
        "off": list(row.off),
    }


def _visit(visit: FieldVisit, logins: Mapping[UserId, str]) -> JsonObject:
    order, brief = visit.order, visit.brief
    return {
        "id": order.id,
        "number": order.number,
        "state": order.state,
        "assignee": None if order.assignee is None else logins.get(order.assignee, order.assignee),
        "planned_at": iso(order.planned_at),
        "window": visit.window,
        "due_at": iso(order.due_at),
        "late": visit.late,
        "movable": visit.movable,
        "considered": order.payload.get("considered", []),
        "assigned": order.payload.get("assigned"),
        "record": {
            "id": brief.id,
            "number": brief.number,
            "type": brief.type,
            "subject": brief.subject,
            "priority": brief.priority,
            "repeat_calls": brief.repeat_calls,
            "caller_number": brief.caller_number,
            "contact": brief.contact,
            "organisation": brief.organisation,
            "address": brief.address,
            "region": str(order.payload.get("region") or brief.region),
        },
        "revision": order.revision,
    }
