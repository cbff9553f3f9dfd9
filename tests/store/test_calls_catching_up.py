"""What was missed, told by the PBX's own journal and queue_log, on a real database: each thing once, whatever dies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from ctiserver.bus import Bus
from ctiserver.clock import ManualClock
from ctiserver.errors import PeerLost, UserFault
from ctiserver.features.calls.catching_up import CatchingUp
from ctiserver.features.calls.service import CallLogService
from ctiserver.features.contacts.service import Contacts
from ctiserver.features.records.service import Records
from ctiserver.model.calls.call_entry import CallEntry
from ctiserver.model.calls.journal import JournalEntry
from ctiserver.model.events import CallSummary
from ctiserver.model.ids import AgentId, CallId, Interface, PbxName, Uniqueid, call_id, new_ulid
from ctiserver.model.person import Agent
from ctiserver.model.work.record import Record, TimelineEntry
from ctiserver.pbx.port import Pbx
from ctiserver.resources import shipped
from ctiserver.site.load import load_site
from ctiserver.store.database import Database
from ctiserver.store.faults import StoreUnavailable, Unfit
from ctiserver.store.unit_of_work import UnitOfWork

MAIN = PbxName("main")
T0 = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)
SECONDS = int(T0.timestamp())
UNIQUEID = f"{SECONDS}.7"
CALL = call_id(MAIN, Uniqueid(UNIQUEID))
LI = Agent(id=AgentId("li.min"), user_id=None, name="李敏", extension="101", interface=Interface("PJSIP/agent1"))
FALLBACK = f"{SECONDS + 1}|FAILURE|13800138000|4008001234|||zh-CN|{UNIQUEID}"
FILE = "/voicemail/7-1.wav"
MESSAGE = f"{SECONDS + 40}|voicemail|13800138000|4008001234||HANGUP|{FILE}|{UNIQUEID}"


@dataclass
class Astdb:
    """A PBX of which nothing but its database is asked."""

    tree: dict[str, str] = field(default_factory=dict)
    name: PbxName = MAIN
    up: bool = True
    since: datetime = T0
    dies: bool = False  #: the link breaks before a key is removed

    async def read_tree(self, family: str) -> Mapping[str, str]:
        assert family == "cti_journal"
        return dict(self.tree)

    async def delete_key(self, family: str, key: str) -> None:
        if self.dies:
            raise PeerLost("the link broke")
        self.tree.pop(key, None)


@dataclass
class Missed:
    """All that takes part."""

    database: Database
    pbx: Astdb
    log: Path
    going_on: set[CallId] = field(default_factory=set)
    log_is_read: bool = True
    told: list[Record] = field(default_factory=list)
    calls_told: list[tuple[str, str | None]] = field(default_factory=list)
    got_through: list[tuple[CallId, CallId]] = field(default_factory=list)

    away: int = 0  #: how often the store is away when a call is to be told

    def __post_init__(self) -> None:
        clock = ManualClock(T0 + timedelta(minutes=10))
        self.owners = records = Records(
            self.database,
            Bus(),
            clock,
            load_site(shipped("config")),
            time_zone="Asia/Shanghai",
            pbxs={},
            changed=self.told.append,
        )
        contacts = Contacts(self.database, clock, region="CN")

        async def open_record(uow: UnitOfWork, call: CallEntry, *, owner: AgentId | None) -> Record:
            people = await contacts.find_or_create_within(uow, call.ani)
            opened = await records.open_within(
                uow,
                "enquiry",
                actor=f"call:{call.id}",
                call_id=call.id,
                contact_id=people[0].id if people else None,
                caller_number=call.ani,
                owner=owner,
            )
            return opened.record

        self.catching_up = CatchingUp(
            self.database,
            clock,
            pbxs={MAIN: cast(Pbx, self.pbx)},
            queue_logs={MAIN: self.log} if self.log_is_read else {},
            going_on=lambda _: self.going_on,
            open_record=open_record,
            got_through=self.reached,
            changed=self.told.append,
            told=self.hear,
        )
        self.calls = CallLogService(
            self.database, Bus(), clock, going_on=lambda _: self.going_on, pbxs={}, settled=self.catching_up.settled
        )
        self.catching_up._settled_at[MAIN] = T0

    async def reached(self, uow: UnitOfWork, wished_in: CallId, by: CallId) -> None:
        self.got_through.append((wished_in, by))

    async def hear(self, summary: CallSummary) -> None:
        if self.away:
            self.away -= 1
            raise StoreUnavailable("the disk is full")
        self.calls_told.append((summary.ani, summary.outcome))
        await self.owners.told(summary)

    async def catch_up(self, missed_since: datetime | None = T0) -> None:
        await self.catching_up.catch_up(cast(Pbx, self.pbx), missed_since)

    async def entry(self) -> CallEntry:
        """The one call."""
        async with self.database.reading() as uow:
            (entry,) = await uow.calls.page()
            return entry

    async def records(self) -> list[tuple[Record, list[str]]]:
        """Every record with what its timeline says."""
        async with self.database.reading() as uow:
            found = await uow.records.recent()
            return [(record, [line.kind for line in await uow.records.timeline(record.id)]) for record in found]

    async def rows(self) -> dict[str, Any]:
        """Everything that catching up may write, to see that a second time writes nothing."""
        async with self.database.reading() as uow:
            return {
                "calls": await uow.calls.page(),
                "records": await self.records(),
                "outbox": await uow.outbox.waiting_count(),
            }

    def wrote(self, *lines: str) -> None:
        """queue_log: ``seconds after T0|uniqueid|queue|agent|event|data``."""
        texts = []
        for line in lines:
            at, rest = line.split("|", 1)
            texts.append(f"{SECONDS + int(at)}|{rest}\n")
        self.log.write_text("".join(texts), encoding="utf-8")


@pytest.fixture
async def missed(database: Database, tmp_path: Path) -> Missed:
    async with database.unit_of_work() as uow:
        await uow.agents.add(LI)
    log = tmp_path / "queue_log"
    log.write_text("", encoding="utf-8")
    return Missed(database, Astdb(), log)


ANSWERED = (
    f"2|{UNIQUEID}|repair|NONE|ENTERQUEUE||13800138000|1",
    f"9|{UNIQUEID}|repair|李敏|CONNECT|7|{SECONDS}.8|3",
    f"49|{UNIQUEID}|repair|李敏|COMPLETECALLER|7|40|1",
)
ABANDONED = (
    f"2|{UNIQUEID}|repair|NONE|ENTERQUEUE||13800138000|1",
    f"22|{UNIQUEID}|repair|NONE|ABANDON|1|1|20",
)


async def test_a_caller_served_without_us_is_an_entry_and_a_record_of_who_talked(missed: Missed) -> None:
    missed.pbx.tree[UNIQUEID] = FALLBACK
    missed.wrote(*ANSWERED)
    await missed.catch_up()
    entry = await missed.entry()
    assert (entry.id, entry.pbx, entry.direction, entry.ani, entry.dnis) == (
        CALL, "main", "inbound", "13800138000", "4008001234",
    )  # fmt: skip
    assert (entry.started_at, entry.answered_at, entry.ended_at) == (
        T0, T0 + timedelta(seconds=9), T0 + timedelta(seconds=49),
    )  # fmt: skip
    assert (entry.outcome, entry.hangup_by, entry.queue, entry.agent_id) == ("answered", "caller", "repair", LI.id)
    assert (entry.wait_ms, entry.talk_ms, entry.complete) == (7000, 40_000, True)
    assert entry.detail["reconstructed"] is True
    assert entry.detail["answered_by"] == ["PJSIP/agent1"]
    assert entry.no_record_reason is None
    [(record, timeline)] = await missed.records()
    assert (record.owner, record.caller_number, record.type) == (LI.id, "13800138000", "enquiry")
    assert timeline == ["fallback", "opened"]  # by when it happened
    assert entry.contact_id == record.contact_id is not None
    assert missed.pbx.tree == {}
    assert [told.id for told in missed.told] == [record.id]


async def test_a_caller_who_gave_up_is_an_entry_with_its_reason(missed: Missed) -> None:
    missed.pbx.tree[UNIQUEID] = FALLBACK
    missed.wrote(*ABANDONED)
    await missed.catch_up()
    entry = await missed.entry()
    assert (entry.outcome, entry.hangup_by, entry.no_record_reason) == ("abandoned", "caller", "left_unserved")
    assert entry.ended_at == T0 + timedelta(seconds=22)
    assert set(missed.calls_told) == {("13800138000", "abandoned")}
    assert await missed.records() == []
    assert missed.pbx.tree == {}


async def test_nobody_knows_what_became_of_a_caller_somebody_is_to_find_out(missed: Missed) -> None:
    missed.pbx.tree[UNIQUEID] = FALLBACK
    await missed.catch_up()
    entry = await missed.entry()
    assert (entry.outcome, entry.dnis, entry.no_record_reason) == (None, "4008001234", None)
    [(record, _)] = await missed.records()
    assert record.owner is None


async def test_killed_before_the_pbx_forgot_an_entry_nothing_changes_the_second_time(missed: Missed) -> None:
    missed.pbx.tree |= {UNIQUEID: FALLBACK, f"{UNIQUEID}-vm1": MESSAGE}
    missed.wrote(*ANSWERED)
    missed.pbx.dies = True
    for _ in range(3):
        with pytest.raises(PeerLost):
            await missed.catch_up()
        missed.pbx.tree = dict(reversed(missed.pbx.tree.items()))
    before = await missed.rows()
    assert len(missed.pbx.tree) == 2
    missed.pbx.dies = False
    await missed.catch_up()
    assert await missed.rows() == before
    assert missed.pbx.tree == {}
    assert (len(before["calls"]), len(before["records"]), before["outbox"]) == (1, 1, 1)


async def test_a_message_is_a_record_whose_caller_is_called_back(missed: Missed) -> None:
    missed.pbx.tree[f"{UNIQUEID}-vm1"] = MESSAGE
    await missed.catch_up()
    entry = await missed.entry()
    assert (entry.outcome, entry.no_record_reason) == ("voicemail", None)
    [(record, timeline)] = await missed.records()
    assert "message_left" in timeline
    async with missed.database.reading() as uow:
        [message] = [line for line in await uow.records.timeline(record.id) if line.kind == "message_left"]
        assert (message.data["file"], message.at) == (FILE, T0 + timedelta(seconds=40))
        assert await uow.outbox.waiting_count() == 1


async def test_each_call_that_left_a_message_on_a_record_is_called_back_once(missed: Missed) -> None:
    later = f"{SECONDS + 300}.9"
    messages = {
        f"{UNIQUEID}-vm1": MESSAGE,
        f"{later}-vm1": f"{SECONDS + 340}|voicemail|13800138000|4008001234||HANGUP|/voicemail/9-1.wav|{later}",
    }
    for key, message in messages.items():
        missed.pbx.dies = True
        missed.pbx.tree[key] = message
        with pytest.raises(PeerLost):
            await missed.catch_up()
        missed.pbx.dies = False  # the entry is still there, and is read again
        await missed.catch_up()
    [(record, timeline)] = await missed.records()
    assert timeline.count("message_left") == 2
    async with missed.database.reading() as uow:
        starts = await uow.outbox.waiting(["process_start"])
    assert [row.payload for row in starts] == [{"record_id": record.id, "process": "callback"}] * 2


async def test_a_caller_who_was_called_back_without_us_is_known_to_be_reached_once(missed: Missed) -> None:
    waited = f"callback-{CALL}-{SECONDS}.1"
    missed.pbx.tree[f"{waited}-cb"] = f"{SECONDS + 90}|callback||||ANSWER|{CALL}|{waited}"
    missed.pbx.dies = True
    with pytest.raises(PeerLost):
        await missed.catch_up()
    missed.pbx.dies = False
    await missed.catch_up()
    assert missed.got_through == [(CALL, call_id(MAIN, Uniqueid(waited)))]
    assert missed.pbx.tree == {}
    assert (await missed.rows())["records"] == [], "it is the record of the call in which it was wished"


async def test_a_call_lasted_until_the_last_that_the_journal_tells_of_it(missed: Missed) -> None:
    missed.pbx.tree |= {UNIQUEID: FALLBACK, f"{UNIQUEID}-vm1": MESSAGE}
    await missed.catch_up()
    assert (await missed.entry()).ended_at == T0 + timedelta(seconds=40)


async def test_a_message_that_the_flow_has_kept_is_not_kept_again(missed: Missed) -> None:
    async with missed.database.unit_of_work() as uow:
        await uow.calls.save(CallEntry(id=CALL, pbx=MAIN, direction="inbound", ani="13800138000", started_at=T0))
        record = Record(id=_record_id(), number="R1", type="repair", opened_at=T0, updated_at=T0)
        await uow.records.add(record)
        await uow.records.link_call(record.id, CALL)
        await uow.records.note(
            TimelineEntry(
                id=new_ulid(T0), record_id=record.id, at=T0, actor="x", kind="message_left", data={"file": FILE}
            )
        )
    missed.pbx.tree[f"{UNIQUEID}-vm1"] = MESSAGE
    await missed.catch_up(None)
    assert [timeline for _, timeline in await missed.records()] == [["message_left"]]
    assert missed.pbx.tree == {}
    assert (await missed.rows())["outbox"] == 0


async def test_a_call_that_goes_on_waits_for_its_end(missed: Missed) -> None:
    missed.pbx.tree[UNIQUEID] = FALLBACK
    missed.wrote(*ANSWERED[:2])
    missed.going_on.add(CALL)
    await missed.catch_up()
    assert UNIQUEID in missed.pbx.tree
    assert (await missed.rows())["calls"] == []
    missed.going_on.clear()
    missed.wrote(*ANSWERED)
    await missed.catch_up()
    assert (await missed.entry()).talk_ms == 40_000
    assert missed.pbx.tree == {}


async def test_what_the_dialplan_did_not_write_stays_where_it_is(missed: Missed) -> None:
    strange = {"x": "hello", UNIQUEID: "1|2", f"{UNIQUEID})": FALLBACK, "a b": FALLBACK}
    missed.pbx.tree |= strange
    await missed.catch_up()
    assert missed.pbx.tree == strange
    assert (await missed.rows())["calls"] == []


async def test_a_call_that_ended_unseen_is_told_by_queue_log(missed: Missed) -> None:
    """Seen to begin and to enter the queue; then we were killed."""
    async with missed.database.unit_of_work() as uow:
        await uow.calls.save(
            CallEntry(
                id=CALL, pbx=MAIN, direction="inbound", ani="13800138000", dnis="4008001234", started_at=T0,
                queue="repair", contact_id=None,
            )
        )  # fmt: skip
    await missed.calls.settle(MAIN, epoch=T0 - timedelta(days=1))
    assert (await missed.entry()).no_record_reason == "end_not_seen"
    missed.wrote(*ANSWERED)
    await missed.catch_up()
    entry = await missed.entry()
    assert (entry.outcome, entry.agent_id, entry.ended_at, entry.no_record_reason) == (
        "answered", LI.id, T0 + timedelta(seconds=49), None,
    )  # fmt: skip
    before = await missed.rows()
    await missed.catch_up()
    assert await missed.rows() == before


async def test_a_call_is_told_when_the_store_was_away_just_after_its_entry_was_written(missed: Missed) -> None:
    """Else nobody would owe the caller anything: by its entry alone nothing is still to be told."""
    missed.wrote(*ABANDONED)
    missed.away = 2
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            await missed.catch_up()
    await missed.catch_up()
    await missed.catch_up()
    assert missed.calls_told == [("13800138000", "abandoned")]


async def test_an_entry_that_nobody_can_take_over_holds_up_no_other(
    missed: Missed, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = UNIQUEID.replace(".7", ".8")
    missed.pbx.tree |= {UNIQUEID: FALLBACK, other: FALLBACK.replace(UNIQUEID, other)}
    taken_over = missed.catching_up._taking_over.take_over

    async def take_over(uow: UnitOfWork, pbx: PbxName, call: CallId, entry: JournalEntry) -> list[Record]:
        if entry.key == UNIQUEID:
            raise Unfit("too long")
        return await taken_over(uow, pbx, call, entry)

    monkeypatch.setattr(missed.catching_up._taking_over, "take_over", take_over)
    await missed.catch_up()
    assert list(missed.pbx.tree) == [UNIQUEID]
    assert len(await missed.records()) == 1


async def test_a_record_of_the_menu_is_whoevers_who_answered_while_we_were_away(missed: Missed) -> None:
    """The flow opened it, and handed the caller to the queue; then we were killed."""
    async with missed.database.unit_of_work() as uow:
        await uow.calls.save(
            CallEntry(
                id=CALL, pbx=MAIN, direction="inbound", ani="13800138000", started_at=T0, ended_at=T0, complete=True,
                detail={"linkedids": [UNIQUEID], "reconstructed": True, "ended": "unseen"},
            )
        )  # fmt: skip
    opened = await missed.owners.open("repair", actor=f"call:{CALL}", call_id=CALL, caller_number="13800138000")
    assert opened.record.owner is None
    missed.wrote(*ANSWERED)
    await missed.catch_up()
    await missed.catch_up()
    [(record, timeline)] = await missed.records()
    assert record.owner == LI.id
    assert timeline.count("answered") == 1


async def test_a_call_of_an_older_pbx_ended_with_it(missed: Missed) -> None:
    async with missed.database.unit_of_work() as uow:
        await uow.calls.save(CallEntry(id=CALL, pbx=MAIN, direction="inbound", started_at=T0))
    await missed.calls.settle(MAIN, epoch=T0 + timedelta(minutes=3))
    entry = await missed.entry()
    assert (entry.no_record_reason, entry.detail["ended"]) == ("pbx_restarted", "pbx_restarted")
    assert entry.ended_at == T0 + timedelta(minutes=3)


async def test_what_was_seen_whole_stays_as_it_was_seen(missed: Missed) -> None:
    seen = CallEntry(
        id=CALL, pbx=MAIN, direction="inbound", started_at=T0, ended_at=T0 + timedelta(seconds=50), complete=True,
        outcome="answered", detail={"ended": "hangup", "reconstructed": False, "queue_visits": []},
    )  # fmt: skip
    async with missed.database.unit_of_work() as uow:
        await uow.calls.save(seen)
    missed.wrote(*ANSWERED)
    await missed.catch_up()
    assert await missed.entry() == seen


async def test_the_part_that_was_seen_stays_and_the_rest_is_added(missed: Missed) -> None:
    """Two queues; the first was seen, then the link broke, and the end was seen again."""
    exact = T0 + timedelta(seconds=2, milliseconds=345)
    visit = {"queue": "repair", "entered_at": exact.isoformat(), "left_at": None, "outcome": "unknown", "agent": None}
    seen = CallEntry(
        id=CALL, pbx=MAIN, direction="inbound", started_at=T0, ended_at=T0 + timedelta(seconds=80), complete=True,
        outcome="failed", detail={"ended": "hangup", "reconstructed": True, "queue_visits": [visit]},
    )  # fmt: skip
    async with missed.database.unit_of_work() as uow:
        await uow.calls.save(seen)
    missed.wrote(
        f"2|{UNIQUEID}|repair|NONE|ENTERQUEUE||13800138000|1",
        f"32|{UNIQUEID}|repair|NONE|EXITWITHTIMEOUT|1|1|30",
        f"33|{UNIQUEID}|operators|NONE|ENTERQUEUE||13800138000|1",
        f"38|{UNIQUEID}|operators|PJSIP/agent1|CONNECT|5|{SECONDS}.8|3",
        f"79|{UNIQUEID}|operators|PJSIP/agent1|COMPLETEAGENT|5|41|1",
    )
    await missed.catch_up()
    entry = await missed.entry()
    first, second = cast(list[dict[str, Any]], entry.detail["queue_visits"])
    assert (first["outcome"], second["outcome"], second["agent"]) == ("timeout", "answered", "PJSIP/agent1")
    assert datetime.fromisoformat(first["entered_at"]) == exact
    assert (entry.outcome, entry.ended_at, entry.hangup_by) == ("answered", T0 + timedelta(seconds=80), "agent")


@pytest.mark.parametrize(("line", "outcome"), [("ABANDON|1|1|20", "abandoned"), ("EXITWITHKEY|5|1|1|20", "ivr")])
async def test_who_left_the_queue_while_the_link_was_broken_did_not_fail(
    missed: Missed, line: str, outcome: str
) -> None:
    entered = (T0 + timedelta(seconds=2)).isoformat()
    visit = {"queue": "repair", "entered_at": entered, "left_at": None, "outcome": "unknown", "agent": None}
    seen = CallEntry(
        id=CALL, pbx=MAIN, direction="inbound", started_at=T0, ended_at=T0 + timedelta(seconds=80), complete=True,
        outcome="failed", detail={"ended": "lost", "reconstructed": True, "queue_visits": [visit]},
    )  # fmt: skip
    async with missed.database.unit_of_work() as uow:
        await uow.calls.save(seen)
    missed.wrote(ABANDONED[0], f"22|{UNIQUEID}|repair|NONE|{line}")
    await missed.catch_up()
    assert (await missed.entry()).outcome == outcome


async def test_a_talk_whose_end_nobody_wrote_down_did_not_end_with_the_answer(missed: Missed) -> None:
    """The server and its PBX were killed in the middle of it."""
    seen = CallEntry(
        id=CALL, pbx=MAIN, direction="inbound", started_at=T0, ended_at=T0 + timedelta(seconds=80), complete=True,
        detail={"ended": "pbx_restarted", "reconstructed": True, "queue_visits": []},
    )  # fmt: skip
    async with missed.database.unit_of_work() as uow:
        await uow.calls.save(seen)
    missed.wrote(*ANSWERED[:2])
    await missed.catch_up()
    entry = await missed.entry()
    assert (entry.outcome, entry.ended_at) == ("answered", T0 + timedelta(seconds=80))


async def test_no_time_runs_backwards_because_one_log_has_whole_seconds(missed: Missed) -> None:
    began = T0 + timedelta(milliseconds=900)
    visit = {
        "queue": "repair", "entered_at": began.isoformat(), "left_at": None, "outcome": "unknown", "agent": None,
    }  # fmt: skip
    seen = CallEntry(
        id=CALL, pbx=MAIN, direction="inbound", started_at=began, ended_at=began, complete=True,
        detail={"ended": "lost", "reconstructed": True, "queue_visits": [visit]},
    )  # fmt: skip
    async with missed.database.unit_of_work() as uow:
        await uow.calls.save(seen)
    missed.wrote(
        f"0|{UNIQUEID}|repair|NONE|ENTERQUEUE||13800138000|1",
        f"0|{UNIQUEID}|repair|李敏|CONNECT|0|x|0",
        f"0|{UNIQUEID}|repair|李敏|COMPLETECALLER|0|0|1",
    )
    await missed.catch_up()
    entry = await missed.entry()
    assert (entry.started_at, entry.answered_at, entry.ended_at, entry.wait_ms) == (began, began, began, 0)


async def test_the_first_watch_takes_nothing_of_the_time_before(missed: Missed) -> None:
    """A PBX that has been there for years: its log is not ours."""
    missed.wrote(*ABANDONED)
    await missed.catch_up(missed_since=T0 + timedelta(seconds=30))
    assert (await missed.rows())["calls"] == []
    async with missed.database.reading() as uow:
        assert await uow.catching_up.watched_until(MAIN) == T0 + timedelta(minutes=10)


async def test_a_gap_begins_where_the_last_watch_ended(missed: Missed) -> None:
    async with missed.database.unit_of_work() as uow:
        await uow.catching_up.watched(MAIN, T0)
    missed.wrote(*ABANDONED)
    await missed.catch_up(missed_since=T0 + timedelta(minutes=9))
    assert (await missed.entry()).outcome == "abandoned"


async def test_a_log_that_cannot_be_read_holds_up_nothing_else(missed: Missed) -> None:
    missed.log.unlink()
    missed.pbx.tree[UNIQUEID] = FALLBACK
    with pytest.raises(UserFault, match="can't be read"):
        await missed.catch_up()
    assert (await missed.entry()).ani == "13800138000"
    assert missed.pbx.tree == {}
    async with missed.database.reading() as uow:
        assert await uow.catching_up.watched_until(MAIN) is None  # it is read from where it is known, once it can be


async def test_a_look_before_the_call_log_has_settled_forgets_no_gap(missed: Missed) -> None:
    """Every half minute the journal is looked at; that may be between a connect and what the call log makes of it."""
    async with missed.database.unit_of_work() as uow:
        await uow.catching_up.watched(MAIN, T0)
    missed.pbx.since = T0 + timedelta(minutes=11)
    await missed.catch_up(None)
    missed.wrote(*ABANDONED)
    await missed.catch_up(missed_since=T0 + timedelta(minutes=9))
    assert (await missed.entry()).outcome == "abandoned"


@pytest.mark.parametrize(
    ("entry", "outcome"),
    [
        ({"queue": "repair"}, "abandoned"),
        ({"queue": "repair", "answered_at": T0}, None),
        ({"queue": ""}, None),
        ({"queue": "repair", "direction": "outbound"}, None),
    ],
)
async def test_who_waited_when_we_went_counts_as_unserved_where_no_queue_log_tells(
    database: Database, tmp_path: Path, entry: dict[str, Any], outcome: str | None
) -> None:
    missed = Missed(database, Astdb(), tmp_path / "queue_log", log_is_read=False)
    async with missed.database.unit_of_work() as uow:
        seen = {"direction": "inbound", "ani": "13800138000", **entry}
        await uow.calls.save(CallEntry(id=CALL, pbx=MAIN, started_at=T0, **seen))
    await missed.calls.settle(MAIN)
    await missed.catch_up()
    assert (await missed.entry()).outcome == outcome
    told = [("13800138000", "abandoned")] if outcome else []
    assert missed.calls_told == told
    await missed.catch_up()
    assert missed.calls_told == told


async def test_a_merged_call_is_told_by_the_one_that_stayed(missed: Missed) -> None:
    merged = CallEntry(
        id=CALL, pbx=MAIN, direction="inbound", started_at=T0, complete=True, no_record_reason="merged:X",
        detail={"reconstructed": True},
    )  # fmt: skip
    async with missed.database.unit_of_work() as uow:
        await uow.calls.save(merged)
    missed.wrote(*ABANDONED)
    await missed.catch_up()
    assert await missed.entry() == replace(merged)


def _record_id() -> Any:
    return new_ulid(T0)


async def test_it_is_behind_until_queue_log_was_read_after_each_settling(missed: Missed) -> None:
    catching_up = missed.catching_up
    assert catching_up.behind(MAIN), "the last process may have been killed before it read queue_log"
    await catching_up._attempt(MAIN, cast(Pbx, missed.pbx))
    assert catching_up.behind(MAIN), "looking into the journal tells nothing of it"
    catching_up.wake(MAIN, T0)
    await catching_up._attempt(MAIN, cast(Pbx, missed.pbx))
    assert not catching_up.behind(MAIN)
    catching_up.wake(MAIN, T0)
    missed.pbx.tree[UNIQUEID], missed.pbx.dies = FALLBACK, True
    await catching_up._attempt(MAIN, cast(Pbx, missed.pbx))
    assert catching_up.behind(MAIN)
