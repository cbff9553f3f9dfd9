"""Recordings over HTTP: which there are, their audio, and silence on an agent's word."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Literal

from aiohttp import web

from ctiserver.clock import Clock
from ctiserver.features.recordings.answers import RecordingAnswer, RecordingsAnswer
from ctiserver.features.recordings.service import Recordings
from ctiserver.model.calls.recording import Recording
from ctiserver.model.ids import CallId, RecordingId
from ctiserver.store.faults import NotFound
from ctiserver.web.access import DESK, Intent, Person, person_of
from ctiserver.web.routes import Body, Route, json_answer, read_body

MayReachCall = Callable[[Person, str, Intent], Awaitable[bool]]


class RecordingBody(Body):
    """POST /api/v1/calls/{call_id}/recording"""

    do: Literal["mask", "resume"]


class RecordingsHttp:
    """Routes over recordings."""

    def __init__(self, recordings: Recordings, clock: Clock, *, may_reach_call: MayReachCall) -> None:
        """Who may reach a call may hear what was recorded of it."""
        self._recordings = recordings
        self._clock = clock
        self._may_reach_call = may_reach_call

    def routes(self) -> list[Route]:
        """The routes; path parameter ``recording_id`` is guarded by :meth:`may_reach`."""
        return [
            Route(
                method="GET",
                path="/api/v1/calls/{call_id}/recordings",
                handler=self._list,
                roles=DESK,
                answer=RecordingsAnswer,
            ),
            Route(
                method="POST",
                path="/api/v1/calls/{call_id}/recording",
                handler=self._mask,
                roles=DESK,
                body=RecordingBody,
                answer=RecordingsAnswer,
            ),
            Route(method="GET", path="/api/v1/recordings/{recording_id}/audio", handler=self._audio, roles=DESK),
        ]

    async def may_reach(self, person: Person, recording: str, intent: Intent) -> bool:
        """Anyone who may reach the call."""
        found = await self._recordings.find(RecordingId(recording))
        return found is not None and await self._may_reach_call(person, found.call_id, intent)

    async def _list(self, request: web.Request) -> web.Response:
        return self._answer(await self._recordings.of_call(CallId(request.match_info["call_id"])))

    async def _mask(self, request: web.Request) -> web.Response:
        body = await read_body(request, RecordingBody)
        call, on = CallId(request.match_info["call_id"]), body.do == "mask"
        return self._answer(await self._recordings.mask_going_on(call, on=on, by=person_of(request).login))

    async def _audio(self, request: web.Request) -> web.StreamResponse:
        """The sound as a WAV file; ranges are answered, so that a player may jump."""
        recording = await self._recordings.find(RecordingId(request.match_info["recording_id"]))
        if recording is None:
            raise NotFound("there is no such recording")
        path = self._recordings.path(recording)
        person = person_of(request)
        # Before the first byte, whatever part is asked for: where it can't be written down, nothing is heard.
        await self._recordings.heard_by(recording, person.login, person.peer)
        headers = {"Cache-Control": "private, no-store", "Content-Type": "audio/wav"}
        return web.FileResponse(path, headers=headers)

    def _answer(self, recordings: list[Recording]) -> web.Response:
        now = self._clock.now()
        return json_answer(RecordingsAnswer(recordings=[RecordingAnswer.of_recording(it, now) for it in recordings]))
