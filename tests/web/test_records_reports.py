"""Other systems report records with a token of their own; the same report is done once, however often it comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from typing import Any

import pytest
from aiohttp import ClientResponse, ClientSession

from ctiserver.errors import UserFault
from ctiserver.model.contact import Device
from ctiserver.model.ids import DeviceId, RecordId, new_ulid
from tests.support.desk import Browser, Desk

ALARM = {"type": "repair", "subject": "压力过低", "serial": "SN0012345678", "fields": {"fault": "E4"}}


class Machine:
    """Another system: it has a token and no cookies, and comes from no web page."""

    def __init__(self, url: str, token: str, http: ClientSession) -> None:
        self._url, self._token, self._http = url, token, http

    async def ask(self, method: str, path: str, body: Any = None, key: str = "") -> ClientResponse:
        headers = {"Authorization": f"Bearer {self._token}"} | ({"Idempotency-Key": key} if key else {})
        async with self._http.request(method, f"{self._url}/api/v1/{path}", json=body, headers=headers) as response:
            await response.read()
            return response

    async def report(self, key: str, **changes: Any) -> Any:
        response = await self.ask("POST", "records", ALARM | changes, key)
        assert response.status in (200, 201), await response.text()
        return await response.json()


@pytest.fixture
async def machine(running: Desk) -> AsyncIterator[Machine]:
    """A device centre's token, and a customer whose device it watches."""
    token = await running.features.users.issue_token("machine", days=30)
    [contact] = await running.features.contacts.find_or_create("13800000001", "张伟")
    async with running.database.unit_of_work() as uow:
        await uow.contacts.add_device(
            Device(
                id=DeviceId(new_ulid(datetime.now(UTC))),
                contact_id=contact.id,
                serial="SN0012345678",
                warranty_until=date(2027, 1, 1),
            )
        )
    async with ClientSession() as http:
        yield Machine(running.url, token, http)


async def _starts(running: Desk) -> list[str]:
    async with running.database.reading() as uow:
        return [row.key for row in await uow.outbox.waiting(["process_start"])]


async def test_an_alarm_opens_a_record_with_device_and_customer_and_starts_its_process(
    running: Desk, machine: Machine
) -> None:
    said = await machine.report("alarm-1")
    assert said["new"] is True
    async with running.database.reading() as uow:
        record = await uow.records.get(RecordId(said["id"]))
        assert record.device_id is not None
        assert record.contact_id is not None
        assert (await uow.contacts.get(record.contact_id)).name == "张伟"
        [opened] = await uow.records.timeline(record.id)
    assert (record.subject, record.fields) == ("压力过低", {"fault": "E4"})
    assert (opened.kind, opened.actor) == ("opened", "user:machine")
    assert await _starts(running) == [f"process_start/{record.id}/repair"]


async def test_the_same_report_a_hundred_times_at_once_is_one_record_and_one_start(
    running: Desk, machine: Machine
) -> None:
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(machine.ask("POST", "records", ALARM, "alarm-1")) for _ in range(100)]
    statuses = [task.result().status for task in asked]
    assert statuses.count(201) == 1
    assert set(statuses) <= {200, 201, 409}  # 409: it is being done at this moment; asking again gives 200
    assert (await machine.report("alarm-1"))["new"] is False
    async with running.database.reading() as uow:
        [record] = await uow.records.recent()
        assert [entry.kind for entry in await uow.records.timeline(record.id)] == ["opened"]
    assert len(await _starts(running)) == 1


async def test_a_new_report_while_the_record_is_open_stands_on_its_timeline(running: Desk, machine: Machine) -> None:
    first = await machine.report("alarm-1")
    again = await machine.report("alarm-2", subject="压力仍过低")
    assert (again["id"], again["new"]) == (first["id"], False)
    async with running.database.reading() as uow:
        kinds = [(entry.kind, entry.data.get("subject")) for entry in await uow.records.timeline(RecordId(first["id"]))]
    assert kinds == [("opened", None), ("reported_again", "压力仍过低")]
    assert len(await _starts(running)) == 1


async def test_a_key_stands_for_one_report(machine: Machine) -> None:
    await machine.report("alarm-1")
    refused = await machine.ask("POST", "records", ALARM | {"subject": "something else"}, "alarm-1")
    assert refused.status == 409
    assert "alarm-1" in (await refused.json())["title"]


@pytest.mark.parametrize(
    ("changes", "key", "says"),
    [
        ({"serial": "SN-UNKNOWN"}, "k", "SN-UNKNOWN"),
        ({"type": "nonsense"}, "k", "nonsense"),
        ({"fields": {"colour": "red"}}, "k", "colour"),
        ({}, "", "Idempotency-Key"),
        ({}, "k" * 129, "Idempotency-Key"),
    ],
)
async def test_what_can_not_be_is_said_and_nothing_is_kept(
    running: Desk, machine: Machine, changes: dict[str, Any], key: str, says: str
) -> None:
    refused = await machine.ask("POST", "records", ALARM | changes, key)
    assert refused.status in (400, 422)
    assert says in (await refused.json())["title"]
    async with running.database.reading() as uow:
        assert await uow.records.recent() == []


async def test_a_token_reaches_nothing_else_and_dies_with_its_account(running: Desk, machine: Machine) -> None:
    assert (await machine.ask("GET", "records")).status == 403
    assert (await machine.ask("POST", "tickets")).status == 403
    await running.features.users.change("machine", active=False, by="user:admin")
    assert (await machine.ask("POST", "records", ALARM, "k")).status == 401


async def test_a_wrong_token_is_nobody_even_beside_a_good_cookie(running: Desk, agent: Browser) -> None:
    refused = await agent.ask("GET", "/api/v1/me", Authorization="Bearer nonsense")
    assert refused.status == 401


async def test_people_have_no_tokens(running: Desk) -> None:
    with pytest.raises(UserFault, match="only machines have tokens"):
        await running.features.users.issue_token("agent1", days=1)
