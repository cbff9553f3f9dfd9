"""YAML without traps, for everything that an admin writes: flows, processes, configuration.

The reader is YAML 1.2 core: ``on``, ``yes`` and ``no`` are plain words, ``0o17`` is octal, ``22:00`` is not a number.
What YAML would take silently and an admin would regret is refused with the place and the spelling that works: duplicate
keys, keys that became numbers, anchors, tags, a comma that cut a prompt in two, full-width punctuation.

:func:`load` gives a :class:`Document` that still knows where each value stood; :func:`parse` holds it against a
pydantic model and turns each disagreement into a :class:`~ctiserver.errors.Problem` with its place and a suggestion.
"""

from __future__ import annotations

import difflib
import json
import re
import types
import typing
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union
from zoneinfo import ZoneInfo

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, ValidationError

from ctiserver.errors import FileFault, Place, Problem, UserFault

#: Larger files are refused: no admin writes 4 MB by hand.
MAX_BYTES = 4_000_000
_MAX_DEPTH = 60

#: libyaml's scanner where PyYAML was built with it: twenty times as fast, with the same marks.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Data = dict[str, "Data"] | list["Data"] | str | int | float | bool | None
Path_ = Sequence[str | int]
M = TypeVar("M", bound=BaseModel)

_INT = re.compile(r"[-+]?[0-9]+$|0o[0-7]+$|0x[0-9a-fA-F]+$")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$|[-+]?\.(inf|Inf|INF)$|\.(nan|NaN|NAN)$")
_SEXAGESIMAL = re.compile(r"[-+]?[0-9]+(:[0-5]?[0-9])+$")
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("null", "Null", "NULL", "~", "")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_FULL_WIDTH = {
    "：": ":",
    "，": ",",
    "｛": "{",
    "｝": "}",
    "［": "[",
    "］": "]",
    "＃": "#",
    "“": '"',
    "”": '"',
    "＂": '"',
    "－": "-",
    "\u3000": " ",
}


class Written(BaseModel):
    """Base of every schema for a file that a person writes: frozen, strict, unknown keys refused."""

    # Most are parts of others and never checked by themselves: what is, is built when it first is.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)


#: What an admin calls a thing of their own: small Latin letters, digits and _, beginning with a letter, 40 at most.
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]


@dataclass(frozen=True, slots=True)
class _Node:
    """A value, where it stood, and how it was spelled."""

    place: Place
    value: Data
    raw: str | None = None  #: the spelling of a scalar
    plain: bool = False  #: a scalar without quotes
    children: dict[str | int, _Node] | None = None
    keys: dict[str, Place] | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """A YAML file as plain data, with the place of everything in it."""

    file: str
    root: _Node

    @property
    def data(self) -> Data:
        """The plain data: dict, list, str, int, float, bool, None."""
        return self.root.value

    def place(self, path: Path_ = ()) -> Place:
        """Where the value at ``path`` begins; of the innermost value around it that is there."""
        return self._at(path).place

    def key_place(self, path: Path_) -> Place:
        """Where the key that ends ``path`` is written; where the value begins if it has no key."""
        steps = self.steps(path)
        parent = self._at(steps[:-1])
        if parent.keys is not None and steps and steps[-1] in parent.keys:
            return parent.keys[str(steps[-1])]
        return self.place(steps)

    def raw(self, path: Path_) -> str | None:
        """A scalar's own spelling, None for maps and lists."""
        return self._at(path).raw

    def steps(self, path: Path_) -> tuple[str | int, ...]:
        """``path`` without what is not a step of the file: pydantic also names the chosen members of unions."""
        node, steps = self.root, []
        for step in path:
            if node.children is not None and step in node.children:
                node = node.children[step]
                steps.append(step)
        return tuple(steps)

    def _at(self, path: Path_) -> _Node:
        node = self.root
        for step in self.steps(path):
            assert node.children is not None
            node = node.children[step]
        return node


def load(source: Path | str, *, file: str | None = None) -> Document:
    """Read one YAML document from a file (``Path``) or a text (``str``, with ``file`` as its name in messages).

    Raises FileFault with every problem found; UserFault when the file can't be read.
    """
    if isinstance(source, Path):
        file = file or str(source)
        try:
            content = source.read_bytes()
        except OSError as error:
            raise UserFault(
                f"can't be read: {error.strerror}", where=file, fix="Give an existing, readable file"
            ) from None
        if len(content) > MAX_BYTES:
            raise UserFault(f"is larger than {MAX_BYTES} bytes", where=file, fix="Split it")
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = content[: error.start].count(b"\n") + 1
            column = error.start - (content.rfind(b"\n", 0, error.start) + 1) + 1
            place = Place(file, line, column)
            raise FileFault([Problem(place, "YA-001", "this is not UTF-8 text", "save the file as UTF-8")]) from None
    else:
        text, file = source, file or "<text>"
    return _Reader(file, text).read()


