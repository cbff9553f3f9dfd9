"""What the routes of screen-pops answer: for the API's description, and held to by its tests."""

from __future__ import annotations

from datetime import date
from typing import Self

from ctiserver.features.screenpop.service import Shown
from ctiserver.model import numbers
from ctiserver.web.routes import Answer, JsonAnswer, Moment


class PopContactAnswer(Answer):
    id: str
    name: str
    organisation: str
    email: str
    tier: str
    note: str
    numbers: list[str]
    revision: int


class PopSiteAnswer(Answer):
    name: str
    address: str
    local_person: str
    local_number: str


class PopDeviceAnswer(Answer):
    serial: str
    model: str
    warranty_until: date | None


class PopRecordAnswer(Answer):
    id: str
    number: str
    type: str
    status: str
    subject: str
    priority: int
    opened_at: Moment


class PopCallAnswer(Answer):
    id: str
    direction: str
    started_at: Moment
    outcome: str | None
    agent_id: str | None


class PopStepAnswer(Answer):
    flow: str
    node: str
    outcome: str | None
    data: JsonAnswer


class ShownAnswer(Answer):
    """What an agent's desk shows of a call. A withheld number is empty."""

    pop_id: str
    call_id: str
    phase: str
    since: Moment
    ani: str
    caller_name: str
    dnis: str
    outbound: bool
    """We called: ``ani`` is whom, ``dnis`` the number we showed."""
    looked_up: bool
    """False: the database was away; ask again with POST /api/v1/pops/mine/refresh."""
    queue: str | None
    called_at: Moment | None
    contacts: list[PopContactAnswer]
    sites: list[PopSiteAnswer]
    devices: list[PopDeviceAnswer]
    records: list[PopRecordAnswer]
    open_records: list[PopRecordAnswer]
    last_calls: list[PopCallAnswer]
    path: list[PopStepAnswer]

    @classmethod
    def of_shown(cls, shown: Shown) -> Self:
        """What a desk shows."""
        withheld = numbers.withheld
        return cls.of(
            shown,
            ani="" if withheld(shown.ani) else shown.ani,
            caller_name="" if withheld(shown.caller_name) else shown.caller_name,
        )


class MyPopAnswer(Answer):
    """What one's own desk shows; None: nothing."""

    pop: ShownAnswer | None


class PopAnswer(Answer):
    id: str
    agent_id: str
    contact_id: str | None
    record_id: str | None
    sent_at: Moment
    painted_at: Moment | None
    reason: str | None


class PopsAnswer(Answer):
    """To whom a call was shown, and when."""

    pops: list[PopAnswer]
