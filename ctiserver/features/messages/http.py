"""``/api/v1/messages``: what was told to the world outside, sending dead ones again, and what the SMS gateway tells."""

from __future__ import annotations

from typing import Annotated, get_args

from aiohttp import web
from pydantic import Field

from ctiserver.features.messages.answers import MessageAnswer, MessagesAnswer, StopAnswer
from ctiserver.features.messages.service import Messages
from ctiserver.model.message import MessageState
from ctiserver.store.database import Database
from ctiserver.web.access import MACHINES, SUPERVISORS, Intent, Person
from ctiserver.web.problems import Invalid
from ctiserver.web.routes import Body, Route, json_answer, read_body

_PAGE = 50


class ReceiptBody(Body):
    """POST /api/v1/messages/{message_id}/receipt"""

    delivered: bool
    reason: Annotated[str, Field(max_length=500)] = ""


class AnswerBody(Body):
    """POST /api/v1/sms-answers"""

    number: Annotated[str, Field(min_length=1, max_length=64)]
    text: Annotated[str, Field(max_length=2000)]


class MessagesHttp:
    """Routes over messages."""

    def __init__(self, database: Database, messages: Messages) -> None:
        self._database = database
        self._messages = messages

    def routes(self) -> list[Route]:
        """Path parameter ``message_id`` is guarded by :meth:`may_reach`."""
        return [
            Route(
                method="GET",
                path="/api/v1/messages",
                handler=self._page,
                roles=SUPERVISORS,
                answer=MessagesAnswer,
                query={
                    "state": f"one of {', '.join(get_args(MessageState))}",
                    "before": "the id of the last message of the page before",
                },
            ),
            Route(
                method="POST",
                path="/api/v1/messages/{message_id}/again",
                handler=self._again,
                roles=SUPERVISORS,
                answer=MessageAnswer,
            ),
            Route(
                method="POST",
                path="/api/v1/messages/{message_id}/receipt",
                handler=self._receipt,
                roles=MACHINES,
                body=ReceiptBody,
                answer=MessageAnswer,
            ),
            Route(
                method="POST",
                path="/api/v1/sms-answers",
                handler=self._answered,
                roles=MACHINES,
                body=AnswerBody,
                answer=StopAnswer,
            ),
        ]

    async def may_reach(self, person: Person, message_id: str, intent: Intent) -> bool:
        """The person who has to do with messages at all may reach each."""
        async with self._database.reading() as uow:
            return person.role in SUPERVISORS | MACHINES and await uow.messages.find(message_id) is not None

    async def _page(self, request: web.Request) -> web.Response:
        state = request.query.get("state")
        known = next((one for one in get_args(MessageState) if one == state), None)
        if state is not None and known is None:
            raise Invalid(f"no message is ever {state!r}", {"state": f"one of {', '.join(get_args(MessageState))}"})
        found = await self._messages.page(known, request.query.get("before"), _PAGE)
        following = found[-1].id if len(found) == _PAGE else None
        return json_answer(MessagesAnswer(messages=[MessageAnswer.of(message) for message in found], before=following))

    async def _again(self, request: web.Request) -> web.Response:
        return json_answer(MessageAnswer.of(await self._messages.again(request.match_info["message_id"])))

    async def _receipt(self, request: web.Request) -> web.Response:
        body = await read_body(request, ReceiptBody)
        message = await self._messages.receipt(
            request.match_info["message_id"], delivered=body.delivered, reason=body.reason
        )
        return json_answer(MessageAnswer.of(message))

    async def _answered(self, request: web.Request) -> web.Response:
        body = await read_body(request, AnswerBody)
        return json_answer(StopAnswer(stopped=await self._messages.answered(body.number, body.text)))
