"""A site's own .conf files, read by pyst2 where they can be read: what AMI does not show to a weak account.

pyst2's reader knows sections and ``name = value``, and nothing of includes, templates or block comments; those are
resolved here, line by line, before it parses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from asterisk import config as pyst2

from ctiserver.errors import UserFault
from ctiserver.model.ids import Interface
from ctiserver.pbx.survey import NEEDED_MODULES, FoundMember, FoundQueue, Hint, PbxSurvey, Topic, real_phone

#: Asterisk's own limit on includes inside includes is of this order; a file that includes itself ends here.
_DEEPEST = 20
#: Stands for an escaped semicolon while pyst2 parses, which would take it for a comment's beginning.
_SEMICOLON = "\x1f"
_SECTION = re.compile(r"\[([^\]]+)\]\s*(?:\(([^)]*)\))?\s*$")
_INCLUDE = re.compile(r"#(try)?include\s+[\"<]?([^\">]+)[\">]?\s*$")


@dataclass(frozen=True, slots=True)
class ConfLine:
    """One line of a file that a person wrote."""

    text: str
    file: Path
    number: int


@dataclass(slots=True)
class Section:
    """One ``[name]`` and its settings, in order; names may repeat."""

    name: str
    items: list[tuple[str, str]] = field(default_factory=list)
    template: bool = False

    def get(self, name: str, default: str = "") -> str:
        """The last value of a setting, as Asterisk takes it."""
        return next((value for key, value in reversed(self.items) if key == name), default)

    def all(self, name: str) -> list[str]:
        """Every value of a setting."""
        return [value for key, value in self.items if key == name]


class _Parsed(pyst2.Config):  # type: ignore[misc]  # pyst2 has no types
    """pyst2's parser, on lines instead of a file: its own loading leaves the file open and knows one encoding."""

    def __init__(self, lines: list[str]) -> None:
        self._given = lines
        super().__init__("")

    def load(self) -> None:
        self.raw_lines = self._given


def read_conf(path: Path) -> list[Section]:
    """The sections of a .conf file with all it includes; templates are filled in and left out.

    Raises UserFault with file and line for what can't be read.
    """
    lines = list(_lines(path, 0))
    plain: list[str] = []
    inherited: list[tuple[str, ...]] = []
    templates: list[bool] = []
    for line in lines:
        section = _SECTION.match(line.text)
        if section is None:
            plain.append(line.text)
            continue
        options = [option.strip() for option in (section[2] or "").split(",") if option.strip()]
        plain.append(f"[{section[1]}]")
        templates.append("!" in options)
        inherited.append(tuple(option for option in options if option not in ("!", "+")))
    try:
        parsed = _Parsed(plain)
    except pyst2.ParseError as error:
        number, what = error.args
        at = lines[number - 1]
        raise UserFault(
            f"{str(what)[0].lower()}{str(what)[1:]}: {at.text[:60]!r}",
            where=f"{at.file}:{at.number}",
            fix="Correct the line (Asterisk skips it with a warning), or leave --conf out",
        ) from None
    found: dict[str, list[tuple[str, str]]] = {}
    sections: list[Section] = []
    for category, parents, template in zip(parsed.categories, inherited, templates, strict=True):
        items = [item for parent in parents for item in found.get(parent, [])]
        items += [(item.name, item.value.strip().replace(_SEMICOLON, ";")) for item in category.items]
        found[category.name] = [*found.get(category.name, []), *items]
        sections.append(Section(category.name, items, template))
    return [section for section in sections if not section.template]


def _lines(path: Path, depth: int) -> Iterator[ConfLine]:
    try:
        text = path.read_bytes().decode("utf-8", "replace")
    except OSError as error:
        raise UserFault(
            f"can't be read: {error.strerror}", where=str(path), fix="Run this as a user who may read it, or without it"
        ) from None
    if "\0" in text:
        raise UserFault("is not a text file", where=str(path), fix="Name the folder of Asterisk's .conf files")
    comment = False
    for number, raw in enumerate(text.splitlines(), 1):
        kept, comment = _uncommented(raw, comment)
        include = _INCLUDE.match(kept)
        if include is None:
            # #exec runs a program: what that would write is not known here.
            yield ConfLine("" if kept.startswith("#") else kept, path, number)
            continue
        if depth == _DEEPEST:
            raise UserFault("includes itself", where=f"{path}:{number}", fix="Remove the #include")
        pattern = include[2].strip()
        found = sorted(path.parent.glob(pattern)) if not pattern.startswith("/") else [Path(pattern)]
        if not found and not include[1] and "*" not in pattern:
            raise UserFault(
                f"includes {pattern}, which is not there", where=f"{path}:{number}", fix="Put the file back"
            )
        for one in found:
            yield from _lines(one, depth + 1)


def _uncommented(raw: str, comment: bool) -> tuple[str, bool]:
    """A line without its comments, and whether a block comment goes on after it."""
    kept = ""
    rest = raw
    while rest:
        if comment:
            _, end, rest = rest.partition("--;")
            comment = not end
            continue
        semicolon = re.search(r"(?<!\\);", rest)
        if semicolon is None:
            kept += rest
            break
        kept += rest[: semicolon.start()]
        rest = rest[semicolon.start() :]
        if not re.match(r";--(?!-)", rest):
            break
        rest, comment = rest[3:], True
    return kept.replace("\\;", _SEMICOLON).strip(), comment


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """What pjsip.conf tells: who is on the other end, and in which context their calls begin."""

    phones: Mapping[str, str]  #: endpoint → context
    trunks: Mapping[str, str]


