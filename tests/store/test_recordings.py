"""Recordings kept from what the PBX says and from what lies in its folder, on a real database."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from ctiserver.bus import Bus
from ctiserver.clock import ManualClock
from ctiserver.features.recordings.service import Recordings
from ctiserver.model.calls.recording import Recording
from ctiserver.model.events import CallEnded, CallsMerged, CallSummary, PbxUp, RecordingBegan, RecordingStopped
from ctiserver.model.ids import CallId, Interface, Linkedid, PbxName, Uniqueid, call_id
from ctiserver.pbx.port import Pbx
from ctiserver.sound import Sound, write_wav
from ctiserver.store.database import Database
from ctiserver.store.faults import NotFound

T0 = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)
MAIN = PbxName("main")
UNIQUEID = "1795399200.7"
CALL = call_id(MAIN, Uniqueid(UNIQUEID))
FILE = f"20261123/{UNIQUEID}-1.wav"
SECOND = Sound(8000, np.array([4000, -4000] * 4000, np.int16))


class Tape:
    """A PBX of which nothing is wanted but MixMonitorMute."""

    def __init__(self) -> None:
        self.muted: list[tuple[str, bool]] = []
        self.records = True

    async def mute_recording(self, channel: str, *, muted: bool) -> bool:
        self.muted.append((channel, muted))
        return self.records


class Room:
    """The service with a folder, a clock and a PBX."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.folder = folder
        self.clock = ManualClock(T0)
        self.tape = Tape()
        self.going_on: set[CallId] = set()
        self.service = Recordings(
            database,
            Bus(),
            self.clock,
            pbxs={MAIN: cast(Pbx, self.tape)},
            folders={MAIN: folder},
            kept=timedelta(days=30),
            going_on=lambda _: self.going_on,
        )

    def common(self) -> dict[str, Any]:
        return {"pbx": MAIN, "at": self.clock.now(), "call_id": CALL, "linkedid": Linkedid(UNIQUEID)}

    async def begin(self, *, file: str = FILE, talk_only: bool = False) -> None:
        event = RecordingBegan(**self.common(), channel="PJSIP/trunk-1", file=file, talk_only=talk_only)
        await self.service.heard(event)

    async def end(self, *, answered_by: tuple[str, ...] = ("PJSIP/agent1",)) -> None:
        now = self.clock.now()
        summary = CallSummary(
            call_id=CALL, pbx=MAIN, linkedids=(Linkedid(UNIQUEID),), direction="inbound", ani="", caller_name="",
            dnis="", started_at=T0, answered_at=None, ended_at=now, outcome=None,
            answered_by=tuple(map(Interface, answered_by)), queue_visits=(), transfers=(), hangup_cause=16,
            hangup_by="caller", segments=(), reconstructed=False, complete=True,
        )  # fmt: skip
        await self.service.heard(CallEnded(**self.common(), summary=summary))

    def write(self, file: str = FILE) -> None:
        write_wav(self.folder / file, SECOND)
        os.utime(self.folder / file, (self.clock.now().timestamp(),) * 2)

    async def only(self) -> Recording:
        [recording] = await self.service.of_call(CALL)
        return recording

    async def state(self) -> str:
        return (await self.only()).state(self.clock.now())


@pytest.fixture
def room(database: Database, tmp_path: Path) -> Room:
    return Room(database, tmp_path)


async def test_expected_then_found(room: Room) -> None:
    await room.begin()
    assert await room.state() == "recording"
    room.clock.advance(30)
    await room.end()
    await room.service.look_again()
    assert await room.state() == "expected"
    with pytest.raises(NotFound, match="not there"):
        room.service.path(await room.only())
    room.write()
    await room.service.look_again()
    found = await room.only()
    assert (found.state(room.clock.now()), found.seconds, found.size) == ("found", 1.0, 16044)
    assert found.sha256 is not None
    assert room.service.path(found) == room.folder / FILE


