"""So many messages at once, and then so many a second."""

from __future__ import annotations

from ctiserver.web.allowance import Allowance


def test_as_many_as_allowed_at_once_and_no_more() -> None:
    allowance = Allowance(3, 1.0)
    assert [allowance.take(10.0) for _ in range(5)] == [True, True, True, False, False]


def test_a_second_gives_as_many_as_allowed_a_second() -> None:
    allowance = Allowance(3, 2.0)
    assert all(allowance.take(10.0) for _ in range(3))
    assert [allowance.take(11.0) for _ in range(3)] == [True, True, False]


def test_a_long_silence_gives_no_more_than_allowed_at_once() -> None:
    allowance = Allowance(3, 2.0)
    assert all(allowance.take(10.0) for _ in range(3))
    assert [allowance.take(1000.0) for _ in range(4)] == [True, True, True, False]
