"""The schema of each file that admins edit in ``config/`` beside ``ctiserver.yaml``."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from ctiserver.model.emergency import emergency_numbers
from ctiserver.model.work import record_fields
from ctiserver.model.work.record_fields import FieldKind
from ctiserver.site.price_list import Amount
from ctiserver.strict_yaml import Duration, Name, TimeZone, Written

#: A queue as app_queue calls it; FreePBX calls them by numbers.


QueueKey = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,79}$")]


Texts = dict[str, str]  #: language → text


Strategy = Literal["longest_idle", "round_robin", "fewest_calls", "random", "ring_all", "in_order"]


#: Our words for how a queue picks an agent, and app_queue's. docs/reference/queues.md holds the same table.
STRATEGIES: dict[Strategy, str] = {
    "longest_idle": "leastrecent",
    "round_robin": "rrmemory",
    "fewest_calls": "fewestcalls",
    "random": "random",
    "ring_all": "ringall",
    "in_order": "linear",
}


def _dial_pattern(text: str) -> str:
    if text != "*" and not text.lstrip("+").isdigit():
        raise ValueError(f'{text!r} is not a valid number; write digits in quotes, or "*" for every other number')
    return text


def _alias(text: str) -> str:
    flow, _, alias = text.partition("@")
    if not flow or (alias not in ("", "prod", "test")):
        raise ValueError(f"{text!r} names no flow; write flow, flow@prod or flow@test")
    return text


def _percent(text: str) -> str:
    if not text.endswith("%") or not text[:-1].isdecimal() or not 0 <= int(text[:-1]) <= 100:
        raise ValueError(f"{text!r} is not a share; write it like 10%")
    return text


Percent = Annotated[str, AfterValidator(_percent)]


class BackAt(Written):
    """What takes a rollout back: more than this share of its calls."""

    failed: Percent = "2%"  #: could not be served by the flow
    abandoned: Percent | None = None  #: hung up unserved

    @property
    def failed_percent(self) -> int:
        return int(self.failed[:-1])

    @property
    def abandoned_percent(self) -> int | None:
        return None if self.abandoned is None else int(self.abandoned[:-1])


class Rollout(Written):
    """Another version for a share of a number's callers."""

    flow: Annotated[str, AfterValidator(_alias)]
    share: Percent
    after: Annotated[int, Field(ge=1, le=1_000_000)] = 50  #: calls before anything is concluded
    back_at: BackAt = BackAt()

    @property
    def flow_name(self) -> str:
        """The flow as the library knows it."""
        return self.flow.removesuffix("@prod")

    @property
    def percent(self) -> int:
        return int(self.share[:-1])


class NumberConfig(Written):
    """What a dialled number leads to."""

    flow: Annotated[str, AfterValidator(_alias)]
    rollout: Rollout | None = None
    calendar: Name | None = None
    time_zone: TimeZone | None = None
    cost_centre: str | None = None
    languages: tuple[str, ...] = ()
    presented: str | None = None  #: the number shown when we call out for it

    @property
    def flow_name(self) -> str:
        """The flow as the library knows it: ``front_desk``, or ``front_desk@test`` for its test version."""
        return self.flow.removesuffix("@prod")


class NumbersFile(Written):
    """numbers.yaml"""

    numbers: dict[Annotated[str, AfterValidator(_dial_pattern)], NumberConfig] = {}  # noqa: RUF012


class WrapUp(Written):
    """After-call work: how long, how often extended, and what then."""

    limit: Duration = timedelta(seconds=60)
    extend_once: Duration = timedelta(0)
    then: Literal["available", "paused"] = "available"


class ServiceLevel(Written):
    """What the service level is measured against."""

    answered_within: Duration = timedelta(seconds=20)
    short_abandon: Duration = timedelta(seconds=5)


class Members(Written):
    """Who takes calls of a queue: agents with any of these skills, or by name."""

    skills: tuple[Name, ...] = ()
    agents: tuple[str, ...] = ()
    penalties: dict[str, Annotated[int, Field(ge=0, le=99)]] = {}  # noqa: RUF012


class Closing(Written):
    """What a queue with a calendar does when its hours end."""

    refuse_before: Duration = timedelta(0)
    drain_until: Duration = timedelta(minutes=15)
    then: Literal["callback", "timeout"] = "timeout"  #: the outcome with which those who still wait go on in the flow


class NoAnswer(Written):
    """What follows when an agent lets a call ring out."""

    pause_after: Annotated[int, Field(ge=0, le=100)] = 0  #: so many in a row pause the agent; 0: never


def _calls_recorded(text: str) -> str:
    share = text.removesuffix("%")
    if text not in ("never", "always") and not (share != text and share.isdecimal() and 1 <= int(share) <= 99):
        raise ValueError(f"{text!r} is not a valid recording rule; write never, always, or a share such as 20%")
    return text


class Recorded(Written):
    """Which calls of a queue are recorded, and what callers are told of it."""

    calls: Annotated[str, AfterValidator(_calls_recorded)] = "never"  #: never, always, or a share such as 20%
    announce: Texts = {}  # noqa: RUF012 - said before the caller waits, if this call is recorded

    @property
    def share(self) -> int:
        """Percent of calls."""
        return {"never": 0, "always": 100}[self.calls] if self.calls.isalpha() else int(self.calls.removesuffix("%"))


