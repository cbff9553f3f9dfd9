"""What happens to records is told to the world outside: to a real SMS gateway, a real SMTP server, a real webhook."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.message import Message as Letter
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web
from aiosmtpd.controller import UnthreadedController
from aiosmtpd.handlers import AsyncMessage

from ctiserver.clock import ManualClock
from ctiserver.errors import FileFault, UserFault
from ctiserver.features.messages.carriers import carriers
from ctiserver.features.messages.service import Messages
from ctiserver.model.ids import WorkOrderId, new_ulid
from ctiserver.model.message import PAUSES, Message, signature
from ctiserver.model.work.record import Record, TimelineEntry
from ctiserver.model.work.work_order import WorkOrder
from ctiserver.resources import shipped
from ctiserver.site.load import load_site
from ctiserver.site.message_rules import MessageRules
from tests.support.desk import Browser, Desk, desk


@dataclass
class Gateway:
    """A web service that keeps what it is sent, and answers what the test wants."""

    url: str = ""
    got: list[tuple[Mapping[str, str], bytes]] = field(default_factory=list)
    answers: Callable[[int], int] = lambda attempt: 200

    async def take(self, request: web.Request) -> web.Response:
        self.got.append((dict(request.headers), await request.read()))
        return web.Response(status=self.answers(len(self.got)), text="as the test wants")

    @property
    def bodies(self) -> list[Any]:
        return [json.loads(body) for _, body in self.got]


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    it = Gateway()
    application = web.Application()
    application.router.add_post("/", it.take)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    it.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    yield it
    await runner.cleanup()


class Letters(AsyncMessage):
    """An SMTP server's mailbox."""

    def __init__(self) -> None:
        super().__init__()
        self.got: list[Letter] = []

    async def handle_message(self, message: Letter) -> None:
        self.got.append(message)


@pytest.fixture
async def mail() -> AsyncIterator[tuple[int, Letters]]:
    letters = Letters()
    server = await asyncio.get_running_loop().create_server(
        UnthreadedController(letters, loop=asyncio.get_running_loop()).factory, "127.0.0.1", 0
    )
    yield server.sockets[0].getsockname()[1], letters
    server.close()
    await server.wait_closed()


@dataclass
class Outside:
    """The desk with rules of its own, its messages' service, and a record that things happen to."""

    desk: Desk
    clock: ManualClock
    messages: Messages
    record: Record
    order: WorkOrder

    async def happens(self, kind_: str, /, **data: Any) -> None:
        now = self.clock.now()
        entry = TimelineEntry(
            id=new_ulid(now), record_id=self.record.id, at=now, actor="user:technician", kind=kind_, data=data
        )
        async with self.desk.database.unit_of_work() as uow:
            await uow.records.note(entry)

    async def settle(self) -> None:
        """All that is to be done now is done."""
        while await self.messages.write() or await self.messages.send():
            pass

    async def all(self) -> list[Message]:
        return sorted(await self.messages.page(None, None, 100), key=lambda message: message.id)


RULES: dict[str, Any] = {
    "sms": {"token_file": "sms.token", "price": "0.05", "stop_words": ("TD", "STOP")},
    "customers": (
        {"on": "order_accepted", "order": "dispatch", "text": {"zh-CN": "{record} {technician} 最晚 {due}", "en": "{record} by {due}"}},
        {"on": "notified", "what": "backordered", "text": {"zh-CN": "{record} 缺件"}},
    ),
    "webhooks": {},
}  # fmt: skip


