"""What the drill makes of the PBX's events, held against calls that were played for it."""

from __future__ import annotations

from ctiserver.lab.drill.ears import Ear
from ctiserver.lab.drill.finding import Finding
from ctiserver.lab.drill.stories import Stories


def events(stories: Stories, uniqueid: str, *steps: tuple[float, dict[str, str]]) -> None:
    stories.take(
        {
            "Event": "Newchannel",
            "Uniqueid": uniqueid,
            "Channel": "PJSIP/trunk-00000001",
            "Context": "cti-inbound",
            "CallerIDNum": "139",
        },
        10.0,
    )
    for at, event in steps:
        stories.take({"Uniqueid": uniqueid, **event}, at)


QUEUED = {"Event": "QueueCallerJoin", "Queue": "repair"}
TALKS = {"Event": "AgentConnect", "Interface": "PJSIP/agent1"}
LOST = {"Event": "UserEvent", "UserEvent": "CtiFallback", "Reason": "FAILURE"}
CALLER_ENDS = {"Event": "HangupRequest"}
OVER = {"Event": "Hangup"}
TALK_OVER = {"Event": "AgentComplete"}


def test_a_caller_from_menu_to_agent() -> None:
    stories = Stories()
    events(
        stories,
        "1.1",
        (10.2, {"Event": "Newstate", "ChannelState": "6"}),
        (12.0, LOST),
        (12.5, QUEUED),
        (14.0, {"Event": "QueueCallerLeave"}),
        (14.0, TALKS),
        (20.0, CALLER_ENDS),
        (20.1, OVER),
    )
    [story] = stories.of(["139"])
    stages = [story.stage(at) for at in (9.9, 10.0, 12.4, 12.5, 13.9, 14.0, 20.0, 20.1)]
    assert stages == ["gone", "menu", "menu", "queue", "queue", "talk", "talk", "gone"]
    assert story.answered_at == 10.2
    assert story.fallbacks == [(12.0, "FAILURE")]
    assert story.queued_after(12.0) == 0.5
    assert story.queued_after(13.0) is None
    assert (story.ended_at, story.ended_by) == (20.1, "caller")
    assert all(story.served_after(at) for at in (10.0, 13.0, 19.0))
    assert stories.alive(13.0) == {"1.1": "queue"}
    assert stories.alive(21.0) == {}


def test_a_caller_whom_the_pbx_hung_up_on_unserved() -> None:
    stories = Stories()
    events(stories, "1.1", (11.0, OVER))
    [story] = stories.of(["139"])
    assert story.ended_by == "pbx"
    assert not story.served_after(10.0)


def test_a_pbx_that_dies_ends_its_calls() -> None:
    stories = Stories()
    events(stories, "1.1", (11.0, QUEUED))
    events(stories, "1.2", (11.0, QUEUED), (12.0, CALLER_ENDS), (12.0, OVER))
    stories.all_gone(15.0)
    assert [(story.ended_at, story.ended_by) for story in stories.by_uniqueid.values()] == [
        (15.0, "pbx"),
        (12.0, "caller"),
    ]


def test_what_is_said_of_a_call_after_its_end_brings_nobody_back() -> None:
    stories = Stories()
    events(stories, "1.1", (11.0, QUEUED), (12.0, TALKS), (13.0, CALLER_ENDS), (13.1, OVER), (13.1, TALK_OVER))
    assert stories.alive(14.0) == {}


def test_agents_legs_are_no_callers() -> None:
    stories = Stories()
    for channel, context in (("PJSIP/agent1-00000001", "cti-agents"), ("PJSIP/trunk-00000002", "cti-agents")):
        stories.take({"Event": "Newchannel", "Uniqueid": "2", "Channel": channel, "Context": context}, 1.0)
    stories.take({"Event": "Hangup", "Uniqueid": "unknown"}, 2.0)
    assert stories.by_uniqueid == {}


def test_a_finding_keeps_what_did_not_hold() -> None:
    finding = Finding("server-killed", "killed")
    finding.at_most("start_s", 2.0, 5.0)
    finding.at_most("state_right_s", None, 5.0)
    finding.at_most("queue_s", 7.5, 1.0)
    finding.none("dropped", [])
    finding.none("unlogged", ["139", "138"])
    assert finding.held == ["start s ≤ 5 s", "no dropped"]
    assert finding.broken == ["state right s ≤ 5 s", "queue s ≤ 1 s", "no unlogged (139, 138)"]
    assert finding.figures == {"start_s": 2.0, "state_right_s": "never", "queue_s": 7.5, "dropped": 0, "unlogged": 2}
    assert Finding.of_json(finding.json()) == finding


def test_the_worst_of_several_is_the_one_that_was_never_reached() -> None:
    finding = Finding("server-killed", "killed")
    finding.worst_at_most("waits", [0.2, 0.7], 1.0)
    finding.worst_at_most("waits_of_some", [0.2, None], 1.0)
    finding.worst_at_most("waits_of_nobody", [], 1.0)
    finding.worst_at_most("waits_of_who_was_there", [], 1.0, of_none=0.0)
    assert finding.figures == {
        "waits": 0.7,
        "waits_of_some": "never",
        "waits_of_nobody": "never",
        "waits_of_who_was_there": 0.0,
    }
    assert finding.broken == ["waits of some ≤ 1 s", "waits of nobody ≤ 1 s"]


def test_who_is_to_speak_after_a_beep_is_not_in_silence_but_who_hears_no_announcement_is() -> None:
    stories = Stories()
    announced = {"Event": "UserEvent", "UserEvent": "CtiVoicemailBegan"}
    events(stories, "1.1", (10.2, {"Event": "Newstate", "ChannelState": "6"}), (14.0, announced), (40.0, OVER))
    [story] = stories.of(["139"])
    assert story.stage(15.0) == "message"
    assert Ear(first_at=10.5, last_at=20.0, gaps=[(12.0, 13.0)]).longest_silence(story) == (1.0, 12.0)
    assert Ear(first_at=10.5, last_at=13.5).longest_silence(story) == (26.5, 13.5)


def test_packets_from_before_the_answer_are_somebody_elses() -> None:
    stories = Stories()
    events(stories, "1.1", (10.2, {"Event": "Newstate", "ChannelState": "6"}), (14.0, QUEUED), (40.0, OVER))
    [story] = stories.of(["139"])
    stray = [(-2000.0, -1500.0), (-1500.0, 11.0)]
    assert Ear(first_at=-2000.0, last_at=39.5, gaps=[*stray, (20.0, 23.0)]).longest_silence(story) == (3.0, 20.0)
    assert Ear(first_at=-2000.0, last_at=39.5, gaps=[(-2000.0, 19.0)]).longest_silence(story)[0] == 19.0 - 10.2
    assert Ear(first_at=-2000.0, last_at=-2000.0).longest_silence(story)[0] == 40.0 - 10.2