class _Reader:
    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.text = text
        self.problems: list[Problem] = []

    def read(self) -> Document:
        try:
            loader = _LOADER(self.text)
            try:
                composed = self._compose(loader)
            finally:
                loader.dispose()
        except yaml.MarkedYAMLError as error:
            raise FileFault([self._broken(error)]) from None
        except yaml.reader.ReaderError as error:
            line = self.text[: error.position].count("\n") + 1
            column = error.position - (self.text.rfind("\n", 0, error.position) + 1) + 1
            place = Place(self.file, line, column)
            raise FileFault([Problem(place, "YA-001", f"{error.reason}", "remove that character")]) from None
        except RecursionError:
            raise FileFault(
                [Problem(Place(self.file, 1, 1), "YA-012", "maps and lists are nested too deeply")]
            ) from None
        if composed is None:
            raise FileFault([Problem(Place(self.file, 1, 1), "YA-002", "the file is empty", "write it, or remove it")])
        root = self._node(composed, 0)
        if self.problems:
            raise FileFault(self.problems)
        return Document(self.file, root)

    def _compose(self, loader: Any) -> yaml.Node | None:
        # Aliases and tags are seen on the events: composing would have resolved them already.
        for event in yaml.parse(self.text, Loader=_LOADER):
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                self._say(
                    event.start_mark,
                    "YA-003",
                    "anchors (&) and aliases (*) are not used here",
                    "quote it, or write it out",
                )
            elif getattr(event, "tag", None):
                self._say(
                    event.start_mark,
                    "YA-004",
                    f"tags such as {getattr(event, 'tag', '!')} are not used here",
                    "quote it, or remove the tag",
                )
        if self.problems:
            raise FileFault(self.problems)
        node = loader.get_single_node()
        return node if isinstance(node, yaml.Node) else None

    def _place(self, mark: Any) -> Place:
        return Place(self.file, mark.line + 1, mark.column + 1)

    def _say(self, mark: Any, code: str, message: str, fix: str = "") -> None:
        self.problems.append(Problem(self._place(mark), code, message, fix))

    def _broken(self, error: yaml.MarkedYAMLError) -> Problem:
        mark = error.problem_mark or error.context_mark
        place = Place(self.file, 1, 1) if mark is None else self._place(mark)
        lines = self.text.splitlines()
        # The scanner notices a full-width colon only on the next line, where a value then has no key.
        for number in (place.line, place.line - 1):
            if 0 < number <= len(lines):
                found = _full_width(lines[number - 1])
                if found is not None:
                    column, wrong = found
                    return Problem(
                        Place(self.file, number, column + 1),
                        "YA-005",
                        f"full-width {wrong} is not YAML punctuation",
                        f"write {_FULL_WIDTH[wrong]!r}" + (" and a space" if wrong == "：" else ""),
                    )
        if "\t" in lines[place.line - 1][: place.column] if place.line <= len(lines) else False:
            return Problem(place, "YA-006", "a tab can't indent YAML", "use spaces")
        if "expected a single document" in (error.context or ""):
            return Problem(place, "YA-007", "one file holds one document", "remove the --- and what follows")
        what = ", ".join(part for part in (error.context, error.problem) if part)
        return Problem(
            place, "YA-008", f"not YAML: {what}", "see the line above too; check colons, quotes, indentation"
        )

    def _node(self, node: yaml.Node, depth: int) -> _Node:
        place = self._place(node.start_mark)
        if depth > _MAX_DEPTH:
            self._say(node.start_mark, "YA-012", "maps and lists are nested too deeply")
            return _Node(place, None)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, place)
        if isinstance(node, yaml.SequenceNode):
            items = [self._node(item, depth + 1) for item in node.value]
            return _Node(place, [item.value for item in items], children=dict(enumerate(items)))
        return self._mapping(typing.cast(yaml.MappingNode, node), place, depth)

    def _scalar(self, node: yaml.ScalarNode, place: Place) -> _Node:
        raw: str = node.value
        if node.style:  # quoted or a block: always text
            return _Node(place, raw, raw=raw)
        if _SEXAGESIMAL.match(raw):
            self._say(
                node.start_mark, "YA-009", f"YAML readers take {raw} for a number", f'write it in quotes: "{raw}"'
            )
        return _Node(place, _core_value(raw), raw=raw, plain=True)

    def _mapping(self, node: yaml.MappingNode, place: Place, depth: int) -> _Node:
        children: dict[str | int, _Node] = {}
        keys: dict[str, Place] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node)
            if key is None:
                continue
            if key in keys:
                self._say(
                    key_node.start_mark, "YA-010", f"{key!r} appears twice (first at line {keys[key].line})", "keep one"
                )
                continue
            cut = (
                node.flow_style
                and isinstance(value_node, yaml.ScalarNode)
                and not value_node.style
                and value_node.value == ""
            )
            if cut:
                self._say(
                    key_node.start_mark,
                    "YA-011",
                    f"the comma before {key!r} ended the text in this one-line map",
                    "put each text on a line of its own, or in quotes",
                )
            keys[key] = self._place(key_node.start_mark)
            children[key] = self._node(value_node, depth + 1)
        return _Node(place, {str(key): child.value for key, child in children.items()}, children=children, keys=keys)

    def _key(self, node: yaml.Node) -> str | None:
        if not isinstance(node, yaml.ScalarNode):
            self._say(node.start_mark, "YA-013", "a key must be one word or text", "quote it if it is text")
            return None
        raw: str = node.value
        if not node.style:
            found = _full_width(raw)
            if found is not None:
                wrong = found[1]
                self._say(
                    node.start_mark, "YA-005", f"full-width {wrong} in the key {raw!r}", f"write {_FULL_WIDTH[wrong]!r}"
                )
                return None
            value = _core_value(raw)
            if not isinstance(value, str) or _SEXAGESIMAL.match(raw):
                self._say(
                    node.start_mark, "YA-009", f"the key {raw} is not text to YAML", f'write it in quotes: "{raw}"'
                )
                return None
        return raw


