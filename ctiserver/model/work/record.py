"""The service record (服务单): what a caller wants, and all that is done about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from ctiserver.model.ids import AgentId, ContactId, DeviceId, RecordId, SiteId
from ctiserver.model.json_value import Json

RecordStatus = Literal["open", "closed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One service record. Until it is closed one person, the owner, answers for it."""

    id: RecordId
    number: str  #: what people say: ``R20261121-0001``
    type: str  #: a name from record_types.yaml
    status: RecordStatus = "open"
    subject: str = ""
    contact_id: ContactId | None = None
    caller_number: str = ""  #: the number of the call that opened it; empty when withheld
    site_id: SiteId | None = None
    device_id: DeviceId | None = None
    owner: AgentId | None = None
    payer: str = ""  #: ``customer``, ``maker`` or ``company``; empty while open
    complainant: str = ""  #: who complains or asks, where that is somebody else than the contact
    complainant_number: str = ""
    priority: int = 0  #: raised by repeat calls: by its process as that says, else by one
    repeat_calls: int = 0  #: how often somebody rang again about it while it was open (催单)
    repeat_call_at: datetime | None = None  #: when last
    disposition: str | None = None
    resolution: str | None = None  #: how its process closed it
    notes: str = ""
    fields: Mapping[str, Json] = field(default_factory=dict)
    opened_at: datetime
    updated_at: datetime
    closed_at: datetime | None = None
    revision: int = 1


#: The kind of a timeline's entry: somebody was promised a call back. Its data: number, reason, queue, call_id.
CALLBACK_ASKED = "callback_requested"


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineEntry:
    """One thing that a person, a caller or a timer did to a record."""

    id: str  #: ULID; entries sort by it
    record_id: RecordId
    at: datetime
    actor: str  #: ``user:<login>``, ``call:<call id>``, ``process`` or ``timer``
    kind: str  #: a word that the console has a text for, such as ``order_accepted``
    data: Mapping[str, Json] = field(default_factory=dict)
