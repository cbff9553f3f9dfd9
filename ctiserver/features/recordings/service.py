"""Recordings as they are made, found, masked, kept and removed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import structlog

from ctiserver.bus import Bus
from ctiserver.clock import Clock
from ctiserver.errors import UserFault
from ctiserver.features.recordings.files import FoundFile, call_of, days, look, place_of, remove, scan
from ctiserver.inside import OutsideFolder
from ctiserver.model.audit import AuditAct
from ctiserver.model.calls.recording import LATE, Recording, is_recording_file
from ctiserver.model.events import CallEnded, CallsMerged, PbxEvent, PbxUp, RecordingBegan, RecordingStopped
from ctiserver.model.ids import CallId, PbxName, RecordingId, new_ulid
from ctiserver.model.json_value import Json
from ctiserver.pbx.port import Pbx
from ctiserver.store.database import Database
from ctiserver.store.faults import NotFound
from ctiserver.store.patience import until_stored
from ctiserver.store.setting_aside import Kind, SettingAside

log = structlog.get_logger(__name__)

_TEND_EVERY_S = 30.0
#: The PBX closes a file a moment after the call's end.
_CLOSED_AFTER_S = 0.3
#: More than the days whose folders are looked through.
_LOOK_BACK = timedelta(days=3)
#: Kinds of work that is set aside: a recording to be found, to be taken in, to be removed.
_FOUND, _TAKEN_IN, _REMOVED = "recording_found", "recording_taken_in", "recording_removed"
#: Why somebody at the desk masks; a flow says its own reason.
DESK = "desk"


class Recordings:
    """Use cases around recordings."""

    def __init__(
        self,
        database: Database,
        bus: Bus,
        clock: Clock,
        *,
        pbxs: Mapping[PbxName, Pbx],
        folders: Mapping[PbxName, Path | None],
        kept: timedelta,
        going_on: Callable[[PbxName], Collection[CallId]],
        aside: SettingAside | None = None,
    ) -> None:
        """``folders``: each PBX's recordings as this server sees them; ``kept``: how long they are."""
        self._database = database
        self._bus = bus
        self._clock = clock
        self._pbxs = pbxs
        self._folders = folders
        self._kept = kept
        self._going_on = going_on
        self._masks: dict[CallId, list[dict[str, Json]]] = {}  #: of calls whose recording has not been told yet
        self._heard_hour: datetime | None = None
        self._heard: set[tuple[str, RecordingId]] = set()  #: in this hour: who played what, as the audit log has it
        self._ended = asyncio.Event()
        self._aside = aside or SettingAside(database, clock)
        for kind in (_FOUND, _TAKEN_IN, _REMOVED):
            self._aside.add_kind(kind, Kind(wake=self._ended.set))

    async def run(self) -> None:
        """Follow the bus until it closes."""
        kinds = (RecordingBegan, RecordingStopped, CallsMerged, CallEnded, PbxUp)
        await self._bus.follow("recordings", kinds, self._take_in, self.resync)

    async def resync(self) -> None:
        """Stop the recordings of calls that are over, and take in the files of those that were not heard of."""
        going_on = {name: frozenset(self._going_on(name)) for name, pbx in self._pbxs.items() if pbx.up}
        for name, calls in going_on.items():
            await until_stored(partial(self._settle, name, calls, self._clock.now()), "recording")
        under_way = frozenset[CallId]().union(*going_on.values())
        self._masks = {call: notes for call, notes in self._masks.items() if call in under_way}
        await until_stored(self.take_in, "recording")

    async def _take_in(self, event: PbxEvent) -> None:
        await until_stored(partial(self.heard, event), "recording")

    async def tend(self) -> None:
        """Find the files of calls that ended, take in those nobody told of, remove the old; until cancelled."""
        due = self._clock.monotonic() + _TEND_EVERY_S
        while True:
            await self.look_again()
            if self._clock.monotonic() >= due:
                due = self._clock.monotonic() + _TEND_EVERY_S
                await self.take_in()
                await self.remove_old()
            try:
                async with asyncio.timeout(_TEND_EVERY_S):
                    await self._ended.wait()
                self._ended.clear()
                await asyncio.sleep(_CLOSED_AFTER_S)
            except TimeoutError:
                pass

    async def heard(self, event: PbxEvent) -> None:
        """Take in one event of a PBX."""
        match event:
            case RecordingBegan():
                await self._began(event)
            case RecordingStopped():
                async with self._database.unit_of_work() as uow:
                    known = await uow.recordings.of_file(event.pbx, event.file)
                    if known is not None:
                        await uow.recordings.save(_stopped(known, event.at))
                self._ended.set()
            case CallsMerged():
                async with self._database.unit_of_work() as uow:
                    await uow.recordings.move(event.absorbed, event.call_id)
            case CallEnded():
                await self._call_ended(event)
            case PbxUp():
                await self._settle(event.pbx, frozenset(self._going_on(event.pbx)), event.at)
            case _:
                pass

    async def of_call(self, call: CallId) -> list[Recording]:
        """A call's recordings, the oldest first."""
        async with self._database.reading() as uow:
            return await uow.recordings.of_call(call)

    async def find(self, key: RecordingId) -> Recording | None:
        """One recording, None if there is none of this id."""
        async with self._database.reading() as uow:
            return await uow.recordings.find(key)

    async def heard_by(self, recording: Recording, login: str, peer: str) -> None:
        """Keep who plays a recording: once an hour for each person and recording, as a player asks for many parts."""
        now = self._clock.now()
        hour = now.replace(minute=0, second=0, microsecond=0)
        if hour != self._heard_hour:
            self._heard_hour, self._heard = hour, set()
        if (login, recording.id) in self._heard:
            return
        async with self._database.unit_of_work() as uow:
            await uow.audit.note(
                now,
                f"user:{login}",
                "recording_played",
                f"call:{recording.call_id}",
                peer=peer,
                detail={"recording": recording.id},
            )
        self._heard.add((login, recording.id))

    def path(self, recording: Recording) -> Path:
        """Where the audio lies. Raises NotFound where it can't be heard, and says why."""
        folder = self._folders.get(recording.pbx)
        if recording.removed_at is not None:
            raise NotFound("this recording's retention period is over, and its audio was deleted")
        if folder is None:
            raise NotFound(f"recordings of the PBX {recording.pbx} can't be seen from here; set its recordings_dir")
        try:
            path = place_of(folder, recording.file)
        except OutsideFolder:
            raise NotFound("the audio is not there") from None
        if not path.is_file():
            raise NotFound("the audio is not there")
        return path

    async def mask(self, call: CallId, pbx: PbxName, channel: str, *, on: bool, why: str, by: str) -> None:
        """Write silence into what records a channel (``on``), or sound again; where nothing records it, do nothing.

        Raises PeerLost, DeadlineExceeded, PbxRefused.
        """
        if not await self._pbxs[pbx].mute_recording(channel, muted=on):
            return
        note: dict[str, Json] = {"at": self._clock.now().isoformat(), "on": on, "why": why, "by": by}
        async with self._database.unit_of_work() as uow:
            going_on = [recording for recording in await uow.recordings.of_call(call) if recording.stopped_at is None]
            for recording in going_on:
                await uow.recordings.save(_masked(recording, note))
            if why == DESK:
                act: AuditAct = "recording_masked" if on else "recording_unmasked"
                await uow.audit.note(self._clock.now(), f"user:{by}", act, f"call:{call}")
        if not going_on:  # it began a moment ago
            self._masks.setdefault(call, []).append(note)

    async def mask_going_on(self, call: CallId, *, on: bool, by: str) -> list[Recording]:
        """Mask what is recorded of a call now, for somebody at the desk; gives the call's recordings.

        Raises NotFound where nothing is, and what :meth:`mask` does.
        """
        going_on = [recording for recording in await self.of_call(call) if recording.stopped_at is None]
        if not going_on:
            raise NotFound("this call is not being recorded")
        for channel in {(recording.pbx, recording.channel) for recording in going_on}:
            await self.mask(call, *channel, on=on, why=DESK, by=by)
        return await self.of_call(call)

    async def look_again(self) -> None:
        """See whether the files of calls that ended are there by now."""
        now = self._clock.now()
        async with self._database.reading() as uow:
            unfound = await uow.recordings.unfound(now - self._kept)
        for recording in unfound:
            folder = self._folders.get(recording.pbx)
            if folder is None or recording.stopped_at is None:
                continue
            # what was lost an hour ago is looked for only now and then: somebody may have moved the folder back
            if now - recording.stopped_at > 60 * LATE and now.minute % 10:
                continue
            work = partial(self._look_for, recording, folder, now)
            await self._aside.contain(_FOUND, recording.id, work, about=recording.file)

    async def _look_for(self, recording: Recording, folder: Path, now: datetime) -> None:
        file = await asyncio.to_thread(look, folder, recording.file)
        if file is not None:
            async with self._database.unit_of_work() as uow:
                await uow.recordings.save(_found(recording, file, now))

    async def take_in(self) -> None:
        """Take in files that no event told of: calls went on while this server, or its link, was down."""
        now = self._clock.now()
        for pbx, folder in self._folders.items():
            if folder is None:
                continue
            async with self._database.reading() as uow:
                known = await uow.recordings.files(pbx, now - _LOOK_BACK)
            for file in await asyncio.to_thread(scan, folder, days(now), known):
                work = partial(self._take_in_file, pbx, file, now)
                await self._aside.contain(_TAKEN_IN, f"{pbx}/{file.name}", work, about=file.name)

    async def _take_in_file(self, pbx: PbxName, file: FoundFile, now: datetime) -> None:
        call = call_of(pbx, file.name)
        if call is None:
            return
        async with self._database.unit_of_work() as uow:
            recording = Recording(
                id=RecordingId(new_ulid(now)),
                call_id=call,
                pbx=pbx,
                file=file.name,
                channel="",
                talk_only=False,
                started_at=file.began_at,
                stopped_at=file.ended_at,
            )
            await uow.recordings.add_once(_found(recording, file, now))
        log.warning("recording_taken_in", pbx=pbx, file=file.name)

    async def remove_old(self) -> None:
        """Delete the audio whose time is over; the entry says that there was some."""
        now = self._clock.now()
        async with self._database.reading() as uow:
            old = await uow.recordings.old(now - self._kept)
        for recording in old:
            folder = self._folders.get(recording.pbx)
            if folder is None:
                continue
            work = partial(self._remove, recording, folder, now)
            await self._aside.contain(_REMOVED, recording.id, work, about=recording.file)

    async def _remove(self, recording: Recording, folder: Path, now: datetime) -> None:
        try:
            await asyncio.to_thread(remove, folder, recording.file)
        except OutsideFolder as error:  # of a version that took any name: there is nothing of ours to delete
            log.error("recording_has_no_file", recording=recording.id, reason=str(error))
        except OSError as error:
            log.error("recording_not_removed", file=recording.file, reason=str(error))
            return
        async with self._database.unit_of_work() as uow:
            await uow.recordings.save(replace(recording, removed_at=now))

    async def _began(self, event: RecordingBegan) -> None:
        if not is_recording_file(event.file):
            log.error("recording_not_taken", pbx=event.pbx, file=event.file[:80])
            return
        recording = Recording(
            id=RecordingId(new_ulid(event.at)),
            call_id=event.call_id,
            pbx=event.pbx,
            file=event.file,
            channel=event.channel,
            talk_only=event.talk_only,
            started_at=event.at,
        )
        for note in self._masks.pop(event.call_id, ()):
            recording = _masked(recording, note)
        async with self._database.unit_of_work() as uow:
            await uow.recordings.add_once(recording)

    async def _call_ended(self, event: CallEnded) -> None:
        self._masks.pop(event.call_id, None)
        # Most calls have none where little is recorded; to write waits for its turn, and reading doesn't.
        if event.reason == "merged" or not await self.of_call(event.call_id):
            return
        async with self._database.unit_of_work() as uow:
            for recording in await uow.recordings.of_call(event.call_id):
                if recording.talk_only and not event.summary.answered_by and recording.found_at is None:
                    await uow.recordings.remove(recording.id)  # nobody talked: there is no file, and none is missing
                elif recording.stopped_at is None:
                    await uow.recordings.save(_stopped(recording, event.at))
        self._ended.set()

    async def _settle(self, pbx: PbxName, going_on: Collection[CallId], at: datetime) -> None:
        """Recordings of calls that ended while nobody looked."""
        async with self._database.unit_of_work() as uow:
            for recording in await uow.recordings.open():
                if recording.pbx == pbx and recording.call_id not in going_on:
                    await uow.recordings.save(_stopped(recording, at))
        self._ended.set()


