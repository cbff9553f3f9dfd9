"""Who gives up a place for a new one, and when."""

from __future__ import annotations

from ctiserver.listening.waiting_room import WaitingRoom


def test_nobody_leaves_a_room_that_is_not_full() -> None:
    room: WaitingRoom[int] = WaitingRoom(8)
    assert room.must_leave(0.0) is None
    room.enter(1, 0.0)
    assert room.must_leave(100.0) is None


def test_the_one_who_waited_longest_leaves_once_they_had_a_moment_to_speak() -> None:
    room: WaitingRoom[int] = WaitingRoom(8)
    room.enter(1, 0.0)
    room.enter(2, 0.2)
    assert room.must_leave(0.2) is None
    assert room.must_leave(0.3) == 1
    room.leave(1)
    assert room.must_leave(0.4) is None
    room.enter(3, 0.4)
    assert room.must_leave(0.45) == 2


def test_a_full_room_gives_the_place_of_the_first_whenever_they_came() -> None:
    room: WaitingRoom[int] = WaitingRoom(8)
    for number in range(8):
        room.enter(number, 0.0)
    assert room.must_leave(0.0) == 0
    room.leave(0)
    assert len(room) == 7
    assert 0 not in room
    assert 7 in room


def test_a_room_for_one_holds_one() -> None:
    room: WaitingRoom[int] = WaitingRoom(1)
    room.enter(1, 0.0)
    assert room.must_leave(0.0) == 1


def test_one_of_whom_something_lies_unread_stays_unless_the_room_is_full() -> None:
    room: WaitingRoom[int] = WaitingRoom(8)
    for number in range(3):
        room.enter(number, 0.0)
    assert room.must_leave(1.0, lambda one: one < 2) == 2
    assert room.must_leave(1.0, lambda _: True) is None
    for number in range(3, 8):
        room.enter(number, 0.0)
    assert room.must_leave(1.0, lambda _: True) == 0
