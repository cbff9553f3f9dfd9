"""The AMI link against an Asterisk that does what a test wants: whatever goes wrong is an error, and nothing leaks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from ctiserver.bus import Bus, Subscription
from ctiserver.clock import SystemClock
from ctiserver.errors import DeadlineExceeded, PbxRefused, PeerLost, UnsafeValue, UserFault, first_of
from ctiserver.metrics import exposition
from ctiserver.model.events import (
    AgentRinging,
    CallEnded,
    CallerEnteredQueue,
    CallStarted,
    MemberChanged,
    PbxDown,
    PbxEvent,
    PbxTroubled,
    PbxUp,
)
from ctiserver.model.ids import Interface, PbxName, QueueName, Uniqueid
from ctiserver.pbx import link as link_module
from ctiserver.pbx import translate
from ctiserver.pbx.codec import AmiMessage
from ctiserver.pbx.first_tries import FirstTries
from ctiserver.pbx.link import PbxLink
from ctiserver.settings import PbxSettings
from tests.support.ami import FakeAmi, channel, event, fake_ami
from tests.support.eventually import eventually

REPAIR = QueueName("repair")
AGENT1 = Interface("PJSIP/agent1")
MEMBER = {"Queue": REPAIR, "Name": "Agent One", "Location": AGENT1, "Membership": "dynamic", "Penalty": 1, "Status": 1}


def settings(pbx: FakeAmi, **more: Any) -> PbxSettings:
    quick = {"ping_every_s": 30.0, "reconnect_first_s": 0.01, "reconnect_longest_s": 0.05, "action_timeout_s": 2.0}
    return PbxSettings(port=pbx.port, secret="right", **(quick | more))  # type: ignore[arg-type]


class Listening:
    """What the link publishes."""

    def __init__(self, subscription: Subscription[PbxEvent]) -> None:
        self.heard: list[PbxEvent] = []
        self._subscription = subscription

    async def until(self, wanted: Callable[[PbxEvent], bool]) -> PbxEvent:
        async with asyncio.timeout(20):
            async for one in self._subscription:
                self.heard.append(one)
                if wanted(one):
                    return one
        raise AssertionError("the bus closed")

    async def first(self, kind: type[PbxEvent]) -> Any:
        return await self.until(lambda one: isinstance(one, kind))


@asynccontextmanager
async def linked(pbx: FakeAmi, name: str = "main", **more: Any) -> AsyncIterator[tuple[PbxLink, Listening]]:
    bus = Bus()
    link = PbxLink(PbxName(name), settings(pbx, **more), bus, SystemClock())
    with bus.subscribe(PbxEvent) as subscription:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(link.run())
            try:
                async with asyncio.timeout(20):
                    await link.ready()
                yield link, Listening(subscription)
            finally:
                task.cancel()


@pytest.fixture(autouse=True)
async def nothing_left() -> AsyncIterator[None]:
    yield
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def run_until_fault(pbx: FakeAmi, **more: Any) -> UserFault:
    link = PbxLink(PbxName("main"), settings(pbx, **more), Bus(), SystemClock())
    async with asyncio.timeout(20):
        with pytest.raises(UserFault) as fault:
            await link.run()
    return fault.value


async def test_snapshot_comes_before_up() -> None:
    rows = [channel("1795288453.1", Duration="00:00:40", BridgeId="")]
    waiting = [{"Queue": REPAIR, "Position": 1, "Channel": "x", "Uniqueid": "1795288453.1", "Wait": 30}]
    async with fake_ami(channels=rows, entries=waiting, members=[MEMBER]) as pbx, linked(pbx) as (link, listening):
        up = await listening.first(PbxUp)
        assert [type(one) for one in listening.heard] == [MemberChanged, CallStarted, CallerEnteredQueue, PbxUp]
        assert up.version == "22.10.1"
        assert up.at - up.epoch - timedelta(hours=1) < timedelta(seconds=2)
        [call] = link.calls()
        assert call.reconstructed
        assert call.ani == "13800138000"
        assert call.direction == "inbound"
        assert [visit.queue for visit in call.queue_visits] == [REPAIR]
        [seat] = link.members()
        assert (seat.interface, seat.penalty, seat.status) == (AGENT1, 1, "free")


async def test_a_phone_that_rings_is_known_after_the_snapshot() -> None:
    """The server was restarted while a phone rang: the desk must still pop."""
    agent = channel(
        "1795288453.2", "PJSIP/agent1-00000002", ChannelState=5, Linkedid="1795288453.1", Duration="00:00:02"
    )
    rows = [agent, channel("1795288453.1", Duration="00:00:40")]
    waiting = [{"Queue": REPAIR, "Position": 1, "Uniqueid": "1795288453.1", "Wait": 30}]
    async with fake_ami(channels=rows, entries=waiting) as pbx, linked(pbx) as (link, listening):
        ringing = await listening.first(AgentRinging)
        assert (ringing.interface, ringing.queue) == (AGENT1, REPAIR)
        [call] = link.calls()
        assert call.linkedids == ("1795288453.1",)
        assert call.ani == "13800138000"


async def test_a_talk_is_known_after_the_snapshot() -> None:
    agent = channel("1795288453.2", "PJSIP/agent1-00000002", Linkedid="1795288453.1", BridgeId="b", Duration="00:00:02")
    caller = channel("1795288453.1", BridgeId="b", Duration="00:00:40")
    async with fake_ami(channels=[caller, agent]) as pbx, linked(pbx) as (link, listening):
        await listening.first(PbxUp)
        [call] = link.calls()
        assert (call.outcome, call.answered_by, call.reconstructed) == ("answered", (AGENT1,), True)


async def test_what_is_not_consumed_is_counted_by_name() -> None:
    async with fake_ami() as pbx, linked(pbx, name="counted") as (link, listening):
        await pbx.say(event("RTCPSent", Channel="x") * 3)
        await pbx.say(event("Newchannel", **channel("1795288453.7")))
        await listening.first(CallStarted)
        link.counters()
        lines = exposition().decode().splitlines()
        assert 'ctiserver_ami_unused_events_total{event="RTCPSent",pbx="counted"} 3.0' in lines
        assert 'ctiserver_pbx_up{pbx="counted"} 1.0' in lines


async def test_what_happens_during_the_snapshot_is_taken_in_after_it() -> None:
    began = event("Newchannel", **channel("1795288453.7", ChannelState=4), Timestamp="1795288453.5")
    late = event("Hangup", **channel("1795288453.3", "PJSIP/trunk-00000003"), Cause=16)
    async with fake_ami(said_before_channels=began + late) as pbx, linked(pbx) as (link, listening):
        await listening.first(PbxUp)
        assert [type(one) for one in listening.heard] == [CallStarted, PbxUp]
        assert [call.linkedids for call in link.calls()] == [("1795288453.7",)]
        assert link.counters()["ignored"] == 1


async def test_events_become_domain_events() -> None:
    async with fake_ami() as pbx, linked(pbx) as (link, listening):
        await pbx.say(event("Newchannel", **channel("1795288453.7", ChannelState=4), Timestamp="1795288453.5"))
        started = await listening.first(CallStarted)
        assert started.at.timestamp() == 1795288453.5
        await pbx.say(event("Hangup", **channel("1795288453.7"), Cause=16, Timestamp="1795288459.5"))
        ended = await listening.first(CallEnded)
        assert ended.summary.complete
        assert link.calls() == []


async def test_names_of_any_language_in_any_chunks() -> None:
    async with fake_ami() as pbx, linked(pbx) as (_, listening):
        said = event("Newchannel", **channel("1795288453.7", CallerIDName="张三 Jörg"), Timestamp="1795288453.5")
        for at in range(len(said)):
            await pbx.say(said[at : at + 1])
            await asyncio.sleep(0)
        assert (await listening.first(CallStarted)).caller_name == "张三 Jörg"


async def test_rubbish_does_not_end_the_link() -> None:
    async with fake_ami() as pbx, linked(pbx) as (link, listening):
        await pbx.say(b"\xff\xfe\x00 rubbish\r\nmore: of it\r\n\r\n" + b"Event: Newchannel\r\nTimestamp: never\r\n\r\n")
        await pbx.say(event("Newchannel", **channel("1795288453.7")))
        await listening.first(CallStarted)
        assert link.counters()["unparsable"] == 1
        assert pbx.connections == 1


async def test_a_wrong_password_is_said_and_not_tried_again() -> None:
    async with fake_ami(secret="other") as pbx:
        fault = await run_until_fault(pbx)
        assert pbx.connections == 1
    assert "pbxs.main.secret_file" in str(fault)
    assert "refused the AMI log-in of ctiserver" in str(fault)


async def test_a_secret_that_is_changed_later_ends_no_server() -> None:
    """It leads the calls of other PBXs; and the admin is about to tell it the new one, or to take the change back."""
    async with fake_ami() as pbx, linked(pbx) as (link, listening):
        await listening.first(PbxUp)
        pbx.secret = "another"
        pbx.drop()
        await listening.first(PbxDown)
        await pbx.arrived("Login", 3)
        assert not link.up
        pbx.secret = "right"
        await listening.first(PbxUp)
        assert link.up


async def test_a_pbx_that_comes_late_and_refuses_us_ends_no_server() -> None:
    """Others may be served by then; it is tried again until somebody has mended it."""
    async with fake_ami(booted=False) as pbx:
        link = PbxLink(
            PbxName("main"),
            settings(pbx, connect_timeout_s=0.05, reconnect_longest_s=0.05),
            Bus(),
            SystemClock(),
        )
        async with asyncio.TaskGroup() as group:
            task = group.create_task(link.run())
            await pbx.arrived("Login", 2)
            pbx.booted, pbx.secret = True, "another"
            await pbx.arrived("Login", 5)
            assert not task.done()
            pbx.secret = "right"
            async with asyncio.timeout(20):
                await link.ready()
            task.cancel()


@pytest.mark.parametrize("version", ["18.26.4", "20.18.1", "21.12.1", "22.8.1", "22.8.1~dfsg+~cs6.13.40431414"])
async def test_an_old_asterisk_is_refused(version: str) -> None:
    async with fake_ami(version=version) as pbx:
        fault = await run_until_fault(pbx)
    assert version in str(fault)
    assert "20.18.2, 22.8.2" in str(fault)


@pytest.mark.parametrize("version", ["20.18.2", "22.10.1+dfsg+~cs6.17", "23.1.0", "20.7-cert9", "GIT-master-1234"])
async def test_a_supported_asterisk_is_taken(version: str) -> None:
    async with fake_ami(version=version) as pbx, linked(pbx) as (link, _):
        assert link.version == version


async def test_a_pbx_that_is_still_starting_is_waited_for() -> None:
    async with fake_ami(booted=False) as pbx:
        link = PbxLink(PbxName("main"), settings(pbx, connect_timeout_s=0.05), Bus(), SystemClock())
        async with asyncio.TaskGroup() as group:
            task = group.create_task(link.run())
            await pbx.arrived("Login", 2)
            assert not link.up
            pbx.booted = True
            async with asyncio.timeout(20):
                await link.ready()
            task.cancel()


async def test_a_missing_right_is_said() -> None:
    async with fake_ami(refuses={"CoreShowChannels": "Permission denied"}) as pbx:
        fault = await run_until_fault(pbx)
    assert "Permission denied" in str(fault)
    assert "config/manager.conf" in str(fault)


async def test_an_empty_secret_with_a_line_break_is_refused_before_it_is_sent() -> None:
    async with fake_ami() as pbx:
        await run_until_fault(pbx, username="cti\r\nAction: Originate")
        assert pbx.received == []


async def test_a_broken_link_comes_back_and_says_so() -> None:
    async with fake_ami() as pbx, linked(pbx) as (link, listening):
        await listening.first(PbxUp)
        pbx.drop()
        await listening.first(PbxDown)
        await listening.first(PbxUp)
        assert link.up
        assert pbx.connections == 2


async def test_a_pending_action_fails_with_the_link_and_is_not_sent_again() -> None:
    async with fake_ami(silent={"Originate"}) as pbx, linked(pbx) as (link, listening):
        await listening.first(PbxUp)
        order = asyncio.ensure_future(
            link.originate("PJSIP/agent1", channel_id=Uniqueid("order-1"), context="cti-outbound", exten="100")
        )
        await pbx.arrived("Originate")
        pbx.drop()
        with pytest.raises(PeerLost):
            await order
        pbx.silent.clear()
        await listening.first(PbxUp)
        await link.set_variable("PJSIP/x-1", "A", "1")
        assert len(pbx.actions("Originate")) == 1


@pytest.mark.parametrize("pending", ["Login", "CoreSettings", "CoreStatus", "CoreShowChannels", "QueueStatus"])
async def test_a_drop_with_an_answer_pending_is_noticed_at_once(pending: str) -> None:
    """panoramisk would wait for ever for each of these. The deadline of an action is far away here."""
    async with fake_ami(silent={pending}) as pbx:
        link = PbxLink(PbxName("main"), settings(pbx, action_timeout_s=60.0), Bus(), SystemClock())
        async with asyncio.TaskGroup() as group:
            task = group.create_task(link.run())
            await pbx.arrived(pending)
            pbx.silent.clear()
            pbx.drop()
            async with asyncio.timeout(20):
                await link.ready()
            task.cancel()
        assert len(pbx.actions(pending)) == 2


async def test_a_list_that_is_pending_at_a_drop_is_an_error() -> None:
    async with fake_ami(silent={"DBGetTree"}) as pbx, linked(pbx, action_timeout_s=60.0) as (link, _):
        reading = asyncio.ensure_future(link.read_tree("cti_journal"))
        await pbx.arrived("DBGetTree")
        pbx.drop()
        async with asyncio.timeout(20):
            with pytest.raises(PeerLost):
                await reading


async def test_an_event_that_breaks_our_code_ends_neither_the_link_nor_the_rest_of_its_packet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(message: AmiMessage, at: float | None) -> None:
        raise ZeroDivisionError(message.name)

    monkeypatch.setitem(translate._READERS, "Rename", broken)
    async with fake_ami() as pbx, linked(pbx) as (link, listening):
        began = event("Newchannel", **channel("1795288453.7"))
        await pbx.say(event("Rename", Newname="x") + began + event("Rename", Newname="y"))
        await listening.first(CallStarted)

        async def broken_count() -> int:
            return link.counters()["broken"]

        await eventually(broken_count, lambda count: count == 2)
        assert pbx.connections == 1


async def test_more_events_than_can_wait_for_a_snapshot_begin_the_link_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "_LONGEST_BUFFER", 10)
    storm = b"".join(event("Newchannel", **channel(f"1795288453.{n}")) for n in range(11))
    async with fake_ami(said_before_channels=storm) as pbx:
        link = PbxLink(PbxName("main"), settings(pbx), Bus(), SystemClock())
        async with asyncio.TaskGroup() as group:
            task = group.create_task(link.run())
            await pbx.arrived("Login", 2)
            pbx.said_before_channels = b""
            async with asyncio.timeout(20):
                await link.ready()
            task.cancel()


async def test_a_link_that_is_ended_while_it_waits_to_reconnect_does_not_connect_again() -> None:
    async with fake_ami() as pbx:
        async with linked(pbx, reconnect_first_s=0.05, reconnect_longest_s=0.05) as (_, listening):
            await listening.first(PbxUp)
            pbx.drop()
            await listening.first(PbxDown)
        before = pbx.connections
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.15):
                await pbx.arrived("Login", before + 1)


async def test_an_answer_that_comes_after_its_deadline_is_nobodys() -> None:
    late = b"Response: Success\r\nActionID: %b\r\nMessage: late\r\n\r\n"
    async with fake_ami(silent={"QueuePause"}) as pbx, linked(pbx, action_timeout_s=0.05) as (link, listening):
        with pytest.raises(DeadlineExceeded):
            await link.queue_pause(AGENT1, paused=True, reason="lunch")
        await pbx.say(late % pbx.actions("QueuePause")[0]["ActionID"][0].encode())
        await pbx.say(event("Newchannel", **channel("1795288453.7")))
        await listening.first(CallStarted)
        assert link._connection is not None
        assert link._connection.protocol._answers == {}
        assert link.counters() == {"unparsable": 0, "refused": 0, "broken": 0, "ignored": 0}


async def test_no_action_without_a_link() -> None:
    link = PbxLink(PbxName("main"), PbxSettings(), Bus(), SystemClock())
    with pytest.raises(PeerLost):
        await link.queue_pause(AGENT1, paused=True, reason="lunch")


async def test_an_unanswered_action_ends_at_its_deadline_and_leaks_nothing() -> None:
    async with fake_ami(silent={"QueuePause"}) as pbx, linked(pbx, action_timeout_s=0.05) as (link, _):
        with pytest.raises(DeadlineExceeded):
            await link.queue_pause(AGENT1, paused=True, reason="lunch")
        assert link.up
        assert link._connection is not None
        assert link._connection.protocol.responses == {}
        assert link._connection.protocol._answers == {}


async def test_an_unanswered_ping_ends_the_connection() -> None:
    async with fake_ami(silent={"Ping"}) as pbx, linked(pbx, ping_every_s=0.01, ping_timeout_s=0.05) as (_, listening):
        down = await listening.first(PbxDown)
        assert "Ping" in down.reason
        await listening.first(PbxUp)


async def test_a_ping_whose_answer_waits_behind_a_storm_of_events_ends_nothing() -> None:
    async with (
        fake_ami(silent={"Ping"}) as pbx,
        linked(pbx, ping_every_s=0.01, ping_timeout_s=0.5) as (link, _),
    ):
        for number in range(1, 5):
            await pbx.arrived("Ping", number)
            await pbx.say(event("Newchannel", **channel(f"1.{number}")))
        assert link.up
        assert pbx.connections == 1


async def test_a_refusal_is_an_error_with_the_pbxs_words() -> None:
    async with fake_ami(refuses={"Redirect": "Channel does not exist: x"}) as pbx, linked(pbx) as (link, _):
        with pytest.raises(PbxRefused, match="Channel does not exist: x"):
            await link.redirect("x", context="c", exten="1")


async def test_what_is_so_already_is_no_error() -> None:
    refuses = {
        "QueueAdd": "Unable to add interface: Already there",
        "QueueRemove": "Unable to remove interface: Not there",
        "Hangup": "No such channel",
    }
    async with fake_ami(refuses=refuses) as pbx, linked(pbx) as (link, _):
        await link.queue_add(REPAIR, AGENT1, name="Agent One", penalty=3)
        assert pbx.actions("QueuePenalty")[0]["Penalty"] == ["3"]
        await link.queue_remove(REPAIR, AGENT1)
        await link.hangup("PJSIP/gone-1")


@pytest.mark.parametrize("forged", ["x\r\nAction: Originate", "x\n", "x\0", "\udcff"])
async def test_a_forged_value_is_refused_before_anything_is_sent(forged: str) -> None:
    async with fake_ami() as pbx, linked(pbx) as (link, _):
        before = len(pbx.received)
        with pytest.raises(UnsafeValue):
            await link.set_variable("PJSIP/x-1", "NAME", forged)
        with pytest.raises(UnsafeValue):
            await link.originate(
                "PJSIP/x", channel_id=Uniqueid("1"), context="c", exten="1", variables={"NAME": forged}
            )
        with pytest.raises(UnsafeValue):
            await link.originate("PJSIP/x", channel_id=Uniqueid("1"), context="c", exten="1", caller_number=forged)
        assert link._connection is not None
        assert link._connection.protocol.responses == {}
        await link.set_variable("PJSIP/x-1", "NAME", "fine")
        assert len(pbx.received) == before + 1


async def test_originate_carries_an_id_and_every_variable() -> None:
    async with fake_ami() as pbx, linked(pbx) as (link, _):
        await link.originate(
            "PJSIP/agent1",
            channel_id=Uniqueid("order-1"),
            context="cti-outbound",
            exten="100",
            caller_number="4001",
            caller_name="Repair",
            timeout_s=20,
            variables={"CTI_ORDER": "7", "CTI_WHY": "call back"},
        )
        [order] = pbx.actions("Originate")
        assert order["ChannelId"] == ["order-1"]
        assert order["Variable"] == ["CTI_ORDER=7", "CTI_WHY=call back"]
        assert order["CallerID"] == ['"Repair" <4001>']
        assert order["Timeout"] == ["20000"]
        assert order["Async"] == ["true"]


async def test_the_pbxs_own_database_is_read_by_family_and_forgotten_key_by_key() -> None:
    kept = {"/cti_journal/1.1": "a|张三", "/cti_journal/1.2-vm1": "", "/other/1.1": "x"}
    async with fake_ami(astdb=kept) as pbx, linked(pbx) as (link, _):
        assert await link.read_tree("cti_journal") == {"1.1": "a|张三", "1.2-vm1": ""}
        await link.delete_key("cti_journal", "1.1")
        await link.delete_key("cti_journal", "1.1")
        assert await link.read_tree("cti_journal") == {"1.2-vm1": ""}
        assert await link.read_tree("nothing") == {}
        with pytest.raises(UnsafeValue):
            await link.delete_key("cti_journal", "1.2)=x,SHELL(id")


async def test_a_restarted_pbx_ends_its_calls() -> None:
    rows = [channel("1795288453.1", Duration="00:00:40")]
    async with fake_ami(channels=rows) as pbx, linked(pbx) as (link, listening):
        await listening.first(PbxUp)
        pbx.channels.clear()
        pbx.started = "2026-11-21 20:00:00"
        pbx.drop()
        ended = await listening.first(CallEnded)
        assert ended.reason == "pbx_restarted"
        assert not ended.summary.complete
        await listening.first(PbxUp)
        assert link.calls() == []


async def test_a_pbx_restarted_within_the_second_that_it_started_in_ends_its_calls() -> None:
    rows = [channel("1795288453.1", Duration="00:00:00")]
    async with fake_ami(channels=rows, uptime_s=0) as pbx, linked(pbx) as (link, listening):
        await listening.first(PbxUp)
        assert len(pbx.marks) == 1
        pbx.channels.clear()
        pbx.marks.clear()  # they go with the process
        pbx.drop()
        assert (await listening.first(CallEnded)).reason == "pbx_restarted"
        assert (await listening.first(PbxUp)).restarted
        assert link.calls() == []


@pytest.mark.parametrize("uptime_s", [0, 400])
async def test_a_pbx_that_lost_the_connection_alone_is_not_taken_for_a_restarted_one(uptime_s: int) -> None:
    rows = [channel("1795288453.1", Duration="00:00:00")]
    async with fake_ami(channels=rows, uptime_s=uptime_s) as pbx, linked(pbx) as (link, listening):
        await listening.first(PbxUp)
        for _ in range(2):
            if uptime_s:
                pbx.marks.clear()  # a reload with clearglobalvars; an old process has none
            pbx.drop()
            assert not (await listening.first(PbxUp)).restarted
        assert len(link.calls()) == 1


async def test_an_account_that_may_set_no_variable_goes_without_the_mark() -> None:
    async with fake_ami(uptime_s=0, refuses={"Setvar": "Permission denied"}) as pbx, linked(pbx) as (_, listening):
        await listening.first(PbxUp)
        pbx.drop()
        assert not (await listening.first(PbxUp)).restarted


async def test_a_call_that_ended_while_nobody_listened_is_lost_and_the_others_go_on() -> None:
    rows = [
        channel("1795288453.1", "PJSIP/trunk-00000001", Duration="00:00:40"),
        channel("1795288453.2", "PJSIP/trunk-00000002", Duration="00:00:30"),
    ]
    async with fake_ami(channels=rows) as pbx, linked(pbx) as (link, listening):
        await listening.first(PbxUp)
        del pbx.channels[0]
        pbx.drop()
        ended = await listening.first(CallEnded)
        assert (ended.linkedid, ended.reason) == ("1795288453.1", "lost")
        await listening.first(PbxUp)
        assert [call.linkedids for call in link.calls()] == [("1795288453.2",)]
        await pbx.say(event("Hangup", **rows[1 - 1], Cause=16))
        assert (await listening.first(CallEnded)).reason == "hangup"


async def test_a_member_removed_meanwhile_is_gone_after_the_snapshot() -> None:
    async with fake_ami(members=[MEMBER]) as pbx, linked(pbx) as (link, listening):
        await listening.first(PbxUp)
        pbx.members.clear()
        pbx.drop()
        gone = await listening.first(MemberChanged)
        assert not gone.present
        await listening.first(PbxUp)
        assert link.members() == []


async def test_two_pbxs_with_equal_uniqueids() -> None:
    async with (
        fake_ami() as north,
        fake_ami() as south,
        linked(north, "north") as (one, heard_one),
        linked(south, "south") as (two, heard_two),
    ):
        for pbx in (north, south):
            await pbx.say(event("Newchannel", **channel("1795288453.7")))
        first, second = await heard_one.first(CallStarted), await heard_two.first(CallStarted)
        assert first.uniqueid == second.uniqueid
        assert first.call_id != second.call_id
        await north.say(event("Hangup", **channel("1795288453.7"), Cause=16))
        await heard_one.first(CallEnded)
        assert one.calls() == []
        assert len(two.calls()) == 1


async def test_nobody_there_is_tried_again() -> None:
    async with fake_ami() as pbx:
        port = pbx.port
    bus = Bus()
    link = PbxLink(
        PbxName("main"),
        PbxSettings(port=port, reconnect_first_s=0.01, reconnect_longest_s=0.02),
        bus,
        SystemClock(),
    )
    with bus.subscribe(PbxEvent) as heard:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await link.run()
        bus.close()
        assert [type(one) for one in [one async for one in heard]] == [PbxTroubled]  # never up, so never down


# -- every way of ending, refusing and answering wrongly ------------------------------------------------------------------


async def test_an_asterisk_that_shuts_down_is_listened_to_until_it_is_gone() -> None:
    """`core stop gracefully` with a call up: every action is refused, a ping too, and the call's events still come."""
    async with fake_ami() as pbx, linked(pbx, ping_every_s=0.01) as (link, listening):
        await listening.first(PbxUp)
        pbx.refuses["*"] = "Asterisk is shutting down"
        await listening.first(PbxTroubled)
        assert link.up
        assert link.trouble is not None
        assert link.trouble.kind == "stopping"
        await pbx.say(event("Newchannel", **channel("1795288453.7")))
        await listening.first(CallStarted)
        with pytest.raises(PeerLost, match="shutting down"):  # it was not done, and is owed
            await link.queue_pause(AGENT1, paused=True, reason="lunch")
        assert pbx.connections == 1
        # It is gone, and who knocks meanwhile is refused with the same words: no word of a wrong secret.
        await pbx.say(event("Shutdown", Shutdown="Cleanly", Restart="False"))
        pbx.drop()
        down = await listening.first(PbxDown)
        assert "stopped" in down.reason
        await pbx.arrived("Login", 3)
        assert link.trouble.kind == "stopping"
        pbx.refuses.clear()
        await listening.first(PbxUp)
        assert link.trouble is None


