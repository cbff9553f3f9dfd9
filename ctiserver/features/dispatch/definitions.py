"""The process definitions of a site: ``config/processes/*.yaml``, all of them checked before any is used."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ctiserver.errors import FileFault, Problem
from ctiserver.model.json_value import JsonObject
from ctiserver.model.process import check as process_check
from ctiserver.model.process.definition import ProcessFile, from_json
from ctiserver.resources import shipped
from ctiserver.strict_yaml import load

#: How the tests beside a definition are named.
TEST_SUFFIX = ".test.yaml"


@dataclass(frozen=True, slots=True)
class Definition:
    """A checked definition, and the plain data that an instance keeps a copy of."""

    file: ProcessFile
    data: JsonObject


def definition_files(directory: Path) -> list[Path]:
    """The files in ``directory/processes``, or those that ctiserver ships where it has none."""
    folder = directory / "processes"
    folder = folder if folder.is_dir() else shipped("config", "processes")
    return sorted(path for path in folder.glob("*.yaml") if not path.name.endswith(TEST_SUFFIX))


def unused(fault: FileFault, directory: Path) -> bool:
    """Whether a fault is only that a shipped process is for records that this site does not have."""
    return not (directory / "processes").is_dir() and {problem.code for problem in fault.problems} == {"PF-011"}


def load_definitions(
    directory: Path,
    *,
    calendars: Collection[str],
    record_types: Collection[str],
    flows: Collection[str] | None = None,
) -> Mapping[str, Definition]:
    """The definitions in ``directory/processes``, or those that ctiserver ships where it has none, by name.

    With ``flows`` those that customers are called with must be among them; where a site with flows of its own lacks one
    that a shipped definition calls with, a person does that order.

    Raises FileFault with every problem of every file.
    """
    own = (directory / "processes").is_dir()
    found: dict[str, Definition] = {}
    problems: list[Problem] = []
    for path in definition_files(directory):
        try:
            document = load(path)
            file = process_check.read(
                document, calendars=calendars, record_types=record_types, flows=flows if own else None
            )
        except FileFault as fault:
            if not unused(fault, directory):
                problems.extend(fault.problems)
            continue
        if file.process in found:
            place = document.place(("process",))
            problems.append(
                Problem(place, "PF-028", f"a second process named {file.process!r}", "give it another name")
            )
        data = process_check.source(document)
        if not own and flows is not None:
            data = _without_calls(data, flows)
            file = from_json(data)
        found[file.process] = Definition(file, data)
    if problems:
        raise FileFault(problems)
    return found


def _without_calls(data: Any, flows: Collection[str]) -> Any:
    """A shipped definition without the ways that call with a flow that is not there; each has a person after them."""
    if isinstance(data, list):
        return [_without_calls(item, flows) for item in data]
    if not isinstance(data, dict):
        return data
    kept = {key: _without_calls(value, flows) for key, value in data.items()}
    if isinstance(ways := kept.get("by"), list):
        kept["by"] = [way for way in ways if "call" not in way or way["call"] in flows]
    return kept


def revived(data: JsonObject) -> ProcessFile:
    """The definition that an instance carries, as it was when the instance started."""
    return _revived(json.dumps(data, sort_keys=True))


@lru_cache(maxsize=256)
def _revived(text: str) -> ProcessFile:
    return from_json(json.loads(text))
