"""What the routes of service records answer: for the API's description, and held to by its tests."""

from __future__ import annotations

from typing import Self

from ctiserver.model.work.work_order import WorkOrder
from ctiserver.site.files import RecordType
from ctiserver.web.routes import Answer, JsonAnswer, Moment


class RecordAnswer(Answer):
    """A service record."""

    id: str
    number: str
    type: str
    status: str
    subject: str
    contact_id: str | None
    caller_number: str
    owner: str | None
    payer: str
    complainant: str  #: who complains or asks, where that is somebody else than the contact
    complainant_number: str
    priority: int
    repeat_calls: int  #: how often somebody rang again about it while it was open
    disposition: str | None
    resolution: str | None
    notes: str
    fields: JsonAnswer
    opened_at: Moment
    updated_at: Moment
    closed_at: Moment | None
    revision: int


class RecordsAnswer(Answer):
    """A page of records, the newest first; with ``owner=me`` all that are open, urgent ones first."""

    records: list[RecordAnswer]
    before: str | None  #: for the next page; None: this is the last


class OpenedAnswer(RecordAnswer):
    """The record, which was opened (201) or was there already (200)."""

    new: bool


class RecordContactAnswer(Answer):
    id: str
    name: str
    organisation: str
    tier: str
    numbers: list[str]
    revision: int


class RecordOrderAnswer(Answer):
    id: str
    number: str
    kind: str
    state: str
    outcome: str | None
    due_at: Moment | None
    planned_at: Moment | None
    late: bool
    considered: list[JsonAnswer]  #: who was looked at for it, and what was said of each; as in a work order's answer
    assigned: JsonAnswer | None  #: how it came to the person who has it

    @classmethod
    def of_order(cls, order: WorkOrder) -> Self:
        """An order, as its record shows it."""
        payload = order.payload
        return cls.of(order, considered=payload.get("considered", []), assigned=payload.get("assigned"))


class TimelineAnswer(Answer):
    at: Moment
    actor: str
    kind: str
    data: JsonAnswer


class WholeRecordAnswer(RecordAnswer):
    """A record with everything about it."""

    owner_name: str | None
    contact: RecordContactAnswer | None
    calls: list[str]
    work_orders: list[RecordOrderAnswer]
    timeline: list[TimelineAnswer]


class FieldAnswer(Answer):
    name: str
    title: dict[str, str]
    kind: str
    choices: dict[str, dict[str, str]]
    required: bool


class RecordTypeAnswer(Answer):
    name: str
    title: dict[str, str]
    fields: list[FieldAnswer]

    @classmethod
    def of_type(cls, name: str, type_: RecordType) -> Self:
        """A type by its name."""
        fields = type_.fields.items()
        return cls.of(
            type_,
            name=name,
            fields=[FieldAnswer.of(it, name=field, required=it.required != "never") for field, it in fields],
        )


class RecordTypesAnswer(Answer):
    """record_types.yaml"""

    record_types: list[RecordTypeAnswer]


class DispositionAnswer(Answer):
    code: str
    title: dict[str, str]
    does: str
    types: list[str]
    required: list[str]


class DispositionsAnswer(Answer):
    """dispositions.yaml"""

    dispositions: list[DispositionAnswer]