def _core_value(raw: str) -> str | int | float | bool | None:
    if raw in _WORDS:
        return _WORDS[raw]
    if _INT.match(raw):
        base = {"0o": 8, "0x": 16}.get(raw[:2], 10)
        # Python caps the digits of an int that it parses; such a number was never meant as one.
        return raw if len(raw) > 400 else int(raw.removeprefix("0o") if base == 8 else raw, base)
    if _FLOAT.match(raw):
        return float(
            raw.replace(".inf", "inf").replace(".Inf", "inf").replace(".INF", "inf").lstrip(".")
            if "n" in raw.lower()
            else raw
        )
    return raw


def _full_width(text: str) -> tuple[int, str] | None:
    """The first full-width mark outside quotes that stands where YAML wants its own."""
    quote = ""
    for column, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character == "#" and (column == 0 or text[column - 1] == " "):
            return None
        elif character == ":" and text[column + 1 : column + 2] in ("", " "):
            return None  # the key is over: in its text full-width marks are at home
        elif character in _FULL_WIDTH:
            return column, character
    return None


def parse(document: Document, model: type[M], *, prefix: str = "CT") -> M:
    """The document as ``model``.

    Raises FileFault with every disagreement: code ``prefix-001`` unknown key, 002 missing key, 003 wrong type, 004 not
    one of the allowed values, 005 text that YAML read as a number, 006 any other rule of the schema.
    """
    try:
        # JSON mode: lists may become tuples and text dates, while "5" never becomes 5 nor "yes" true.
        return model.model_validate_json(json.dumps(document.data), strict=True)
    except ValidationError as error:
        problems = {_disagreement(document, model, detail, prefix) for detail in error.errors(include_url=False)}
        raise FileFault(problems) from None


