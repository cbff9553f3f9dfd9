"""The site: every file of ``config/``, read strictly into one frozen tree."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from ctiserver.errors import FileFault, Problem, UserFault
from ctiserver.model.work.care_rule import CareRule, CareRulesFile
from ctiserver.resources import shipped

#: A queue as app_queue calls it; FreePBX calls them by numbers.
from ctiserver.site.files import (
    Automatic,
    DiallingFile,
    Disposition,
    DispositionsFile,
    EmergencyFile,
    NumberConfig,
    NumbersFile,
    Outbound,
    PauseReason,
    PauseReasonsFile,
    Phone,
    PhonesFile,
    QueueConfig,
    QueuesFile,
    RecordType,
    RecordTypesFile,
    Trunk,
    TrunksFile,
)
from ctiserver.site.message_rules import MessageRules
from ctiserver.site.price_list import Goods
from ctiserver.site.references import (
    in_the_way,
    no_help,
    unknown_message_type,
    unknown_names,
    unknown_overflows,
    unknown_raised,
    unknown_types,
)
from ctiserver.strict_yaml import Document, Written, load, parse

W = TypeVar("W", bound=Written)


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
        raise UserFault(
            "is not a directory", where=str(directory), fix="Name the folder with queues.yaml in config_dir"
        )
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
    problems.extend(unknown_overflows(*queues))
    problems.extend(unknown_types(*dispositions, types[1]))
    problems.extend(unknown_message_type(*types))
    problems.extend(unknown_raised(*care, types[1]))
    problems.extend(unknown_names(*types))
    problems.extend(no_help(*emergency))
    problems.extend(in_the_way(*phones, emergency[1]))
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
