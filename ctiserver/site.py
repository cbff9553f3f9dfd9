"""The site: what admins edit in ``config/`` beside ``ctiserver.yaml``, read strictly into one frozen tree."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, Field

from ctiserver.errors import FileFault, Problem, UserFault
from ctiserver.message_rules import MessageRules
from ctiserver.model import record_fields
from ctiserver.model.care_rule import CareRule, CareRulesFile
from ctiserver.model.emergency import emergency_numbers
from ctiserver.model.record_fields import FieldKind
from ctiserver.price_list import Amount, Goods
from ctiserver.resources import shipped
from ctiserver.strict_yaml import Document, Duration, Name, TimeZone, Written, load, parse, suggest

#: A queue as app_queue calls it; FreePBX calls them by numbers.
QueueKey = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,79}$")]
Texts = dict[str, str]  #: language → text

W = TypeVar("W", bound=Written)

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
        raise ValueError(f'{text!r} is no number; write digits in quotes, or "*" for every other number')
    return text


def _alias(text: str) -> str:
    flow, _, alias = text.partition("@")
    if not flow or (alias not in ("", "prod", "test")):
        raise ValueError(f"{text!r} names no flow; write flow, flow@prod or flow@test")
    return text


def _percent(text: str) -> str:
    if not text.endswith("%") or not text[:-1].isdecimal() or not 0 <= int(text[:-1]) <= 100:
        raise ValueError(f"{text!r} is no share; write it like 10%")
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
        raise ValueError(f"{text!r} says not which calls are recorded; write never, always, or a share such as 20%")
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
        raise ValueError(f'{text!r} is no beginning of an international number; write it as "+86"')
    return text


class Outbound(Written):
    """Which numbers outside may be called."""

    allow: tuple[Annotated[str, AfterValidator(_prefix)], ...] = ()
    refuse: tuple[Annotated[str, AfterValidator(_prefix)], ...] = ()


def _rate(text: str) -> str:
    if not re.fullmatch(r"\d{1,9}(\.\d{1,4})?", text):
        raise ValueError(f'{text!r} is no price of a minute; write it in quotes, such as "0.0125"')
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


@dataclass(frozen=True, slots=True)
class Site:
    """Everything in ``config/`` that was read and found consistent."""

    directory: Path
    numbers: dict[str, NumberConfig] = field(default_factory=dict)
    queues: dict[str, QueueConfig] = field(default_factory=dict)
    record_types: dict[str, RecordType] = field(default_factory=dict)
    message_type: str = ""  #: the record type that voicemails open
    dispositions: dict[str, Disposition] = field(default_factory=dict)
    pause_reasons: dict[str, PauseReason] = field(default_factory=dict)
    phones: tuple[Phone, ...] = ()
    trunks: tuple[Trunk, ...] = ()
    emergency: EmergencyFile = field(default_factory=EmergencyFile)
    outbound: Outbound = field(default_factory=Outbound)
    automatic: Automatic = field(default_factory=Automatic)
    care_rules: dict[str, CareRule] = field(default_factory=dict)
    goods: Goods = field(default_factory=Goods)
    messages: MessageRules = field(default_factory=MessageRules)

    def number(self, dnis: str) -> NumberConfig | None:
        """What a dialled number leads to: its own entry, else ``*``."""
        return self.numbers.get(dnis) or self.numbers.get("*")


def load_site(directory: Path) -> Site:
    """Read a site's ``config/``; a file that it lacks is taken from those that ctiserver ships.

    Raises FileFault with every problem of every file, each with its place.
    """
    if not directory.is_dir():
        raise UserFault("is no folder", where=str(directory), fix="Name the folder with queues.yaml in config_dir")
    problems: list[Problem] = []

    def read(name: str, model: type[W]) -> tuple[Document, W] | None:
        path = directory / name
        try:
            document = load(path if path.exists() else shipped("config", name))
            return document, parse(document, model)
        except FileFault as fault:
            problems.extend(fault.problems)
            return None

    numbers = read("numbers.yaml", NumbersFile)
    queues = read("queues.yaml", QueuesFile)
    types = read("record_types.yaml", RecordTypesFile)
    dispositions = read("dispositions.yaml", DispositionsFile)
    pauses = read("pause_reasons.yaml", PauseReasonsFile)
    phones = read("phones.yaml", PhonesFile)
    trunks = read("trunks.yaml", TrunksFile)
    emergency = read("emergency.yaml", EmergencyFile)
    dialling = read("dialling.yaml", DiallingFile)
    goods = read("goods.yaml", Goods)
    messages = read("messages.yaml", MessageRules)
    if not (numbers and queues and types and dispositions and pauses and phones and trunks):
        raise FileFault(problems)
    care = read("care_rules.yaml", CareRulesFile)
    if not (emergency and dialling and goods and messages and care):
        raise FileFault(problems)
    problems.extend(_unknown_overflows(*queues))
    problems.extend(_unknown_types(*dispositions, types[1]))
    problems.extend(_unknown_message_type(*types))
    problems.extend(_unknown_raised(*care, types[1]))
    problems.extend(_unknown_names(*types))
    problems.extend(_no_help(*emergency))
    problems.extend(_in_the_way(*phones, emergency[1]))
    if problems:
        raise FileFault(problems)
    return Site(
        directory=directory,
        numbers=dict(numbers[1].numbers),
        queues=dict(queues[1].queues),
        record_types=dict(types[1].record_types),
        message_type=types[1].messages_become,
        dispositions=dict(dispositions[1].dispositions),
        pause_reasons=dict(pauses[1].pause_reasons),
        phones=phones[1].phones,
        trunks=trunks[1].trunks,
        emergency=emergency[1],
        outbound=dialling[1].outbound,
        automatic=dialling[1].automatic,
        care_rules=dict(care[1].rules),
        goods=goods[1],
        messages=messages[1],
    )


def unknown_flows(directory: Path, flows: Collection[str]) -> list[Problem]:
    """Numbers that lead to a flow which is not among ``flows``, each with its place. The site itself must read."""
    path = directory / "numbers.yaml"
    document = load(path if path.exists() else shipped("config", "numbers.yaml"))
    named: list[tuple[tuple[str, ...], str]] = []
    for number, config in parse(document, NumbersFile).numbers.items():
        named.append((("numbers", number, "flow"), config.flow_name))
        if config.rollout is not None:
            named.append((("numbers", number, "rollout", "flow"), config.rollout.flow_name))
    return [
        Problem(document.place(place), "CT-009", f"no flow is named {flow!r}", _suggested(flow, flows))
        for place, flow in named
        if flow not in flows
    ]


def unknown_pbx(directory: Path, pbxs: Collection[str]) -> list[Problem]:
    """What dialling.yaml says about a PBX that is not among ``pbxs``, with its place. The site itself must read."""
    path = directory / "dialling.yaml"
    document = load(path if path.exists() else shipped("config", "dialling.yaml"))
    name = parse(document, DiallingFile).automatic.pbx
    if name in ("", *pbxs):
        return []
    return [Problem(document.place(("automatic", "pbx")), "CT-013", f"no PBX is named {name!r}", suggest(name, pbxs))]


def _suggested(name: str, flows: Collection[str]) -> str:
    flow, _, alias = name.partition("@")
    if alias and flow in flows:
        return f"put its {alias} version into the folder {alias}/ beside {flow}.flow.yaml"
    return suggest(name, flows)


def _unknown_overflows(document: Document, file: QueuesFile) -> Iterator[Problem]:
    for name, queue in file.queues.items():
        if queue.overflow is not None and queue.overflow not in file.queues:
            place = document.place(("queues", name, "overflow"))
            yield Problem(
                place, "CT-007", f"no queue is named {queue.overflow!r}", suggest(queue.overflow, file.queues)
            )


def _unknown_types(document: Document, file: DispositionsFile, types: RecordTypesFile) -> Iterator[Problem]:
    for name, disposition in file.dispositions.items():
        for index, wanted in enumerate(disposition.types):
            if wanted not in types.record_types:
                place = document.place(("dispositions", name, "types", index))
                yield Problem(
                    place, "CT-008", f"no record type is named {wanted!r}", suggest(wanted, types.record_types)
                )


def _no_help(document: Document, file: EmergencyFile) -> Iterator[Problem]:
    if not file.numbers:
        yield Problem(
            document.place(("country",)),
            "CT-010",
            f"no emergency number is known for {file.country}",
            "write an ISO 3166 country such as CN, and its numbers under more where it has none here",
        )


def _in_the_way(document: Document, file: PhonesFile, emergency: EmergencyFile) -> Iterator[Problem]:
    for index, phone in enumerate(file.phones):
        if phone.extension in emergency.numbers:
            yield Problem(
                document.place(("phones", index, "extension")),
                "CT-011",
                f"{phone.extension} calls for help in an emergency, and can't be the extension of {phone.name}",
                "choose another; emergency.yaml names these numbers",
            )


def _unknown_names(document: Document, file: RecordTypesFile) -> Iterator[Problem]:
    """Conditions of fields that read what a record of the type does not have."""
    for type_name, type_ in file.record_types.items():
        known = ["payer", "disposition", *(f"fields.{name}" for name in type_.fields)]
        for name, config in type_.fields.items():
            for path in record_fields.condition_reads(config.required_when) if config.required_when else ():
                read = ".".join(path[:2]) if path[0] == "fields" else path[0]
                if read not in known:
                    place = document.place(("record_types", type_name, "fields", name, "required_when"))
                    yield Problem(place, "CT-012", f"a record of this type has no {read!r}", suggest(read, known))


def _unknown_raised(document: Document, file: CareRulesFile, types: RecordTypesFile) -> Iterator[Problem]:
    for name, rule in file.rules.items():
        if rule.raises.type not in types.record_types:
            place = document.place(("rules", name, "raises", "type"))
            yield Problem(
                place,
                "CT-008",
                f"no record type is named {rule.raises.type!r}",
                suggest(rule.raises.type, types.record_types),
            )


def _unknown_message_type(document: Document, file: RecordTypesFile) -> Iterator[Problem]:
    wanted = file.messages_become
    if wanted not in file.record_types:
        place = document.place(("messages_become",))
        yield Problem(place, "CT-008", f"no record type is named {wanted!r}", suggest(wanted, file.record_types))