def read_survey(folder: Path) -> PbxSurvey:
    """What the files of a folder tell of an Asterisk; a file that is not there tells nothing, and is named.

    Raises UserFault if the folder is none, or holds a file that can't be read.
    """
    if not folder.is_dir():
        raise UserFault("is not a directory", where=str(folder), fix="Name the folder of Asterisk's .conf files")
    unseen: dict[Topic, str] = {"version": "files do not tell it"}

    def sections(name: str, *topics: Topic) -> list[Section]:
        path = folder / name
        if not path.exists():
            unseen.update(dict.fromkeys(topics, f"there is no {name} in {folder}"))
            return []
        return read_conf(path)

    extensions = sections("extensions.conf", "contexts", "hints")
    hints = _hints(extensions)
    wizards = folder / "pjsip_wizard.conf"
    endpoints = _endpoints([*sections("pjsip.conf", "endpoints"), *(read_conf(wizards) if wizards.exists() else [])])
    general = {"general", "globals"}
    return PbxSurvey(
        queues=_queues(sections("queues.conf", "queues"), hints, endpoints),
        hints=hints,
        contexts=_contexts([section for section in extensions if section.name not in general]),
        phones=tuple(sorted(endpoints.phones)),
        trunks=tuple(sorted(endpoints.trunks)),
        comes_in_by={**endpoints.phones, **endpoints.trunks},
        globals={
            key: value
            for section in extensions
            if section.name == "globals"
            for key, value in section.items
            if key.startswith("CTI_")
        },
        missing_modules=_missing_modules(sections("modules.conf", "modules")),
        unseen=unseen,
    )


def _contexts(sections: list[Section]) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for section in sections:
        extensions = found.setdefault(section.name, set())
        extensions.update(value.partition(",")[0].strip() for value in section.all("exten"))
    return {name: frozenset(found[name]) for name in sorted(found)}


def _hints(sections: list[Section]) -> tuple[Hint, ...]:
    found = []
    for section in sections:
        for value in section.all("exten"):
            extension, priority, *rest = [*value.split(",", 2), "", ""][:3]
            if priority.strip() == "hint":
                devices = tuple(device.strip() for device in rest[0].partition(",")[0].split("&") if device.strip())
                found.append(Hint(extension=extension.strip(), context=section.name, devices=devices))
    return tuple(found)


def _queues(sections: list[Section], hints: tuple[Hint, ...], endpoints: Endpoints) -> tuple[FoundQueue, ...]:
    return tuple(
        FoundQueue(
            name=section.name,
            # Of several, as with a template's, app_queue takes the first: it looks for this one before all others.
            strategy=next(iter(section.all("strategy")), "ringall"),
            members=tuple(_member(value, hints, endpoints) for value in section.all("member")),
        )
        for section in sections
        if section.name != "general"
    )


def _member(written: str, hints: tuple[Hint, ...], endpoints: Endpoints) -> FoundMember:
    """``interface,penalty,name,state interface``"""
    interface, penalty, name, state, *_ = [*(part.strip() for part in written.split(",")), "", "", ""]
    phone = real_phone(interface, state, hints)
    endpoint = (phone or "").removeprefix("PJSIP/")
    return FoundMember(
        interface=Interface(interface),
        state_interface=state or interface,
        name=name or interface,
        penalty=int(penalty) if penalty.isdigit() else 0,
        dynamic=False,
        phone=phone,
        known=not (phone or "").startswith("PJSIP/") or not endpoints.phones or endpoint in endpoints.phones,
    )


def _endpoints(sections: list[Section]) -> Endpoints:
    trunks = {section.get("endpoint") for section in sections if section.get("type") in ("identify", "registration")}
    context: dict[str, str] = {}
    for section in sections:
        if section.get("type") == "endpoint":
            context[section.name] = section.get("context", "default")
        elif section.get("type") == "wizard":
            context[section.name] = section.get("endpoint/context", "default")
            if section.get("sends_registrations") == "yes" or section.get("remote_hosts"):
                trunks.add(section.name)
    # An endpoint that Asterisk proves itself to is a line, not a phone.
    trunks |= {
        section.name for section in sections if section.get("type") == "endpoint" and section.get("outbound_auth")
    }
    return Endpoints(
        phones={name: where for name, where in context.items() if name not in trunks},
        trunks={name: where for name, where in context.items() if name in trunks},
    )


def _missing_modules(sections: list[Section]) -> tuple[str, ...]:
    modules = next((section for section in sections if section.name == "modules"), None)
    if modules is None:
        return ()

    def named(*keys: str) -> set[str]:
        return {value.removesuffix(".so") for key in keys for value in modules.all(key)}

    refused, loaded = named("noload"), named("load", "preload", "require", "preload-require")
    if modules.get("autoload", "yes") in ("yes", "true", "1", "on"):
        return tuple(module for module in NEEDED_MODULES if module in refused)
    return tuple(module for module in NEEDED_MODULES if module not in loaded or module in refused)