@pytest.fixture
async def outside(tmp_path: Path, gateway: Gateway) -> AsyncIterator[Callable[..., Any]]:
    """Makes the desk with these rules besides those above."""
    clock = ManualClock(datetime(2026, 11, 23, 2, 0, tzinfo=UTC))
    running: list[Any] = []

    async def made(**more: Any) -> Outside:
        (tmp_path / "sms.token").write_text("sesame\n")
        (tmp_path / "crm.secret").write_text("secret of the crm\n")
        rules = {**RULES, **more}
        rules["sms"] = {**RULES["sms"], "url": gateway.url, **more.get("sms", {})}
        site = replace(load_site(shipped("config")), directory=tmp_path, messages=MessageRules.model_validate(rules))
        context = desk(tmp_path, site=site, clock=clock)
        it = await context.__aenter__()
        running.append(context)
        await it.add_user("technician", "technician", name="陈师傅")
        await it.add_user("machine", "machine")
        await it.add_user("supervisor", "supervisor")
        [contact] = await it.features.contacts.find_or_create("13800000001", "张伟")
        await it.features.contacts.rename(
            contact.id, contact.revision, name="张伟", organisation="", note="", email="zhang@example.com"
        )
        record = (await it.features.records.open("repair", actor="user:x", contact_id=contact.id)).record
        now = clock.now()
        order = WorkOrder(
            id=WorkOrderId(new_ulid(now)), number="D1", key="k", kind="dispatch", record_id=record.id, process_id=None,
            step="visit", state="accepted", due_at=now + timedelta(hours=4), created_at=now, updated_at=now,
        )  # fmt: skip
        async with it.database.unit_of_work() as uow:
            await uow.work_orders.add(order)
        service = Messages(
            it.database, clock, site.messages, carriers(site.messages, site.directory, clock),
            region="CN", time_zone="Asia/Shanghai", language="zh-CN",
        )  # fmt: skip
        return Outside(it, clock, service, record, order)

    yield made
    for context in running:
        await context.__aexit__(None, None, None)


async def test_a_customer_is_told_of_the_visit_once_in_their_language_and_it_costs(
    outside: Callable[..., Any], gateway: Gateway
) -> None:
    it = await outside()
    await it.happens("order_accepted", order="D1", kind="dispatch")
    await it.happens("order_accepted", order="X1", kind="parts")  # no rule speaks of that
    await it.settle()
    await it.settle()
    [message] = await it.all()
    assert (message.state, str(message.cost), message.to) == ("sent", "0.05", "+8613800000001")
    [(headers, _)] = gateway.got
    assert headers["Authorization"] == "Bearer sesame"
    assert headers["Idempotency-Key"] == message.id
    assert gateway.bodies == [
        {"id": message.id, "to": "+8613800000001", "text": f"{it.record.number} 陈师傅 最晚 2026-11-23 14:00"}
    ]


async def test_what_a_process_wants_a_customer_told_is_told(outside: Callable[..., Any], gateway: Gateway) -> None:
    it = await outside()
    await it.happens("notified", whom="customer", what="backordered", order="k")
    await it.happens("notified", whom="owner", what="backordered", order="k")
    await it.settle()
    assert [body["text"] for body in gateway.bodies] == [f"{it.record.number} 缺件"]


async def test_who_answers_stop_gets_no_more(outside: Callable[..., Any], gateway: Gateway) -> None:
    it = await outside()
    token = await it.desk.features.users.issue_token("machine", days=1)
    async with ClientSession(headers={"Authorization": f"Bearer {token}"}) as http:
        for text, stopped in (("thanks", False), (" td ", True)):
            async with http.post(
                f"{it.desk.url}/api/v1/sms-answers", json={"number": "13800000001", "text": text}
            ) as answer:
                assert (answer.status, await answer.json()) == (200, {"stopped": stopped})
    await it.happens("order_accepted", order="D1", kind="dispatch")
    await it.settle()
    assert [(message.state, message.error) for message in await it.all()] == [("suppressed", "opted out")]
    assert gateway.got == []
    assert not await it.messages.answered("13800000001", " start ")
    await it.happens("order_accepted", order="D1", kind="dispatch")
    await it.settle()
    assert [message.state for message in await it.all()] == ["suppressed", "sent"]
    assert len(gateway.got) == 1


