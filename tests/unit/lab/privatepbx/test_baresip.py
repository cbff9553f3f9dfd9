"""What baresip's events say of a phone's calls."""

from __future__ import annotations

import json

from ctiserver.lab.privatepbx.baresip import Control


def _said(control: Control, *messages: dict[str, object]) -> None:
    packet = b""
    for message in messages:
        body = json.dumps(message).encode()
        packet += b"%d:%b," % (len(body), body)
    control.data_received(packet)


def _dialled(call: str) -> dict[str, object]:
    return {"response": True, "ok": True, "data": f"call id: {call}", "token": "1"}


def _event(kind: str, call: str, param: str = "") -> dict[str, object]:
    return {"event": True, "type": kind, "id": call, "param": param}


def test_a_call_that_is_answered_and_ended_in_one_packet_was_answered() -> None:
    control = Control()
    _said(
        control, _dialled("a"), _event("CALL_ESTABLISHED", "a"), _event("CALL_CLOSED", "a", "Connection reset by peer")
    )
    assert control.answered
    assert control.calls == set()


def test_a_call_that_is_refused_was_not_answered_whatever_else_is_established() -> None:
    control = Control()
    _said(control, _event("CALL_ESTABLISHED", "earlier"), _dialled("b"), _event("CALL_CLOSED", "b", "486 Busy Here"))
    assert not control.answered
    assert control.reason == "486 Busy Here"
    _said(control, _dialled("c"))
    assert not control.answered  # another call begins as not answered
    _said(control, _event("CALL_ESTABLISHED", "c"))
    assert control.answered
