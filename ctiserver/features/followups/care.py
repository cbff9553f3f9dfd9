"""Records that nobody calls about: service due, warranty ending, care dates, parts that came. Each is raised once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from functools import partial
from zoneinfo import ZoneInfo

import structlog

from ctiserver.clock import Clock
from ctiserver.model.expression import expression
from ctiserver.model.expression.expression import Context
from ctiserver.model.ids import RecordId, new_ulid
from ctiserver.model.json_value import Json
from ctiserver.model.work.care_rule import MADE_UP, CareRule, Subject
from ctiserver.model.work.record import Record
from ctiserver.site.load import Site
from ctiserver.store.database import Database
from ctiserver.store.faults import Duplicate
from ctiserver.store.patience import now_and_again
from ctiserver.store.setting_aside import SettingAside

log = structlog.get_logger(__name__)

_LOOK_EVERY_S = 600.0
_BATCH = 500
#: Kinds of work that is set aside: a whole rule, and one of the objects that it looks at.
_RULE, _SUBJECT = "care_rule", "care"


class Care:
    """Looks at what is known, and raises the records that the site's rules want."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        site: Site,
        *,
        zone: ZoneInfo,
        opened: Callable[[Record], None] = lambda record: None,
        aside: SettingAside | None = None,
    ) -> None:
        """``opened`` is told of each record after its commit."""
        self._aside = aside or SettingAside(database, clock)
        self._aside.add_kind(_RULE)
        self._aside.add_kind(_SUBJECT)
        self._database = database
        self._clock = clock
        self._site = site
        self._zone = zone
        self._opened = opened

    async def tend(self) -> None:
        """Look at start and every ten minutes, so that a new day is seen soon; until cancelled."""
        await now_and_again(self.look, _LOOK_EVERY_S, "care_store_away")

    async def look(self) -> int:
        """Raise every record that is due and has not been raised; how many that were."""
        today = self._clock.now().astimezone(self._zone).date()
        raised = 0
        for name, rule in self._site.care_rules.items():
            found: list[int] = []
            await self._aside.contain(_RULE, name, partial(self._look_by, name, rule, today, found))
            raised += sum(found)
        if raised:
            log.info("records_raised_by_data", records=raised)
        return raised

    async def _look_by(self, name: str, rule: CareRule, today: date, raised: list[int]) -> None:
        async with self._database.reading() as uow:
            known = await uow.raised_records.known(name, today - MADE_UP)
        after = ""
        while True:
            async with self._database.reading() as uow:
                batch = await uow.care_subjects.batch(rule.of, rule.date_, after, _BATCH, self._zone)
            for subject in batch:
                work = partial(self._look_at, name, rule, subject, today, known, raised)
                await self._aside.contain(_SUBJECT, f"{name}/{subject.id}", work, about=rule.of)
            if len(batch) < _BATCH:
                break
            after = batch[-1].id

    async def _look_at(  # noqa: PLR0917
        self,
        name: str,
        rule: CareRule,
        subject: Subject,
        today: date,
        known: frozenset[tuple[str, date]],
        raised: list[int],
    ) -> None:
        for due_on in rule.due_on(subject.day, today):
            if (subject.id, due_on) not in known and self._meant(rule, subject):
                raised.append(await self._raise(name, rule, subject, due_on))

    def _context(self) -> Context:
        return Context(now=self._clock.now(), zone=self._zone)

    def _meant(self, rule: CareRule, subject: Subject) -> bool:
        if rule.where is None:
            return True
        return expression.parse(rule.where.removeprefix("=")).evaluate(subject.names, self._context()) is True

    async def _raise(self, name: str, rule: CareRule, subject: Subject, due_on: date) -> bool:
        now = self._clock.now()
        kind = self._site.record_types[rule.raises.type]
        try:
            async with self._database.unit_of_work() as uow:
                record = Record(
                    id=RecordId(new_ulid(now)),
                    number=await uow.records.next_number(now.astimezone(self._zone).date()),
                    type=rule.raises.type,
                    subject=rule.subject(subject.names, self._context()),
                    contact_id=subject.contact_id,
                    site_id=subject.site_id,
                    device_id=subject.device_id,
                    priority=kind.priority if rule.raises.priority is None else rule.raises.priority,
                    opened_at=now,
                    updated_at=now,
                )
                await uow.records.add(record)
                # Another server may have been faster: its row stands, and nothing of ours is kept.
                await uow.raised_records.add(name, subject.id, due_on, record.id, now)
                why: dict[str, Json] = {"rule": name, "due_on": due_on.isoformat(), "type": record.type}
                await uow.records.write_line(record.id, now, "server", "raised_by_rule", why)
                if kind.process is not None:
                    await uow.outbox.start_process(record.id, kind.process, now)
        except Duplicate:
            return False
        self._opened(record)
        return True