def _stopped(recording: Recording, at: datetime) -> Recording:
    ended: list[Json] = [
        {**mask, "to": at.isoformat()} if isinstance(mask, dict) and mask.get("to") is None else mask
        for mask in recording.masks
    ]
    return replace(recording, stopped_at=at, masks=ended)


def _masked(recording: Recording, note: Mapping[str, Json]) -> Recording:
    """With one more stretch of silence, or with the last one ended."""
    masks = list(recording.masks)
    if note["on"]:
        if not recording.masked:
            masks.append({"from": note["at"], "to": None, "why": note["why"], "by": note["by"]})
    elif recording.masked:
        last = masks[-1]
        masks[-1] = {**(last if isinstance(last, dict) else {}), "to": note["at"]}
    return replace(recording, masks=masks)


def _found(recording: Recording, file: FoundFile, now: datetime) -> Recording:
    return replace(recording, found_at=now, seconds=file.seconds, size=file.size, sha256=file.sha256)


def folders(settings: Mapping[str, Path | None]) -> dict[PbxName, Path | None]:
    """Each PBX's folder of recordings. Raises UserFault for one that is not there."""
    for name, path in settings.items():
        if path is not None and not path.is_dir():
            raise UserFault(
                f"is not a directory: {path}",
                where=f"pbxs.{name}.recordings_dir",
                fix="Name the folder that CTI_REC_DIR names on that PBX, as this server sees it",
            )
    return {PbxName(name): path for name, path in settings.items()}
