"""Two attacks that ended the server, and again after each restart: an e-mail address, and a date."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.message import Message as Letter
from pathlib import Path

import pytest
from aiosmtpd.controller import UnthreadedController
from aiosmtpd.handlers import AsyncMessage

from ctiserver.app.composition import App
from ctiserver.features.messages.carriers import MailCarrier, NotSent
from ctiserver.model.contact import Contact
from ctiserver.model.ids import ContactId, RecordId, WorkOrderId, new_ulid
from ctiserver.model.message import Message
from ctiserver.model.work.record import TimelineEntry
from ctiserver.model.work.work_order import WorkOrder
from ctiserver.site.message_rules import MailServer
from tests.poison.registry import poison
from tests.support.desk import Browser
from tests.support.eventually import eventually
from tests.support.rows import a_contact
from tests.support.whole_server import whole_server

PASSWORD = "correct horse battery"


class Letters(AsyncMessage):
    """An SMTP server's mailbox."""

    def __init__(self) -> None:
        super().__init__()
        self.to: list[str] = []

    async def handle_message(self, message: Letter) -> None:
        self.to.append(str(message["X-RcptTo"]))

    async def reach(self, *to: str) -> None:
        """Wait until these have a letter each, and nobody else has one."""

        async def reached() -> list[str]:
            return sorted(self.to)

        await eventually(reached, lambda seen: seen == sorted(to), within_s=30.0)


@pytest.fixture
async def mail() -> AsyncIterator[tuple[int, Letters]]:
    letters = Letters()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(UnthreadedController(letters, loop=loop).factory, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1], letters
    server.close()
    await server.wait_closed()


def rules(port: int) -> dict[str, str]:
    text = "text: {zh-CN: '{record} {planned}', en: '{record} {planned}'}"
    return {
        "messages.yaml": f"email: {{host: 127.0.0.1, port: {port}, tls: none, sender: service@example.com}}\n"
        f"customers: [{{on: order_accepted, via: email, subject: {{en: '{{record}}'}}, {text}}}]\n"
    }


async def _told(app: App, contact: Contact, number: str, *, planned_at: datetime | None = None) -> RecordId:
    """A record of the contact's, with an order that was accepted a moment ago."""
    now = datetime.now(UTC)
    async with app.database.unit_of_work() as uow:
        await uow.contacts.add(contact)
    record = (await app.features.records.open("repair", actor="user:x", contact_id=contact.id)).record
    order = WorkOrder(
        id=WorkOrderId(new_ulid(now)), number=number, key=number, kind="dispatch", record_id=record.id,
        process_id=None, step="visit", state="accepted", planned_at=planned_at, created_at=now, updated_at=now,
    )  # fmt: skip
    async with app.database.unit_of_work() as uow:
        await uow.work_orders.add(order)
        line = TimelineEntry(
            id=new_ulid(now), record_id=record.id, at=now, actor="user:technician", kind="order_accepted",
            data={"order": number, "kind": "dispatch"},
        )  # fmt: skip
        await uow.records.note(line)
    return record.id


def _healthy(app: App) -> bool:
    return app.supervisor.names == app.supervisor.running and app.supervisor.failing == ()


@poison("messages")
@pytest.mark.parametrize(
    "email", ["li.min@example.com.", "(none)@example.com", "x@[y", "li,min@example.com", "a@b\x7f", "@"]
)
async def test_an_odd_address_that_is_kept_already_stops_no_other_letter(
    tmp_path: Path, database_url: str, mail: tuple[int, Letters], email: str
) -> None:
    port, letters = mail
    async with whole_server(tmp_path, database_url=database_url, files=rules(port)) as app:
        odd = a_contact(id=ContactId(new_ulid(datetime.now(UTC))), email=email)
        await _told(app, odd, "D1")
        await _told(app, a_contact(email="zhang@example.com", numbers=("+8613800138001",)), "D2")
        await letters.reach("zhang@example.com")

        async def became() -> list[tuple[str, str, bool]]:
            found = await app.features.messages.page(None, None, 10)
            return sorted((message.state, message.to, "e-mail address" in message.error) for message in found)

        wanted = [("dead", email, True), ("sent", "zhang@example.com", False)]
        await eventually(became, lambda seen: seen == wanted, within_s=30.0)
        assert _healthy(app)
    # and again after a restart, which was the worst of it
    async with whole_server(tmp_path, database_url=database_url, files=rules(port)) as app:
        await _told(app, a_contact(email="wang@example.com", numbers=("+8613800138002",)), "D3")
        await letters.reach("wang@example.com", "zhang@example.com")
        assert _healthy(app)


@poison("messages", "workflow")
@pytest.mark.parametrize(
    "edge", [datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC) + timedelta(days=1)]
)
async def test_a_visit_at_the_end_of_the_calendar_stops_no_other_letter(
    tmp_path: Path, database_url: str, mail: tuple[int, Letters], edge: datetime
) -> None:
    port, letters = mail
    async with whole_server(tmp_path, database_url=database_url, files=rules(port)) as app:
        await _told(app, a_contact(email="odd@example.com"), "D1", planned_at=edge)
        await _told(app, a_contact(email="zhang@example.com", numbers=("+8613800138001",)), "D2")
        await letters.reach("odd@example.com", "zhang@example.com")
        assert _healthy(app)


async def test_both_are_refused_at_the_entrance(tmp_path: Path) -> None:
    async with whole_server(tmp_path) as app, Browser(app.url) as browser:
        await app.features.users.add("boss", name="B", role="admin", password=PASSWORD)
        await browser.log_in("boss", PASSWORD)
        contact = a_contact()
        record = await _told(app, contact, "D1")
        for email in ("li.min@example.com.", "(none)@example.com", "x@[y", "li,min@example.com", "a@b, c@d"):
            change = {"name": "A", "revision": 1, "email": email}
            problem = await browser.json("PATCH", f"/api/v1/contacts/{contact.id}", change, status=422)
            assert list(problem["fields"]) == ["email"]
        async with app.database.reading() as uow:
            [order] = await uow.work_orders.of_record(record)
        for at in (
            "9999-12-31T23:59:59+00:00",
            "9999-12-31T23:59:59-14:00",
            "0001-01-01T00:00:00+14:00",
            "2099-01-01T00:00:00Z",
        ):
            problem = await browser.json(
                "POST", f"/api/v1/work-orders/{order.id}/place", {"planned_at": at}, status=422
            )
            assert list(problem["fields"]) == ["planned_at"]
            absence = {"login": "boss", "until": at}
            assert list((await browser.json("POST", "/api/v1/absences", absence, status=422))["fields"]) == ["until"]
            await browser.json("GET", f"/api/v1/missed-calls/figures?since={at.replace('+', '%2B')}", status=422)
        assert _healthy(app)


async def test_two_addresses_in_one_are_sent_to_nobody(tmp_path: Path, mail: tuple[int, Letters]) -> None:
    port, letters = mail
    carrier = MailCarrier(MailServer(host="127.0.0.1", port=port, tls="none", sender="service@example.com"), tmp_path)
    now = datetime.now(UTC)
    message = Message(id="m", key="k", via="email", to="li,min@example.com", text="x", next_at=now, created_at=now)
    with pytest.raises(NotSent, match="not an e-mail address"):
        await carrier.carry(message)
    await carrier.carry(replace(message, to="min@example.com", subject="two\nlines"))
    assert letters.to == ["min@example.com"]
