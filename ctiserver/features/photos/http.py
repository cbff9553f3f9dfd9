"""Photos over HTTP: sent for a work order, seen with its record."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from ctiserver.features.photos.answers import PhotoAnswer, PhotosAnswer
from ctiserver.features.photos.service import EnoughPhotos, NoPhoto, NoRoom, Photos
from ctiserver.model.ids import PhotoId, RecordId, WorkOrderId
from ctiserver.model.work.photo import SUFFIXES
from ctiserver.web.access import EVERYBODY, Intent, Person, person_of
from ctiserver.web.problems import Away, Conflict, Invalid, NotFound
from ctiserver.web.routes import Route, json_answer, read_bytes

#: Of one photo, in bytes. The console sends them scaled down, at a tenth of it.
MAX_BYTES = 4 * 1024 * 1024
_KEY_MAX = 120

MayReachRecord = Callable[[Person, str, Intent], Awaitable[bool]]


class PhotosHttp:
    """Routes over photos."""

    def __init__(self, photos: Photos, *, may_reach_record: MayReachRecord) -> None:
        """Who may read a record may see its photos."""
        self._photos = photos
        self._may_reach_record = may_reach_record

    def routes(self) -> list[Route]:
        """Path parameter ``photo_id`` is guarded by :meth:`may_reach`; orders and records by their own features."""
        return [
            Route(
                method="POST",
                path="/api/v1/work-orders/{order_id}/photos",
                handler=self._add,
                roles=EVERYBODY,
                takes=tuple(SUFFIXES),
                body_max_bytes=MAX_BYTES,
                answer=PhotoAnswer,
                status=(200, 201),
                query={
                    "key": "chosen by who sends it: the same sent twice is kept once, and the second time answered 200"
                },
            ),
            Route(
                method="GET",
                path="/api/v1/records/{record_id}/photos",
                handler=self._of_record,
                roles=EVERYBODY,
                answer=PhotosAnswer,
            ),
            Route(
                method="GET",
                path="/api/v1/photos/{photo_id}",
                handler=self._show,
                roles=EVERYBODY,
                gives=tuple(SUFFIXES),
            ),
        ]

    async def may_reach(self, person: Person, photo_id: str, intent: Intent) -> bool:
        """Anyone who may reach the record."""
        found = await self._photos.find(PhotoId(photo_id))
        return found is not None and await self._may_reach_record(person, found.record_id, intent)

    async def _add(self, request: web.Request) -> web.Response:
        key = request.query.get("key", "")
        if not 8 <= len(key) <= _KEY_MAX:
            raise Invalid(f"send a key of 8 to {_KEY_MAX} characters, a new one for each photo", {"key": "missing"})
        content = await read_bytes(request)
        try:
            photo, new = await self._photos.add(
                WorkOrderId(request.match_info["order_id"]),
                key,
                content,
                sent_as=request.content_type,
                by=person_of(request).login,
            )
        except NoPhoto as error:
            raise Invalid(str(error), {"body": "no_photo"}) from None
        except EnoughPhotos as error:
            raise Conflict(str(error)) from None
        except NoRoom as error:
            raise Away(str(error)) from None
        return json_answer(PhotoAnswer.of(photo), status=201 if new else 200)

    async def _of_record(self, request: web.Request) -> web.Response:
        photos = await self._photos.of_record(RecordId(request.match_info["record_id"]))
        return json_answer(PhotosAnswer(photos=[PhotoAnswer.of(photo) for photo in photos]))

    async def _show(self, request: web.Request) -> web.StreamResponse:
        """The picture. Its bytes never change, so a browser may keep it for as long as its person is logged in."""
        photo = await self._photos.find(PhotoId(request.match_info["photo_id"]))
        path = None if photo is None else self._photos.path(photo)
        if photo is None or path is None or not path.is_file():
            raise NotFound("the photo does not exist, or its file was removed")
        headers = {
            "Cache-Control": "private, max-age=86400",
            "Content-Type": photo.media_type,
            "Content-Disposition": "inline",
        }
        return web.FileResponse(path, headers=headers)
