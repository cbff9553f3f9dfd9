"""An adoption as people and programs read it."""

from __future__ import annotations

from collections.abc import Iterable

from ctiserver.features.operations.adoption import Adoption
from ctiserver.model.json_value import Json
from ctiserver.pbx.survey import PbxSurvey


def as_json(adoption: Adoption) -> dict[str, Json]:
    """For ``--json``."""
    found = adoption.found
    return {
        "steps": [
            {
                "title": step.title,
                "done": step.done,
                "words": list(step.words),
                "pieces": [{"file": piece.file, "text": piece.text} for piece in step.pieces],
            }
            for step in adoption.steps
        ],
        "found": None if found is None else _found_json(found),
    }


def _found_json(found: PbxSurvey) -> dict[str, Json]:
    return {
        "version": found.version,
        "queues": [
            {
                "name": queue.name,
                "strategy": queue.strategy,
                "members": [
                    {
                        "interface": member.interface,
                        "state_interface": member.state_interface,
                        "name": member.name,
                        "penalty": member.penalty,
                        "dynamic": member.dynamic,
                        "phone": member.phone,
                        "known": member.known,
                    }
                    for member in queue.members
                ],
            }
            for queue in found.queues
        ],
        "hints": [
            {"extension": hint.extension, "context": hint.context, "devices": list(hint.devices)}
            for hint in found.hints
        ],
        "contexts": sorted(found.contexts),
        "phones": list(found.phones),
        "trunks": list(found.trunks),
        "globals": dict(found.globals),
        "missing_modules": list(found.missing_modules),
        "missing_rights": list(found.weak),
        "unseen": {topic: why for topic, why in found.unseen.items()},  # noqa: C416 - its keys are not plain str
    }


def as_text(adoption: Adoption) -> str:
    """For people to read, top to bottom."""
    lines: list[str] = []
    for number, step in enumerate(adoption.steps, 1):
        lines.append(f"{number}. {step.title}{': done' if step.done else ''}")
        for piece in step.pieces:
            lines += [f"   {piece.file}:", *(f"      {line}".rstrip() for line in piece.text.splitlines())]
        lines += [f"   {words}" for words in step.words]
        lines.append("")
    if adoption.found is not None:
        lines = [*_found_text(adoption.found), "", *lines]
    return "\n".join(lines).rstrip()


def _found_text(found: PbxSurvey) -> Iterable[str]:
    yield f"Asterisk {found.version}" if found.version else "An Asterisk"
    for queue in found.queues:
        yield f"   queue {queue.name} ({queue.strategy})"
        for member in queue.members:
            rings = "" if member.phone == member.interface else f" rings {member.phone or 'a phone that no hint tells'}"
            lost = "" if member.known else ", which Asterisk does not know"
            yield f"      {member.interface} {member.name}{rings}{lost}"
    for trunk in found.trunks:
        yield f"   trunk {trunk}" + (f" comes in by {found.comes_in_by[trunk]}" if trunk in found.comes_in_by else "")
    if found.contexts:
        yield f"   contexts {', '.join(found.contexts)}"
    for topic, why in found.unseen.items():
        yield f"   not seen: {topic}; {why}"
