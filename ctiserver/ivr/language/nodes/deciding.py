"""set, branch, hours, lookup, service_record, event, callback: what needs no ear."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from ctiserver.ivr.language.node_base import (
    ELSEWHERE,
    Computed,
    Condition,
    Look,
    Need,
    NodeBase,
    NodeName,
    Place,
    SiteName,
    Stored,
    UsedName,
    VariableName,
)
from ctiserver.ivr.language.requests import Answer, Done, Failed, Find, Leave, Move, OpenRecord, RequestCallback, Tell
from ctiserver.ivr.language.visit import Visit
from ctiserver.model.expression.expression import Value
from ctiserver.strict_yaml import Duration, Written


class Set(NodeBase):
    """Give variables a value."""

    kind: Literal["set"]
    values: Annotated[dict[VariableName, Computed], Field(min_length=1)]

    silent: ClassVar[bool] = True
    goes_on_alone: ClassVar[bool] = True

    def stored(self) -> Iterator[Stored]:
        for name in self.values:
            yield Stored(("values", name), name, None, ("ok",))

    def enter(self, visit: Visit) -> Move:
        for name, expression in self.values.items():
            visit.set(name, visit.value(expression))
        return Leave("ok")


class Case(Written):
    """One condition of a branch, and where it leads."""

    if_: Annotated[Condition, Field(alias="if")]
    go: NodeName


class Branch(NodeBase):
    """The first condition that holds decides, else ``else``."""

    kind: Literal["branch"]
    when: Annotated[tuple[Case, ...], Field(min_length=1)]
    else_: Annotated[NodeName, Field(alias="else")]

    main_outcome: ClassVar[str | None] = None
    silent: ClassVar[bool] = True
    look: ClassVar[Look] = Look.DECIDES

    def outcomes(self) -> Mapping[str, Need]:
        return {}

    def conditions(self) -> Iterator[Place]:
        for index in range(len(self.when)):
            yield "when", index, "if"

    def enter(self, visit: Visit) -> Move:
        for number, case in enumerate(self.when, 1):
            if visit.true(case.if_):
                return Leave(f"case {number}", case.go)
        return Leave("else", self.else_)

    def targets(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        for index, case in enumerate(self.when):
            yield ("when", index, "go"), case.go
        yield ("else",), self.else_

    def edges(self) -> Iterator[tuple[str, str]]:
        for number, case in enumerate(self.when, 1):
            yield f"case {number}", case.go
        yield "else", self.else_


class Hours(NodeBase):
    """Whether a calendar says open, closed or holiday now."""

    kind: Literal["hours"]
    calendar: SiteName | None = None  #: None: the dialled number's own

    main_outcome: ClassVar[str | None] = None
    silent: ClassVar[bool] = True
    look: ClassVar[Look] = Look.DECIDES

    @property
    def caption(self) -> str:
        return self.calendar or ""

    def outcomes(self) -> Mapping[str, Need]:
        return {"open": Need.WIRED, "closed": Need.WIRED, "holiday": Need.MAY, "error": Need.ERROR}

    def target(self, outcome: str) -> str | None:
        return super().target(outcome) or (super().target("closed") if outcome == "holiday" else None)

    def used_names(self) -> Iterator[UsedName]:
        if self.calendar is not None:
            yield UsedName(("calendar",), "calendar", self.calendar)

    def enter(self, visit: Visit) -> Move:
        number = visit.facts.get("number")
        name = self.calendar or (number.get("calendar") if isinstance(number, Mapping) else None)
        calendar = visit.world.calendars.get(str(name))
        if calendar is None:
            return Leave("error", detail=f"no calendar {name}")
        return Leave(calendar.at(visit.now).state)


def _found(visit: Visit, store: str | None, value: Value) -> None:
    if store is not None:
        visit.set(store, value)


class Lookup(NodeBase):
    """Find a contact, a device, a record, or ask a web service."""

    kind: Literal["lookup"]
    find: Literal["contact", "device", "record", "http"]
    by: Annotated[dict[VariableName, Computed], Field(min_length=1)]
    url: Annotated[str, Field(pattern=r"^https?://")] | None = None
    store: VariableName | None = None
    within: Duration = timedelta(seconds=2)

    main_outcome: ClassVar[str | None] = None
    silent: ClassVar[bool] = True
    look: ClassVar[Look] = Look.DECIDES

    @property
    def caption(self) -> str:
        return self.find

    @model_validator(mode="after")
    def _url(self) -> Lookup:
        if (self.find == "http") != (self.url is not None):
            raise ValueError("url: is for find: http, and find: http needs it")
        return self

    def outcomes(self) -> Mapping[str, Need]:
        several = {} if self.find == "http" else {"several": Need.WIRED}
        return {"found": Need.WIRED, **several, "none": Need.WIRED, "error": Need.ERROR}

    def stored(self) -> Iterator[Stored]:
        if self.store is not None:
            yield Stored(("store",), self.store, "answer" if self.find == "http" else self.find, ("found",))

    def enter(self, visit: Visit) -> Move:
        by = {name: visit.value(expression) for name, expression in self.by.items()}
        return Find(self.find, by, self.within.total_seconds(), self.url or "")

    def answered(self, visit: Visit, answer: Answer) -> Move:
        match answer:
            case Done(value=rows) if isinstance(rows, list | tuple):
                if len(rows) == 1:
                    _found(visit, self.store, rows[0])
                    return Leave("found")
                return Leave("several" if rows else "none")
            case Failed(reason=reason):
                return Leave("error", detail=reason)
        return super().answered(visit, answer)


class ServiceRecord(NodeBase):
    """Open a service record, or change the one this call has."""

    kind: Literal["service_record"]
    type: SiteName | None = None  #: of a new record
    update: Computed | None = None  #: a record's id, such as =record.id: its fields are changed instead
    fields: dict[VariableName, Computed] = {}  # noqa: RUF012

    silent: ClassVar[bool] = True
    safe: ClassVar[bool] = True
    leaves_served: ClassVar[bool] = True
    goes_on_alone: ClassVar[bool] = True
    look: ClassVar[Look] = Look.RECORD

    @property
    def caption(self) -> str:
        return self.type or ""

    @model_validator(mode="after")
    def _either(self) -> ServiceRecord:
        if (self.type is None) == (self.update is None):
            raise ValueError("write type: to open a record, or update: =record.id to change one")
        return self

    def outcomes(self) -> Mapping[str, Need]:
        return {"ok": Need.WIRED, "error": Need.ERROR}

    def used_names(self) -> Iterator[UsedName]:
        if self.type is not None:
            yield UsedName(("type",), "record type", self.type, tuple(self.fields))

    def enter(self, visit: Visit) -> Move:
        fields = {name: visit.value(expression) for name, expression in self.fields.items()}
        return OpenRecord(self.type or "", fields, visit.text(self.update) if self.update is not None else "")

    def answered(self, visit: Visit, answer: Answer) -> Move:
        match answer:
            case Done(value=record):
                if isinstance(record, Mapping):
                    visit.learn("record", record)
                return Leave("ok")
            case Failed(reason=reason):
                return Leave("error", detail=reason)
        return super().answered(visit, answer)


class Event(NodeBase):
    """Tell the rest of the system, or a web service. The call does not wait to hear what happens to it."""

    kind: Literal["event"]
    event: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_.]{0,59}$")]
    url: Annotated[str, Field(pattern=r"^https?://")] | None = None
    data: dict[VariableName, Computed] = {}  # noqa: RUF012

    silent: ClassVar[bool] = True
    safe: ClassVar[bool] = True
    goes_on_alone: ClassVar[bool] = True

    def enter(self, visit: Visit) -> Move:
        return Tell(self.event, {name: visit.value(value) for name, value in self.data.items()}, self.url or "")

    def answered(self, visit: Visit, answer: Answer) -> Move:
        match answer:
            case Done() | Failed():
                return Leave("ok")
        return super().answered(visit, answer)


class Callback(NodeBase):
    """Promise to call back, and keep the caller's place in the queue."""

    kind: Literal["callback"]
    queue: SiteName
    number: Computed | None = None  #: None: the number that calls

    safe: ClassVar[bool] = True
    leaves_served: ClassVar[bool] = True
    goes_on_alone: ClassVar[bool] = True
    look: ClassVar[Look] = Look.PERSON

    @property
    def caption(self) -> str:
        return self.queue

    @property
    def destination(self) -> str | None:
        return ELSEWHERE

    def used_names(self) -> Iterator[UsedName]:
        yield UsedName(("queue",), "queue", self.queue)

    def outcomes(self) -> Mapping[str, Need]:
        return {"ok": Need.WIRED, "error": Need.ERROR}

    def enter(self, visit: Visit) -> Move:
        call = visit.facts.get("call")
        ani = call.get("ani") if isinstance(call, Mapping) else ""
        number = visit.text(self.number) if self.number is not None else str(ani or "")
        return RequestCallback(number, self.queue) if number else Leave("error", detail="no number to call back")

    def answered(self, visit: Visit, answer: Answer) -> Move:
        match answer:
            case Done():
                return Leave("ok")
            case Failed(reason=reason):
                return Leave("error", detail=reason)
        return super().answered(visit, answer)
