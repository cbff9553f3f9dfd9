"""What a caller wrote into AMI is told from what Asterisk wrote: with a secret systemname, and without one."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctiserver.pbx.authenticity import Authenticity
from ctiserver.pbx.codec import AmiDecoder, AmiMessage
from ctiserver.pbx.translate import WANTED

NAME, KEY, NOW = "cti0123456789a", "feedc0de", 1796093912.0
ROW = (
    "ChannelState: 4\r\nChannelStateDesc: Ring\r\nCallerIDNum: {number}\r\nCallerIDName: <unknown>\r\n"
    "ConnectedLineNum: <unknown>\r\nConnectedLineName: <unknown>\r\nLanguage: en\r\nAccountCode: \r\n"
    "Context: cti-inbound\r\nExten: {dialled}\r\nPriority: 1\r\nUniqueid: {id}\r\nLinkedid: {id}\r\n"
)


def true_event(name: str, *, number: str = "1", dialled: str = "2", sign: str = NAME, more: str = "") -> bytes:
    """An event as Asterisk 22.10.1 writes it for a call of these numbers."""
    signed = f"SystemName: {sign}\r\n" if sign else ""
    head = f"Event: {name}\r\nPrivilege: call,all\r\nTimestamp: {NOW:.6f}\r\n{signed}Channel: PJSIP/trunk-00000002\r\n"
    row = ROW.format(number=number, dialled=dialled, id=f"{sign}-{NOW:.0f}.2".lstrip("-"))
    return f"{head}{row}{more}\r\n".encode()


def heard(data: bytes, *, sign: str = NAME, key: str = KEY, chunk: int = 0) -> tuple[list[AmiMessage], Authenticity]:
    guard = Authenticity(lambda: NOW, lambda action: action == "action/ours/1/1")
    guard.systemname, guard.key, guard.booting = sign, key, False
    decoder = AmiDecoder(WANTED | {b"FullyBooted": b"", b"CoreShowChannel": b""}, guard=guard)
    parts = [data[at : at + chunk] for at in range(0, len(data), chunk)] if chunk else [data]
    return [message for part in parts for message in decoder.feed(part)], guard


#: Number and dialled number, as they were sent on 2026-11-30 and since.
FORGED = {
    "a recording that is deleted": (
        "\r\n\r\nEvent: UserEvent\r\nUserEvent: CtiRecording\r\nTimestamp: 1e9\r\nState: on",
        "4000\r\nUniqueid: 437.9\r\nLinkedid: 437.9\r\nFile: ../../victim.txt",
    ),
    "another channel's id": ("1", "4000\r\nUniqueid: 437.9\r\nLinkedid: 437.9"),
    "another channel's id, and the rest cut off": ("1\r\nUniqueid: 437.9\r\nLinkedid: 437.9\r\n\r\n", "4000"),
    "a member that left": (
        "\r\n\r\nEvent: QueueMemberRemoved\r\nPrivilege: agent,all\r\nTimestamp: 1796093912.1",
        "x\r\nQueue: operators\r\nInterface: PJSIP/agent1",
    ),
    "an event of our dialplan": (
        "\r\n\r\nEvent: UserEvent\r\nPrivilege: user,all\r\nTimestamp: 1796093912.1",
        "4\r\nUserEvent: CtiRecording\r\nState: on\r\nFile: 20261201/1-1.wav",
    ),
    "a name for a channel": (
        "\r\n\r\nEvent: Rename\r\nPrivilege: call,all\r\nTimestamp: 1796093912.1",
        "4\r\nChannel: a\r\nNewname: PJSIP/agent1-1\r\nUniqueid: 437.9\r\n\r\n",
    ),
    "an answer": ("\r\n\r\nResponse: Success\r\nActionID: action/guess/1/1\r\nMessage: x", "4"),
    "that it has just started": ("\r\n\r\nEvent: FullyBooted\r\nPrivilege: system,all\r\nUptime: 1\r\n\r\n", "4"),
}


@pytest.mark.parametrize("sign", [NAME, ""], ids=["systemname", "looks"])
@pytest.mark.parametrize("chunk", [0, 7])
@pytest.mark.parametrize("name", FORGED)
def test_what_a_caller_wrote_is_not_believed(name: str, sign: str, chunk: int) -> None:
    number, dialled = FORGED[name]
    around = true_event("Newchannel", sign=sign)
    forged = true_event("Newchannel", number=number, dialled=dialled, sign=sign)
    said, guard = heard(around + forged + around, sign=sign, chunk=chunk)
    assert [message.name for message in said] == ["Newchannel", "Newchannel"]
    assert guard.refused.total() > 0


@pytest.mark.parametrize("sign", [NAME, ""], ids=["systemname", "looks"])
def test_what_asterisk_wrote_is_believed_and_says_no_secret(sign: str) -> None:
    ours = f"Key: {KEY}\r\nUserEvent: CtiQueueLeft\r\nQueue: repair\r\nStatus: TIMEOUT\r\n"
    said, guard = heard(true_event("Hangup", sign=sign) + true_event("UserEvent", sign=sign, more=ours), sign=sign)
    assert [message.name for message in said] == ["Hangup", "UserEvent"]
    assert [message.get("Uniqueid") for message in said] == [f"{NOW:.0f}.2"] * 2
    assert not any(secret in message.text for message in said for secret in (NAME, KEY))
    assert guard.refused.total() == 0


@pytest.mark.parametrize(
    ("changed", "doubt"),
    [
        ((f"SystemName: {NAME}", "SystemName: ctizzzzzzzzzzz"), "systemname"),
        ((f"SystemName: {NAME}\r\n", ""), "systemname"),
        ((f"Uniqueid: {NAME}-", "Uniqueid: "), "id"),
        ((f"{NOW:.6f}", f"{NOW - 7200:.6f}"), "time"),
        ((f"{NOW:.6f}", f"{NOW + 7200:.6f}"), "time"),
        (("Priority: 1\r\n", ""), "split"),
        (("Exten: 2\r\n", "Exten: 2\r\nQueue: sales\r\n"), "split"),
        (("Linkedid: ", "Linkedid: a b"), "id"),
        (("\r\n\r\n", "\r\nUniqueid: 1.1\r\n\r\n"), "doubled"),
    ],
)
def test_an_event_that_asterisk_does_not_write(changed: tuple[str, str], doubt: str) -> None:
    data = true_event("Hangup").decode().replace(*changed)
    said, guard = heard(data.encode())
    assert (said, dict(guard.refused)) == ([], {doubt: 1})


def test_an_event_of_our_dialplan_without_its_key() -> None:
    for line in ("", "Key: \r\n", f"Key: {KEY}0\r\n"):
        said, guard = heard(true_event("UserEvent", more=f"{line}UserEvent: CtiVoicemail\r\n"))
        assert (said, dict(guard.refused)) == ([], {"key": 1})


def test_an_asterisk_of_tomorrow_may_write_more() -> None:
    data = true_event("Hangup").replace(b"Exten: ", b"TenantID: x\r\nExten: ")
    said, _ = heard(data)
    assert [message.name for message in said] == ["Hangup"]


def test_another_programs_own_id_stays() -> None:
    data = true_event("Hangup").decode().replace(f"{NAME}-{NOW:.0f}.2", "click-17")
    said, _ = heard(data.encode())
    assert [message.get("Uniqueid") for message in said] == ["click-17"]


def test_a_row_of_an_answer_is_judged_too() -> None:
    row = true_event("CoreShowChannel").decode().replace("Privilege: call,all", "ActionID: action/ours/1/1")
    said, _ = heard(row.encode())
    assert [message.name for message in said] == ["CoreShowChannel"]
    said, guard = heard(row.replace("Exten: 2", "Exten: 2\r\nUniqueid: 1.1").encode())
    assert (said, guard.refused.total()) == ([], 1)


_PIECES = ("\r\n", "\n", "\r", "\r\n\r\n", "Event: ", "Hangup", "UserEvent", "Privilege: call,all", "Uniqueid: ", "1.1")
caller = st.lists(
    st.sampled_from((*_PIECES, "Linkedid: ", "Channel: x", "Queue: q", "Interface: PJSIP/a", "QueueMemberRemoved", "x"))
).map(lambda pieces: "".join(pieces)[:79])


@pytest.mark.parametrize("sign", [NAME, ""], ids=["systemname", "looks"])
@given(st.lists(st.tuples(caller, caller), min_size=1, max_size=3))
def test_no_79_characters_are_believed(sign: str, calls: Sequence[tuple[str, str]]) -> None:
    data = b"".join(true_event("Newchannel", number=number, dialled=dialled, sign=sign) for number, dialled in calls)
    said, _ = heard(data + true_event("Hangup", sign=sign), sign=sign)
    assert said[-1].name == "Hangup"
    assert {message.name for message in said[:-1]} <= {"Newchannel"}
    for message in said:
        assert message.get("Uniqueid") == f"{NOW:.0f}.2"
