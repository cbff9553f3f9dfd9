"""``/api/v1/audit``: the audit log, for supervisors and admins. It is read here and changed nowhere."""

from __future__ import annotations

from aiohttp import web

from ctiserver.features.audit.answers import AuditAnswer, AuditEntryAnswer
from ctiserver.model.audit import ACTS
from ctiserver.store.database import Database
from ctiserver.web.access import SUPERVISORS
from ctiserver.web.problems import Invalid
from ctiserver.web.routes import Route, json_answer

_PAGE = 50


def routes(database: Database) -> list[Route]:
    """What the audit log offers over HTTP."""

    async def page(request: web.Request) -> web.Response:
        query = request.query
        act = next((known for known in ACTS if known == query.get("act")), None)
        if query.get("act") and act is None:
            raise Invalid("there is no such action", {"act": f"one of {', '.join(ACTS)}"})
        async with database.reading() as uow:
            entries = await uow.audit.page(
                _PAGE,
                before=query.get("before") or None,
                actor=query.get("actor") or None,
                act=act,
                subject=query.get("subject") or None,
            )
        return json_answer(
            AuditAnswer(
                entries=[AuditEntryAnswer.of(entry) for entry in entries],
                before=entries[-1].id if len(entries) == _PAGE else None,
                acts=list(ACTS),
            )
        )

    return [
        Route(
            method="GET",
            path="/api/v1/audit",
            handler=page,
            roles=SUPERVISORS,
            answer=AuditAnswer,
            query={
                "before": "the id of the last entry of the page before",
                "actor": "`user:<login>`: what one person did",
                "act": "one kind of act",
                "subject": "`call:<id>`, `record:<id>`, `agent:<id>`, `user:<login>`: what was done to one thing",
            },
        )
    ]
