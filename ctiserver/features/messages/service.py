"""Use cases of messages: what happened to a record becomes messages, and they are sent until the far side has them.

A line of a record's timeline that a rule names is left in the outbox with its own commit. Here it becomes messages, in
one unit of work with its being done with; so that a kill at any instant loses none and makes none twice. Sending is at
least once: a crash between the far side's answer and its being noted sends again, under the same id.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from functools import partial
from zoneinfo import ZoneInfo

import structlog

from ctiserver.clock import Clock
from ctiserver.features.messages.carriers import Carrier, NotSent
from ctiserver.model import message as model
from ctiserver.model import numbers
from ctiserver.model.contact import Contact
from ctiserver.model.ids import RecordId, new_ulid
from ctiserver.model.json_value import Json
from ctiserver.model.message import Message, MessageState, Via
from ctiserver.model.set_aside import reason_of
from ctiserver.model.work.record import Record
from ctiserver.site.message_rules import CustomerMessage, MessageRules
from ctiserver.store.database import Database
from ctiserver.store.faults import Conflict, StoreUnavailable
from ctiserver.store.repositories.outbox import OutboxRow
from ctiserver.store.repositories.records import TIMELINE
from ctiserver.store.setting_aside import Kind, SettingAside, outbox_kind
from ctiserver.store.unit_of_work import UnitOfWork

log = structlog.get_logger(__name__)

#: How long to wait at most before looking again: another server may have left something.
_LOOK_EVERY_S = 5.0
_PAGE = 100
#: Kinds of work that is set aside: a line of a timeline that makes no message, and a message whose row can't be read.
_LINE, _UNREADABLE = "timeline", "message"


class Messages:
    """Messages to the world outside."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        rules: MessageRules,
        carriers: Mapping[Via, Carrier],
        *,
        region: str,
        time_zone: str,
        language: str,
        aside: SettingAside | None = None,
    ) -> None:
        """``region``: how national numbers are read; ``language``: of contacts whose own is not known."""
        self._database = database
        self._clock = clock
        self._rules = rules
        self._carriers = carriers
        self._region = region
        self._zone = ZoneInfo(time_zone)
        self._language = language
        self._wake = asyncio.Event()
        self._aside = aside or SettingAside(database, clock)
        self._aside.add_kind(_LINE, outbox_kind(self._wake.set))
        self._aside.add_kind(_UNREADABLE, Kind(hide=_hide_message, show=_show_message, wake=self._wake.set))
        database.follow_timelines(
            [rule.on for rule in rules.customers if rule.via in carriers]
            + [kind for hook in rules.webhooks.values() for kind in hook.on]
        )
        database.on_outbox([TIMELINE], self._wake.set)

    async def run(self) -> None:
        """Make messages and send them, until cancelled."""
        while True:
            self._wake.clear()
            try:
                while await self.write() or await self.send():
                    pass
                pause_s = await self._pause_s()
            except (StoreUnavailable, Conflict) as error:  # the database is away: what is to be done stays there
                log.error("messages_wait", reason=str(error))
                pause_s = _LOOK_EVERY_S
            try:
                async with asyncio.timeout(pause_s):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def write(self) -> int:
        """Turn what happened into messages; how many lines were done with."""
        now = self._clock.now()
        async with self._database.reading() as uow:
            if not await uow.outbox.waiting([TIMELINE], 1):
                return 0  # nothing to do is what is found most of the time, and writers wait for each other
        try:
            return await self._write(now)
        except (StoreUnavailable, Conflict):
            raise
        except Exception as error:  # noqa: BLE001 - whose it is, is found by trying each alone
            log.warning("messages_parted", why=str(error))
        async with self._database.reading() as uow:
            left, unreadable = await uow.outbox.readable([TIMELINE], _PAGE)
        for key, why in unreadable.items():
            await self._aside.put(_LINE, key, why)
        for row in left:
            said: dict[str, Json] = row.payload if isinstance(row.payload, dict) else {}
            record_id = said.get("record_id")
            await self._aside.contain(
                _LINE,
                row.id,
                partial(self._write, now, row.id),
                about=str(said.get("kind") or ""),
                record_id=RecordId(record_id) if isinstance(record_id, str) else None,
            )
        return len(left) + len(unreadable)

    async def _write(self, now: datetime, only: str | None = None) -> int:
        """Turn the lines that wait, or only one of them, into messages with one commit."""
        async with self._database.unit_of_work() as uow:
            left = await uow.outbox.waiting([TIMELINE], _PAGE, claim=True, only=only)
            for row in left:
                for message in await self._messages_of(uow, row, now):
                    await uow.messages.add_once(message)
            await uow.outbox.handed([row.id for row in left], now)
        return len(left)

    async def send(self) -> int:
        """Send what is due; how many were tried."""
        async with self._database.reading() as uow:
            due, unreadable = await uow.messages.due(self._clock.now())
        for key, error in unreadable.items():
            await self._aside.put(_UNREADABLE, key, error)
        for message in due:
            await self._aside.contain(
                _UNREADABLE, message.id, partial(self._send, message), about=message.to, record_id=message.record_id
            )
        return len(due) + len(unreadable)

    async def _send(self, message: Message) -> None:
        tried = await self._try(message)
        async with self._database.unit_of_work() as uow:
            kept = await uow.messages.lock(message.id)
            if kept.state == "queued" and kept.attempts == message.attempts:
                await uow.messages.save(tried)

    async def page(self, state: MessageState | None, before: str | None, limit: int) -> list[Message]:
        """The newest first."""
        async with self._database.reading() as uow:
            return await uow.messages.page(state=state, before=before, limit=limit)

    async def again(self, message_id: str) -> Message:
        """Send a dead message after all. Raises NotFound, NotDead."""
        async with self._database.unit_of_work() as uow:
            message = model.again(await uow.messages.lock(message_id), self._clock.now())
            await uow.messages.save(message)
        self._wake.set()
        return message

    async def receipt(self, message_id: str, *, delivered: bool, reason: str) -> Message:
        """The gateway tells what happened to a message; told twice it is as told once. Raises NotFound."""
        now = self._clock.now()
        async with self._database.unit_of_work() as uow:
            message = await uow.messages.lock(message_id)
            if delivered and message.delivered_at is None:
                message = replace(message, state="delivered", delivered_at=now, error="")
            elif not delivered and message.state == "sent":
                message = replace(message, state="dead", error=reason or "the gateway could not deliver it")
            await uow.messages.save(message)
        return message

    async def answered(self, number: str, text: str) -> bool:
        """A customer answered an SMS: a stop word opts the number out, a start word in. Whether it was a stop word."""
        key = numbers.normal(number, self._region)
        word = text.strip().casefold()
        stops = word in {one.casefold() for one in self._rules.sms.stop_words}
        starts = word in {one.casefold() for one in self._rules.sms.start_words}
        if key is not None and (stops or starts):
            async with self._database.unit_of_work() as uow:
                if stops:
                    await uow.messages.opt_out(key, self._clock.now())
                else:
                    await uow.messages.opt_in(key)
        return stops

    async def _pause_s(self) -> float:
        async with self._database.reading() as uow:
            due = await uow.messages.next_due()
        if due is None:
            return _LOOK_EVERY_S
        return min(_LOOK_EVERY_S, max(0.05, (due - self._clock.now()).total_seconds()))

    async def _try(self, message: Message) -> Message:
        now = self._clock.now()
        if message.via == "sms":
            async with self._database.reading() as uow:
                if await uow.messages.opted_out(message.to):
                    return replace(message, state="suppressed", error="opted out")
        carrier = self._carriers.get(message.via)
        if carrier is None:
            return model.failed(message, now, f"messages.yaml sets up no {message.via}")
        try:
            await carrier.carry(message)
        except NotSent as error:
            log.warning("message_not_sent", message=message.id, via=message.via, reason=str(error))
            return model.failed(message, self._clock.now(), str(error), for_good=error.for_good)
        except Exception as error:  # the edge of one message: it is dead with its reason, and can be sent again
            log.exception("message_cannot_be_sent", message=message.id, via=message.via)
            return model.failed(message, self._clock.now(), reason_of(error), for_good=True)
        cost = Decimal(self._rules.sms.price) if message.via == "sms" else Decimal(0)
        return model.sent(message, self._clock.now(), cost)

    async def _messages_of(self, uow: UnitOfWork, row: OutboxRow, now: datetime) -> list[Message]:
        said = dict(row.payload)
        record = await uow.records.get(RecordId(str(said["record_id"])))
        made = list(self._to_systems(row, record, said, now))
        contact = None if record.contact_id is None else await uow.contacts.find(record.contact_id)
        if contact is not None and not contact.do_not_call:
            for number, rule in enumerate(self._rules.customers):
                if rule.via in self._carriers and _fits(rule, said):
                    values = await self._values(uow, record, said)
                    message = self._to_customer(
                        rule, contact, key=f"{row.id}/{number}", record=record, values=values, now=now
                    )
                    made += [] if message is None else [message]
        return made

    def _to_systems(self, row: OutboxRow, record: Record, said: dict[str, Json], now: datetime) -> Iterable[Message]:
        for name, hook in self._rules.webhooks.items():
            if said["kind"] not in hook.on:
                continue
            body = {
                "id": row.id,
                "at": row.created_at.isoformat(),
                "event": said["kind"],
                "actor": said["actor"],
                "data": said["data"],
                "record": {
                    "id": record.id,
                    "number": record.number,
                    "type": record.type,
                    "status": record.status,
                    "subject": record.subject,
                    "resolution": record.resolution,
                },
            }
            yield Message(
                id=new_ulid(now),
                key=f"{row.id}/{name}",
                via="webhook",
                to=name,
                text=json.dumps(body, ensure_ascii=False),
                record_id=record.id,
                next_at=now,
                created_at=now,
            )

    def _to_customer(
        self,
        rule: CustomerMessage,
        contact: Contact,
        *,
        key: str,
        record: Record,
        values: Mapping[str, str],
        now: datetime,
    ) -> Message | None:
        to = next((number for number in contact.numbers if number), "") if rule.via == "sms" else contact.email
        if not to:
            return None
        language = contact.language or self._language
        return Message(
            id=new_ulid(now),
            key=key,
            via=rule.via,
            to=to,
            subject=_filled(rule.subject, language, values),
            text=_filled(rule.text, language, values),
            record_id=record.id,
            next_at=now,
            created_at=now,
        )

    async def _values(self, uow: UnitOfWork, record: Record, said: dict[str, Json]) -> Mapping[str, str]:
        """What a customer's text may name."""
        data = said["data"] if isinstance(said["data"], dict) else {}
        login = data.get("assignee") or str(said["actor"]).removeprefix("user:")
        person = await uow.users.by_login(str(login))
        orders = [order for order in await uow.work_orders.of_record(record.id) if order.number == data.get("order")]
        order = orders[0] if orders else None
        return {
            "record": record.number,
            "order": "" if order is None else order.number,
            "due": self._day(None if order is None else order.due_at),
            "planned": self._day(None if order is None else order.planned_at),
            "resolution": record.resolution or "",
            "technician": "" if person is None else person.name,
        }

    def _day(self, at: datetime | None) -> str:
        try:
            return "" if at is None else at.astimezone(self._zone).strftime("%Y-%m-%d %H:%M")
        except OverflowError:  # at either end of the calendar there is no other zone
            return ""


async def _hide_message(uow: UnitOfWork, key: str) -> None:
    await uow.messages.set_state(key, "set_aside")


async def _show_message(uow: UnitOfWork, key: str) -> None:
    await uow.messages.set_state(key, "queued")


def _fits(rule: CustomerMessage, said: Mapping[str, Json]) -> bool:
    data = said["data"] if isinstance(said["data"], dict) else {}
    if said["kind"] != rule.on or (rule.order is not None and data.get("kind") != rule.order):
        return False
    return said["kind"] != "notified" or (data.get("whom") == "customer" and rule.what in (None, data.get("what")))


def _filled(texts: Mapping[str, str], language: str, values: Mapping[str, str]) -> str:
    text = texts.get(language) or next(iter(texts.values()), "")
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", value)
    return text