class QueueConfig(Written):
    """One queue of queues.yaml."""

    title: Texts = {}  # noqa: RUF012
    strategy: Strategy = "longest_idle"
    members: Members = Members()
    ring: Duration = timedelta(seconds=15)
    retry: Duration = timedelta(seconds=1)
    no_answer: NoAnswer = NoAnswer()
    wrap_up: WrapUp = WrapUp()
    service_level: ServiceLevel = ServiceLevel()
    announce_position_every: Duration | None = None
    record: Recorded = Recorded()
    max_length: Annotated[int, Field(ge=0, le=10_000)] = 0  #: 0: no limit
    calendar: Name | None = None
    closing: Closing = Closing()
    presented: str | None = None  #: the number shown when an agent calls out for this queue
    overflow: QueueKey | None = None  #: takes callers whom this one, full or without agents, can't let wait


class QueuesFile(Written):
    """queues.yaml"""

    queues: dict[QueueKey, QueueConfig] = {}  # noqa: RUF012


class FieldConfig(Written):
    """One field of a service record."""

    title: Texts
    kind: FieldKind = "text"
    choices: dict[str, Texts] = {}  # noqa: RUF012
    required: Literal["never", "at_disposition", "always"] = "never"
    required_when: Annotated[str, AfterValidator(record_fields.condition)] | None = None
    """An expression over ``payer``, ``disposition``, ``fields.NAME``: to be filled in at disposition if it holds."""


class RecordType(Written):
    """One type of service record."""

    title: Texts
    process: Name | None = None  #: the process that starts when a disposition asks for it
    priority: Annotated[int, Field(ge=0, le=9)] = 5
    fields: dict[Name, FieldConfig] = {}  # noqa: RUF012


class RecordTypesFile(Written):
    """record_types.yaml"""

    messages_become: Name  #: the type of record that a voicemail or a wish to be called back opens
    record_types: dict[Name, RecordType]


class Disposition(Written):
    """A result an agent can save, and what it does."""

    title: Texts
    does: Literal["close", "process", "callback", "keep_open"] = "close"
    types: tuple[Name, ...] = ()  #: record types it is offered for; empty: all
    required: tuple[str, ...] = ()  #: fields that must be filled in first


class DispositionsFile(Written):
    """dispositions.yaml"""

    dispositions: dict[Name, Disposition]


class PauseReason(Written):
    """Why an agent takes no calls."""

    title: Texts
    paid: bool = True
    limit: Duration | None = None


class PauseReasonsFile(Written):
    """pause_reasons.yaml"""

    pause_reasons: dict[Name, PauseReason]


class Phone(Written):
    """A SIP phone whose account we write into the PBX's configuration."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,31}$")]
    extension: Annotated[str, Field(pattern=r"^[0-9]{2,6}$")]
    webrtc: bool = False


class PhonesFile(Written):
    """phones.yaml"""

    phones: tuple[Phone, ...] = ()


class Trunk(Written):
    """A SIP trunk whose configuration we write."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,31}$")]
    host: str = "127.0.0.1"  #: calls from this address come in by this trunk
    port: Annotated[int, Field(ge=1, le=65535)] = 5060  #: where calls to outside go, at that address
    codecs: tuple[Literal["ulaw", "alaw", "g722", "opus"], ...] = ("alaw", "ulaw")


class TrunksFile(Written):
    """trunks.yaml"""

    trunks: tuple[Trunk, ...] = ()


def _prefix(text: str) -> str:
    if not re.fullmatch(r"\+[1-9][0-9]{0,14}", text):
        raise ValueError(f'{text!r} is not the start of an international number; write it as "+86"')
    return text


class Outbound(Written):
    """Which numbers outside may be called."""

    allow: tuple[Annotated[str, AfterValidator(_prefix)], ...] = ()
    refuse: tuple[Annotated[str, AfterValidator(_prefix)], ...] = ()


def _rate(text: str) -> str:
    if not re.fullmatch(r"\d{1,9}(\.\d{1,4})?", text):
        raise ValueError(f'{text!r} is not a price per minute; write it in quotes, such as "0.0125"')
    return text


#: What a minute costs, exact, in the site's currency: carriers count in parts of a coin, an amount does not.
Rate = Annotated[str, AfterValidator(_rate)]


class Sample(Written):
    """How many of those who could be asked a flow's questions are."""

    percent: Annotated[int, Field(ge=0, le=100)] = 100
    a_day: Annotated[int, Field(ge=0)] | None = None  #: answers; then the rest waits for the next day


class Automatic(Written):
    """Calls that ctiserver makes by itself: follow-ups and surveys."""

    enabled: bool = False
    pbx: str = ""  #: the one of ctiserver.yaml's pbxs that they go out by; empty: the first
    presented: str = ""  #: the number that is shown; empty: the trunk's
    ring: Duration = timedelta(seconds=30)
    calls_per_s: Annotated[float, Field(gt=0, le=50)] = 1.0
    at_once: Annotated[int, Field(ge=1, le=1000)] = 5
    minutes_a_day: Annotated[int, Field(ge=0)] = 600
    price_a_minute: Rate = "0"
    money_a_day: Amount | None = None
    rest: Duration = timedelta(days=7)  #: so long nobody is asked about another record who has answered a call
    samples: dict[Name, Sample] = {}  # noqa: RUF012


class DiallingFile(Written):
    """dialling.yaml"""

    outbound: Outbound = Outbound()
    automatic: Automatic = Automatic()


class EmergencyFile(Written):
    """emergency.yaml: what every telephone can dial, whatever else is forbidden, closed or down."""

    country: Annotated[str, Field(pattern=r"^[A-Z]{2}$")] = "CN"
    more: tuple[Annotated[str, Field(pattern=r"^[0-9]{2,6}$")], ...] = ()
    trunk: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,31}$")] | None = None

    @property
    def numbers(self) -> tuple[str, ...]:
        """The country's and the further ones."""
        return tuple(dict.fromkeys((*emergency_numbers(self.country), *self.more)))