def _disagreement(document: Document, model: type[BaseModel], detail: Any, prefix: str) -> Problem:
    path: tuple[str | int, ...] = detail["loc"]
    kind: str = detail["type"]
    name = ".".join(str(step) for step in document.steps(path))
    if kind == "extra_forbidden":
        known = sorted(_keys_at(model, path[:-1]))
        return Problem(
            document.key_place(path), f"{prefix}-001", f"unknown key {path[-1]!r}", suggest(str(path[-1]), known)
        )
    if kind == "missing":
        where = f" in {name}" if name else ""
        return Problem(document.key_place(path), f"{prefix}-002", f"{path[-1]!r} is missing{where}")
    place = document.place(path)
    raw = document.raw(path)
    if kind == "string_type" and isinstance(detail["input"], int | float) and raw is not None:
        return Problem(
            place, f"{prefix}-005", f"{name}: YAML read {raw} as {detail['input']}", f'write it in quotes: "{raw}"'
        )
    if kind in ("literal_error", "enum", "union_tag_invalid"):
        expected = re.findall(
            r"'([^']*)'", str(detail.get("ctx", {}).get("expected") or detail["ctx"]["expected_tags"])
        )
        wrong = str(detail["ctx"].get("tag") if kind == "union_tag_invalid" else detail["input"])
        if kind == "union_tag_invalid":
            place = document.place((*path, str(detail["ctx"]["discriminator"]).strip("'")))
        return Problem(
            place, f"{prefix}-004", f"{name or 'the file'}: {wrong!r} is not known here", suggest(wrong, expected)
        )
    if kind == "union_tag_not_found":
        key = str(detail["ctx"]["discriminator"]).strip("'")
        return Problem(document.key_place(path), f"{prefix}-002", f"{key!r} is missing in {name}")
    if kind in ("model_type", "model_attributes_type", "dict_type") and raw is not None and _full_width(raw):
        return Problem(place, "YA-005", f"full-width punctuation in {raw!r}", "write ': ' (ASCII colon and a space)")
    message = detail["msg"].removeprefix("Value error, ")
    code = "006" if kind in ("value_error", "assertion_error") or "greater" in kind or "less" in kind else "003"
    return Problem(place, f"{prefix}-{code}", f"{name}: {message}" if name else message)


def suggest(wrong: str, known: Iterable[str]) -> str:
    """``did you mean …`` where something is close, else the list of what is known."""
    names = list(known)
    close = difflib.get_close_matches(wrong, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known: {', '.join(names)}" if names else ""


def _keys_at(model: type[BaseModel], path: Path_) -> set[str]:
    """The keys that the schema knows at a path of pydantic's."""
    here: list[Any] = [model]
    for step in path:
        here = [deeper for kind in here for deeper in _step(kind, step)] or here
    return {field.alias or name for kind in _models(here) for name, field in kind.model_fields.items()}


def _unwrapped(kind: Any) -> Iterator[Any]:
    origin = typing.get_origin(kind)
    if origin is Annotated:
        yield from _unwrapped(typing.get_args(kind)[0])
    elif origin in (Union, types.UnionType):
        for member in typing.get_args(kind):
            yield from _unwrapped(member)
    elif isinstance(kind, typing.TypeAliasType) if hasattr(typing, "TypeAliasType") else False:
        yield from _unwrapped(kind.__value__)
    else:
        yield kind


def _models(kinds: Iterable[Any]) -> Iterator[type[BaseModel]]:
    for kind in kinds:
        for member in _unwrapped(kind):
            if isinstance(member, type) and issubclass(member, BaseModel):
                yield member


def _step(kind: Any, step: str | int) -> Iterator[Any]:
    for member in _unwrapped(kind):
        origin, arguments = typing.get_origin(member), typing.get_args(member)
        if origin in (list, tuple) and arguments and isinstance(step, int):
            yield arguments[0]
        elif origin is dict and len(arguments) == 2:
            yield arguments[1]
        elif isinstance(member, type) and issubclass(member, BaseModel):
            for name, field in member.model_fields.items():
                if step in (name, field.alias):
                    yield field.annotation
                elif typing.get_origin(field.annotation) is Literal and step in typing.get_args(field.annotation):
                    yield member  # a discriminated union's path names the member by its tag


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"there is no time zone {name!r}; write one like Asia/Shanghai") from None
    return name


#: A time zone by its name in the tz database.
TimeZone = Annotated[str, AfterValidator(_zone)]

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
_UNIT_S = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}


def duration(text: str) -> timedelta:
    """``"15s"``, ``"2m30s"``, ``"1.5h"``, ``"500ms"``, ``"3d"`` as a timedelta.

    Raises ValueError that says how a duration is written.
    """
    parts = _DURATION.findall(text)
    if not parts or _DURATION.sub("", text).strip():
        raise ValueError(f"{text!r} is not a valid duration; write it like 15s, 2m30s, 1h, 500ms")
    return timedelta(seconds=sum(float(number) * _UNIT_S[unit] for number, unit in parts))


def _to_duration(value: object) -> object:
    if isinstance(value, str):
        return duration(value)
    if isinstance(value, int | float):
        raise ValueError(f"{value} has no unit; write it like {value}s or {value}m")
    return value


def _from_duration(value: timedelta) -> str:
    return f"{value.total_seconds():g}s"


#: A span of time as admins write it: ``15s``, ``2m30s``.
Duration = Annotated[timedelta, BeforeValidator(_to_duration), PlainSerializer(_from_duration, when_used="json")]
