"""Refused calls are counted, and many of them in a short time are told of once."""

from __future__ import annotations

from structlog.testing import capture_logs

from ctiserver.metrics import exposition
from ctiserver.refused_calls import MANY, WITHIN_S, RefusedCalls


def test_twenty_within_a_minute_are_an_error_in_the_log_at_once_and_once_a_minute() -> None:
    now = [0.0]
    refused = RefusedCalls(lambda: now[0])
    with capture_logs() as logs:
        for _ in range(MANY - 1):
            refused.note("flow")
            now[0] += 0.4
        assert logs == []
        refused.note("desk")
        [told] = logs
        assert (told["event"], told["calls"], told["last_by"], told["log_level"]) == (
            "many_calls_refused", MANY, "desk", "error",
        )  # fmt: skip
        for _ in range(MANY):
            refused.note("desk")
        assert len(logs) == 1
        now[0] += WITHIN_S
        for _ in range(MANY):
            refused.note("desk")
        assert len(logs) == 2
    assert 'ctiserver_calls_refused_total{by="flow"}' in exposition().decode()


def test_as_many_over_a_longer_time_are_not_told_of() -> None:
    now = [0.0]
    refused = RefusedCalls(lambda: now[0])
    with capture_logs() as logs:
        for _ in range(5 * MANY):
            refused.note("flow")
            now[0] += WITHIN_S / (MANY - 2)
    assert logs == []
    assert not refused.many