async def test_a_stop_that_is_called_off_makes_good_what_was_owed_meanwhile() -> None:
    async with fake_ami() as pbx, linked(pbx, ping_every_s=0.01) as (link, listening):
        await listening.first(PbxUp)
        pbx.refuses["*"] = "Asterisk is shutting down"
        await listening.first(PbxTroubled)
        pbx.refuses.clear()
        await listening.first(PbxUp)  # who owes the PBX an order gives it now
        assert link.trouble is None
        assert pbx.connections == 1


async def test_a_server_that_starts_while_asterisk_shuts_down_waits_for_it() -> None:
    async with fake_ami(refuses={"*": "Asterisk is shutting down"}) as pbx:
        link = PbxLink(PbxName("main"), settings(pbx), Bus(), SystemClock())
        async with asyncio.TaskGroup() as group:
            task = group.create_task(link.run())
            await pbx.arrived("Login", 3)
            assert link.trouble is not None
            assert link.trouble.kind == "stopping"
            pbx.refuses.clear()
            async with asyncio.timeout(20):
                await link.ready()
            task.cancel()


#: What a PBX that was up turns into, and what its link says of it.
_TURNS: dict[str, tuple[dict[str, Any], str]] = {
    "another secret": ({"secret": "another"}, "login_refused"),
    "no rights": ({"refuses": {"CoreShowChannels": "Permission denied"}}, "rights"),
    "no status": ({"refuses": {"CoreStatus": "Permission denied"}}, "rights"),
    "an old version": ({"version": "18.26.4"}, "too_old"),
    "no queues": ({"refuses": {"QueueStatus": "Invalid/unknown command: QueueStatus."}}, "no_queues"),
    "fewer actions": ({"gives": ("Ping", "CoreSettings", "CoreStatus", "CoreShowChannels", "Setvar")}, "rights"),
    "another program": ({"greets": b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"}, "not_asterisk"),
    "a silent one": ({"greets": b""}, "silent"),
    "still booting": ({"booted": False}, "starting"),
    "shutting down": ({"refuses": {"*": "Asterisk is shutting down"}}, "stopping"),
    "rubbish": ({"rubbish": b"Response: \r\nActionID: %b\r\n\r\n"}, "rubbish"),
    "an empty success": ({"rubbish": b"Response: Success\r\nActionID: %b\r\n\r\n"}, "rubbish"),
    "no version": ({"version": ""}, ""),
    "a version that is none": ({"version": "99999999999999999999.x.y"}, ""),
    "a clock that jumped": ({"uptime_s": -90_000}, ""),
    "numbers that are none": ({"uptime_s": "²³"}, ""),
}


@pytest.mark.parametrize("turn", _TURNS)
async def test_whatever_a_pbx_says_once_it_was_up_ends_no_server(turn: str) -> None:
    traits, kind = _TURNS[turn]
    quick = {"connect_timeout_s": 0.1, "action_timeout_s": 0.1}
    async with fake_ami() as pbx, linked(pbx, **quick) as (link, listening):
        await listening.first(PbxUp)
        was = {name: getattr(pbx, name) for name in traits}
        for name, value in traits.items():
            setattr(pbx, name, value)
        pbx.drop()
        await listening.first(PbxDown)

        async def seen() -> bool:
            if kind in ("", "rubbish"):
                return pbx.connections > 2 or link.up
            return link.trouble is not None and link.trouble.kind == kind

        await eventually(seen, within_s=20)
        for name, value in was.items():
            setattr(pbx, name, value)
        pbx.drop()

        async def well() -> bool:
            return link.up and link.trouble is None

        await eventually(well, within_s=20)


@pytest.mark.parametrize(
    ("traits", "words"),
    [
        ({"secret": "another"}, ("refused the AMI log-in of ctiserver", "permit, deny and acl")),
        (
            {"refuses": {"CoreStatus": "Permission denied"}},
            ("may not use CoreStatus", "Add `reporting` to its `write =`"),
        ),
        ({"version": "18.26.4"}, ("18.26.4 is too old", "Update it")),
        ({"greets": b"HTTP/1.1 400 Bad Request\r\n"}, ("not Asterisk's manager interface", "HTTP/1.1 400 Bad Request")),
        (
            {"refuses": {"QueueStatus": "Invalid/unknown command: QueueStatus."}},
            ("app_queue is not loaded", "module load"),
        ),
    ],
)
async def test_at_the_start_the_sentence_says_what_is_so(traits: dict[str, Any], words: tuple[str, ...]) -> None:
    async with fake_ami(**traits) as pbx:
        fault = await run_until_fault(pbx)
    assert all(word in str(fault) for word in words), str(fault)
    assert "pbxs.main." in str(fault)


async def test_no_secret_is_told_to_what_is_not_asterisk() -> None:
    async with fake_ami(greets=b"220 mail.example ESMTP\r\n") as other:
        await run_until_fault(other)
        assert other.received == []


async def test_rights_that_are_lacking_are_named_while_the_link_stands() -> None:
    given = ("Atxfer", "CoreSettings", "CoreShowChannels", "CoreStatus", "DBGetTree", "Hangup", "Ping", "QueueStatus")
    async with fake_ami(gives=given) as pbx, linked(pbx) as (link, _):
        assert link.trouble is not None
        assert link.trouble.why == (
            "the AMI account ctiserver may not use Originate, QueueAdd, QueuePause, QueuePenalty, QueueRemove, Redirect, "
            "Setvar: add `agent`, `call`, `originate` to its `write =` in manager.conf"
        )


async def test_queues_that_are_unloaded_and_loaded_again_are_asked_about() -> None:
    """No event tells of the members that come and go with the module."""
    async with fake_ami(members=[MEMBER]) as pbx, linked(pbx, ping_every_s=0.01) as (link, listening):
        await listening.first(PbxUp)
        pbx.refuses["QueueStatus"] = "Invalid/unknown command: QueueStatus."
        await pbx.say(event("Unload", Module="app_queue.so", Status="Success"))
        await listening.first(PbxUp)
        assert link.members() == []
        assert link.trouble is not None
        assert link.trouble.kind == "no_queues"
        pbx.refuses.clear()
        await pbx.say(event("Load", Module="app_queue.so", Status="Success"))
        await listening.first(PbxUp)
        assert [seat.interface for seat in link.members()] == [AGENT1]
        assert link.trouble is None
        assert pbx.connections == 1


async def test_one_of_two_pbxs_that_refuses_us_at_the_start_does_not_end_the_server() -> None:
    async with fake_ami() as good, fake_ami(secret="another") as bad:
        both = FirstTries([PbxName("good"), PbxName("bad")])
        links = {
            name: PbxLink(PbxName(name), settings(pbx), Bus(), SystemClock(), both)
            for name, pbx in (("bad", bad), ("good", good))
        }
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(link.run()) for link in links.values()]
            await bad.arrived("Login", 2)
            async with asyncio.timeout(20):
                await links["good"].ready()
            bad.secret = "right"
            async with asyncio.timeout(20):
                await links["bad"].ready()
            for task in tasks:
                task.cancel()


async def test_where_every_pbx_refuses_us_at_the_start_the_server_ends() -> None:
    async with fake_ami(secret="another") as one, fake_ami(version="18.1.0") as two:
        both = FirstTries([PbxName("one"), PbxName("two")])
        links = [
            PbxLink(PbxName(name), settings(pbx), Bus(), SystemClock(), both)
            for name, pbx in (("one", one), ("two", two))
        ]

        async def serve() -> None:
            async with asyncio.timeout(20), asyncio.TaskGroup() as group:
                for link in links:
                    group.create_task(link.run())

        with pytest.raises(ExceptionGroup) as raised:
            await serve()
        assert first_of(raised.value, UserFault) is not None