async def test_do_not_call_is_do_not_write(outside: Callable[..., Any], gateway: Gateway) -> None:
    it = await outside()
    async with it.desk.database.unit_of_work() as uow:
        contact = await uow.contacts.get(it.record.contact_id)
        await uow.contacts.update(replace(contact, do_not_call=True))
    await it.happens("order_accepted", order="D1", kind="dispatch")
    await it.settle()
    assert await it.all() == []


async def test_a_gateway_that_is_down_is_asked_again_under_the_same_id_with_longer_pauses(
    outside: Callable[..., Any], gateway: Gateway
) -> None:
    it = await outside()
    gateway.answers = lambda attempt: 200 if attempt == 3 else 503
    await it.happens("order_accepted", order="D1", kind="dispatch")
    await it.settle()
    for pause in PAUSES[:2]:
        it.clock.advance(pause.total_seconds() - 1)
        tried = len(gateway.got)
        await it.settle()
        assert len(gateway.got) == tried  # not before its time
        it.clock.advance(1)
        await it.settle()
    [message] = await it.all()
    assert (message.state, message.attempts) == ("sent", 3)
    assert {headers["Idempotency-Key"] for headers, _ in gateway.got} == {message.id}


async def test_a_dead_message_can_be_looked_at_and_sent_again(outside: Callable[..., Any], gateway: Gateway) -> None:
    it = await outside()
    gateway.answers = lambda attempt: 422
    await it.happens("order_accepted", order="D1", kind="dispatch")
    await it.settle()
    async with Browser(it.desk.url) as supervisor:
        await supervisor.log_in("supervisor")
        [dead] = (await supervisor.json("GET", "/api/v1/messages?state=dead"))["messages"]
        assert (dead["attempts"], dead["error"]) == (1, "422 as the test wants")
        gateway.answers = lambda attempt: 200
        await supervisor.json("POST", f"/api/v1/messages/{dead['id']}/again")
        await it.settle()
        assert (await supervisor.ask("POST", f"/api/v1/messages/{dead['id']}/again")).status == 409
    assert [message.state for message in await it.all()] == ["sent"]


async def test_it_is_given_up_after_the_last_pause(outside: Callable[..., Any], gateway: Gateway) -> None:
    it = await outside()
    gateway.answers = lambda attempt: 500
    await it.happens("order_accepted", order="D1", kind="dispatch")
    await it.settle()
    for pause in PAUSES:
        it.clock.advance(pause.total_seconds())
        await it.settle()
    [message] = await it.all()
    assert (message.state, message.attempts) == ("dead", len(PAUSES) + 1)


async def test_a_receipt_says_what_became_of_it(outside: Callable[..., Any], gateway: Gateway) -> None:
    it = await outside()
    await it.happens("order_accepted", order="D1", kind="dispatch")
    await it.settle()
    [message] = await it.all()
    token = await it.desk.features.users.issue_token("machine", days=1)
    async with ClientSession(headers={"Authorization": f"Bearer {token}"}) as http:
        for delivered in (True, False):  # what comes after the arrival is an echo
            receipt = {"delivered": delivered, "reason": "unknown number"}
            async with http.post(f"{it.desk.url}/api/v1/messages/{message.id}/receipt", json=receipt) as answer:
                assert (await answer.json())["state"] == "delivered"


async def test_a_webhook_is_signed_and_told_what_it_asked_for(outside: Callable[..., Any], gateway: Gateway) -> None:
    hook = {"url": gateway.url, "secret_file": "crm.secret", "on": ("disposed", "closed")}
    it = await outside(webhooks={"crm": hook}, customers=())
    await it.happens("disposed", disposition="solved")
    await it.happens("called_again", priority=3)
    await it.settle()
    [(headers, body)] = gateway.got
    proof = signature("secret of the crm", int(headers["X-Ctiserver-Timestamp"]), body)
    assert headers["X-Ctiserver-Signature"] == f"sha256={proof}"
    said = json.loads(body)
    assert (said["event"], said["record"]["number"]) == ("disposed", it.record.number)
    assert said["data"] == {"disposition": "solved"}


