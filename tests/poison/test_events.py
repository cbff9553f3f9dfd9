"""Events with the worst that their fields can hold, for every service that follows the bus; then an ordinary call."""

from __future__ import annotations

import asyncio
import dataclasses
import types
import typing
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ctiserver.app.composition import App
from ctiserver.bus import Bus
from ctiserver.model.events import CallEvent, MemberChanged, PbxEvent, PbxUp
from ctiserver.model.ids import PbxName
from tests.poison.registry import poison
from tests.support.desk import PhoneLine
from tests.support.eventually import eventually
from tests.support.whole_server import whole_server

#: For each type of field, one bad value a round; a round without one repeats its last. What is of another type can't
#: come: events are made by our own typed code, of what Asterisk said.
POISON: dict[type, list[Any]] = {
    str: ["\x00", "\ud800", "x" * 100_000, "'; DROP TABLE calls; --", "", "٣" * 40],
    int: [2**70, -(2**70), -1, 0],
    bool: [True, False],
    datetime: [datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC), datetime.fromtimestamp(0, UTC)],
}
ROUNDS = max(map(len, POISON.values()))


def _bad(hint: Any, number: int) -> Any:
    """A bad value for a field of this type."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return _bad(next(part for part in typing.get_args(hint) if part is not type(None)), number)
    if origin is typing.Literal:
        return ["a word of next year", "", "\x00", "x" * 1000, "answered", "inbound"][number]
    if origin is tuple:
        return (_bad(typing.get_args(hint)[0], number),) * (number % 3)
    if dataclasses.is_dataclass(hint):
        return _made(typing.cast(Any, hint), number, keep=())
    hint = getattr(hint, "__supertype__", hint)
    values = POISON[hint]
    return values[min(number, len(values) - 1)]


def _made(kind: type[Any], number: int, *, keep: tuple[str, ...]) -> Any:
    hints = typing.get_type_hints(kind)
    return kind(
        **{
            field.name: PbxName("main") if field.name in keep else _bad(hints[field.name], number)
            for field in dataclasses.fields(kind)
        }
    )


def kinds(base: type[PbxEvent] = PbxEvent) -> Iterator[type[PbxEvent]]:
    """Every event that there is."""
    for kind in base.__subclasses__():
        if kind is not CallEvent:
            yield kind
        yield from kinds(kind)


#: All that follow the bus.
FOLLOWERS = (
    "missed-calls", "board", "agents", "queues", "call-log", "telephony", "lost-talks", "callbacks",
    "recordings", "records", "screen-pops", "pops-kept", "follow-ups", "hung-up-flows", "fallback-hours",
)  # fmt: skip


def healthy(app: App) -> bool:
    return app.supervisor.names == app.supervisor.running and app.supervisor.failing == ()


@poison(*FOLLOWERS, "board-teller", "board-forgetter")
async def test_every_event_with_the_worst_in_its_fields(tmp_path: Path, database_url: str) -> None:
    assert len(set(kinds())) >= 17
    async with whole_server(tmp_path, database_url=database_url) as app:
        await app.features.users.add(
            "agent1", name="A", role="agent", password="correct horse battery", extension="101", skills=("repair",)
        )
        await app.features.agents.load()
        [(agent, _)] = app.features.agents.everybody()
        for number in range(ROUNDS):
            for kind in kinds():
                for keep in (("pbx",), ()):
                    app.bus.publish(_made(kind, number, keep=keep))
            await asyncio.sleep(0)
        queue = next(iter(app.features.queues._queues))
        app.bus.publish(PbxUp(pbx=PbxName("main"), at=datetime.now(UTC), version="22", epoch=datetime.now(UTC)))
        app.bus.publish(
            MemberChanged(
                pbx=PbxName("main"), at=datetime.now(UTC), queue=queue, interface=agent.interface, name="A", present=True,
                dynamic=True, paused=False, pause_reason="", penalty=0, status="free", in_call=False,
            )
        )  # fmt: skip
        line = PhoneLine(app.bus, "1795295764.1", queue=queue)
        line.start("张伟")
        record = (await app.features.records.open("repair", actor="user:x", call_id=line.id)).record
        line.ring(agent.interface)

        async def shown() -> object:
            return app.features.pops.shown_to(agent.id)

        await eventually(shown, within_s=60.0)
        line.answer(agent.interface)

        async def owner() -> str | None:
            async with app.database.reading() as uow:
                return (await uow.records.get(record.id)).owner

        await eventually(owner, lambda found: found == agent.id, within_s=60.0)
        assert app.features.agents.presence(agent.id).state == "talking"
        line.end("abandoned")

        async def logged() -> str | None:
            async with app.database.reading() as uow:
                entry = await uow.calls.find(line.id)
            return None if entry is None else entry.outcome

        await eventually(logged, lambda outcome: outcome == "abandoned", within_s=60.0)

        async def missed() -> list[str]:
            async with app.database.reading() as uow:
                return [found.number for found in await uow.missed_calls.page()]

        await eventually(missed, lambda found: "+8613800000001" in found, within_s=60.0)
        assert healthy(app)
        failed = app.bus.not_taken_in
        assert failed  # the poison was poison
        assert {item.service for item in failed} <= set(FOLLOWERS)


async def test_an_event_that_fails_is_kept_with_its_reason_and_taken_in_again() -> None:
    bus, taken, broken = Bus(), [], [True]

    def take_in(event: str) -> None:
        if broken[0] and event == "bad":
            raise ValueError("no such\nqueue")
        taken.append(event)

    for event in ("bad", "good"):
        await bus.take_in("queues", event, take_in)
    assert taken == ["good"]
    [item] = bus.not_taken_in
    assert (item.service, item.reason, item.tries) == ("queues", "ValueError: no such queue", 1)
    assert not await bus.again(item.id)
    [item] = bus.not_taken_in
    assert item.tries == 2
    broken[0] = False
    assert await bus.again(item.id)
    assert taken == ["good", "bad"]
    assert bus.not_taken_in == []
    with pytest.raises(KeyError):
        bus.drop(item.id)


async def test_of_events_that_fail_for_ever_only_the_newest_are_kept() -> None:
    bus = Bus()

    def fails(_: int) -> None:
        raise ValueError

    for number in range(1000):
        await bus.take_in("queues", number, fails)
    assert [item.event for item in bus.not_taken_in] == list(range(999, 799, -1))