async def test_a_file_that_does_not_come_is_lost_and_may_still_be_found(room: Room) -> None:
    await room.begin()
    await room.service.heard(RecordingStopped(**room.common(), file=FILE))
    room.clock.advance(61)
    await room.service.look_again()
    assert await room.state() == "lost"
    room.write()
    await room.service.look_again()
    assert await room.state() == "found"


async def test_a_file_that_is_still_written_is_not_found_yet(room: Room) -> None:
    await room.begin()
    await room.end()
    room.write()
    with (room.folder / FILE).open("ab") as file:
        file.write(b"\0" * 320)  # Asterisk writes the length into the header when it closes the file
    await room.service.look_again()
    assert await room.state() == "expected"


async def test_where_nobody_talked_nothing_is_missing(room: Room) -> None:
    await room.begin(talk_only=True)
    await room.end(answered_by=())
    assert await room.service.of_call(CALL) == []


async def test_what_nobody_told_of_is_taken_in_once(room: Room) -> None:
    room.write()
    (room.folder / "20261123/notes.wav").write_bytes(b"")
    for _ in range(2):
        await room.service.take_in()
    taken = await room.only()
    assert (taken.state(room.clock.now()), taken.file, taken.started_at) == ("found", FILE, T0 - timedelta(seconds=1))


async def test_a_call_that_ended_unseen_leaves_no_recording_under_way(room: Room) -> None:
    await room.begin()
    room.going_on.add(CALL)
    up = PbxUp(pbx=MAIN, at=T0, version="22", epoch=T0)
    await room.service.heard(up)
    assert await room.state() == "recording"
    room.going_on.clear()
    await room.service.heard(up)
    assert await room.state() == "expected"


async def test_the_absorbed_call_s_recording_goes_with_it(room: Room) -> None:
    await room.begin()
    other = call_id(MAIN, Uniqueid("1795399100.1"))
    await room.service.heard(CallsMerged(**{**room.common(), "call_id": other}, absorbed=CALL))
    assert await room.service.of_call(CALL) == []
    assert [one.file for one in await room.service.of_call(other)] == [FILE]


async def test_masks_are_noted_with_who_and_when(room: Room) -> None:
    await room.service.mask(CALL, MAIN, "PJSIP/trunk-1", on=True, why="hide", by="flow")  # before AMI tells of it
    await room.begin()
    assert (await room.only()).masked
    room.clock.advance(5)
    await room.service.mask(CALL, MAIN, "PJSIP/trunk-1", on=False, why="show", by="flow")
    await room.service.mask_going_on(CALL, on=True, by="li.min")
    room.clock.advance(5)
    await room.end()
    first, second = (await room.only()).masks
    assert first == {"from": T0.isoformat(), "to": (T0 + timedelta(seconds=5)).isoformat(), "why": "hide", "by": "flow"}
    assert isinstance(second, dict)
    assert (second["why"], second["by"], second["to"]) == ("desk", "li.min", (T0 + timedelta(seconds=10)).isoformat())
    with pytest.raises(NotFound, match="not being recorded"):
        await room.service.mask_going_on(CALL, on=True, by="li.min")


async def test_nothing_records_the_channel(room: Room) -> None:
    room.tape.records = False
    await room.service.mask(CALL, MAIN, "PJSIP/trunk-1", on=True, why="hide", by="flow")
    await room.begin()
    assert not (await room.only()).masked


async def test_the_audio_goes_when_its_time_is_over_and_the_entry_stays(room: Room) -> None:
    await room.begin()
    await room.end()
    room.write()
    await room.service.look_again()
    room.clock.advance(timedelta(days=30).total_seconds())
    await room.service.remove_old()
    assert (room.folder / FILE).exists()
    room.clock.advance(1)
    await room.service.remove_old()
    assert not (room.folder / FILE).exists()
    removed = await room.only()
    assert removed.state(room.clock.now()) == "removed"
    with pytest.raises(NotFound, match="retention period is over"):
        room.service.path(removed)
    with pytest.raises(NotFound, match="not there"):
        room.service.path(replace(removed, removed_at=None, file="../../etc/passwd"))