async def test_a_letter_reaches_the_mail_server(outside: Callable[..., Any], mail: tuple[int, Letters]) -> None:
    port, letters = mail
    rule = {
        "on": "closed",
        "via": "email",
        "subject": {"zh-CN": "服务单 {record}"},
        "text": {"zh-CN": "结果：{resolution}"},
    }
    server = {"host": "127.0.0.1", "port": port, "tls": "none", "sender": "service@example.com"}
    it = await outside(customers=(rule,), email=server)
    await it.happens("closed")
    await it.settle()
    [message] = await it.all()
    [letter] = letters.got
    assert (message.state, letter["To"], letter["Message-ID"]) == (
        "sent", "zhang@example.com", f"<{message.id}@example.com>",
    )  # fmt: skip
    text = letter.get_payload(decode=True)
    assert isinstance(text, bytes)
    assert text.decode().strip() == "结果："


async def test_a_mail_server_that_is_away_is_asked_again(outside: Callable[..., Any], unused_tcp_port: int) -> None:
    rule = {"on": "closed", "via": "email", "text": {"en": "closed"}}
    server = {"host": "127.0.0.1", "port": unused_tcp_port, "tls": "none", "sender": "service@example.com"}
    it = await outside(customers=(rule,), email=server)
    await it.happens("closed")
    await it.settle()
    [message] = await it.all()
    assert (message.state, message.attempts) == ("queued", 1)
    assert "127.0.0.1" in message.error


async def test_a_line_that_did_not_commit_tells_nobody(outside: Callable[..., Any], gateway: Gateway) -> None:
    it = await outside()

    async def break_off() -> None:
        async with it.desk.database.unit_of_work() as uow:
            now = it.clock.now()
            data = {"order": "D1", "kind": "dispatch"}
            await uow.records.note(
                TimelineEntry(
                    id=new_ulid(now), record_id=it.record.id, at=now, actor="x", kind="order_accepted", data=data
                )
            )
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await break_off()
    await it.settle()
    assert await it.all() == []


async def test_two_servers_make_and_send_a_message_once(outside: Callable[..., Any], gateway: Gateway) -> None:
    it = await outside()
    await it.happens("order_accepted", order="D1", kind="dispatch")
    async with asyncio.TaskGroup() as group:
        for _ in range(10):
            group.create_task(it.messages.write())
    assert len(await it.all()) == 1


async def test_where_nothing_is_left_to_write_no_writer_waits_for_it(outside: Callable[..., Any]) -> None:
    it = await outside()
    async with it.desk.database.unit_of_work():  # on SQLite the only one that may write, and nobody opens a second
        assert await it.messages.write() == 0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("customers: [{on: closed, text: {en: 'dear {name}'}}]\n", "{name} can't be filled in; known: record"),
        ("sms: {url: sms.example.com}\n", "is not a web service's address"),
        ("webhooks: {crm: {url: 'https://a', on: [closed]}}\n", "secret_file"),
    ],
)
def test_rules_that_can_not_be_are_refused_with_their_place(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "messages.yaml").write_text(text)
    with pytest.raises(FileFault) as fault:
        load_site(tmp_path)
    assert "messages.yaml:1:" in str(fault.value)
    assert says in str(fault.value)


def test_a_secret_that_is_not_there_is_said_at_the_start(tmp_path: Path) -> None:
    rules = MessageRules.model_validate({"sms": {"url": "https://a", "token_file": "sms.token"}})
    with pytest.raises(UserFault, match=r"messages.yaml: sms.token_file: can't read sms.token"):
        carriers(rules, tmp_path, ManualClock(datetime(2026, 1, 1, tzinfo=UTC)))
