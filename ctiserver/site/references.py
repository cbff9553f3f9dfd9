"""What one file of the site names in another, and whether it is there: each problem with its place."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from ctiserver.errors import Problem
from ctiserver.model.work import record_fields
from ctiserver.model.work.care_rule import CareRulesFile
from ctiserver.resources import shipped

#: A queue as app_queue calls it; FreePBX calls them by numbers.
from ctiserver.site.files import (
    DiallingFile,
    DispositionsFile,
    EmergencyFile,
    NumbersFile,
    PhonesFile,
    QueuesFile,
    RecordTypesFile,
)
from ctiserver.strict_yaml import Document, load, parse, suggest


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


def unknown_overflows(document: Document, file: QueuesFile) -> Iterator[Problem]:
    for name, queue in file.queues.items():
        if queue.overflow is not None and queue.overflow not in file.queues:
            place = document.place(("queues", name, "overflow"))
            yield Problem(
                place, "CT-007", f"no queue is named {queue.overflow!r}", suggest(queue.overflow, file.queues)
            )


def unknown_types(document: Document, file: DispositionsFile, types: RecordTypesFile) -> Iterator[Problem]:
    for name, disposition in file.dispositions.items():
        for index, wanted in enumerate(disposition.types):
            if wanted not in types.record_types:
                place = document.place(("dispositions", name, "types", index))
                yield Problem(
                    place, "CT-008", f"no record type is named {wanted!r}", suggest(wanted, types.record_types)
                )


def no_help(document: Document, file: EmergencyFile) -> Iterator[Problem]:
    if not file.numbers:
        yield Problem(
            document.place(("country",)),
            "CT-010",
            f"no emergency number is known for {file.country}",
            "write an ISO 3166 country such as CN, and its numbers under more where it has none here",
        )


def in_the_way(document: Document, file: PhonesFile, emergency: EmergencyFile) -> Iterator[Problem]:
    for index, phone in enumerate(file.phones):
        if phone.extension in emergency.numbers:
            yield Problem(
                document.place(("phones", index, "extension")),
                "CT-011",
                f"{phone.extension} is an emergency number, and can't be the extension of {phone.name}",
                "choose another; emergency.yaml names these numbers",
            )


def unknown_names(document: Document, file: RecordTypesFile) -> Iterator[Problem]:
    """Conditions of fields that read what a record of the type does not have."""
    for type_name, type_ in file.record_types.items():
        known = ["payer", "disposition", *(f"fields.{name}" for name in type_.fields)]
        for name, config in type_.fields.items():
            for path in record_fields.condition_reads(config.required_when) if config.required_when else ():
                read = ".".join(path[:2]) if path[0] == "fields" else path[0]
                if read not in known:
                    place = document.place(("record_types", type_name, "fields", name, "required_when"))
                    yield Problem(place, "CT-012", f"a record of this type has no {read!r}", suggest(read, known))


def unknown_raised(document: Document, file: CareRulesFile, types: RecordTypesFile) -> Iterator[Problem]:
    for name, rule in file.rules.items():
        if rule.raises.type not in types.record_types:
            place = document.place(("rules", name, "raises", "type"))
            yield Problem(
                place,
                "CT-008",
                f"no record type is named {rule.raises.type!r}",
                suggest(rule.raises.type, types.record_types),
            )


def unknown_message_type(document: Document, file: RecordTypesFile) -> Iterator[Problem]:
    wanted = file.messages_become
    if wanted not in file.record_types:
        place = document.place(("messages_become",))
        yield Problem(place, "CT-008", f"no record type is named {wanted!r}", suggest(wanted, file.record_types))
