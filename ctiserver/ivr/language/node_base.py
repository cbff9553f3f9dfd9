"""What flows are written with: expressions, prompts, keys, and the base of every node."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, PlainSerializer, PlainValidator, WithJsonSchema

from ctiserver.ivr.language.sentences import NOT_PLAYED, Sentence
from ctiserver.model.expression.expression import Expression, Template, constant, parse, parse_template
from ctiserver.strict_yaml import Name, Written

if TYPE_CHECKING:
    from ctiserver.ivr.language.nodes.listening import InputDefaults
    from ctiserver.ivr.language.requests import Answer, Move
    from ctiserver.ivr.language.visit import Visit

KEYS = "0123456789*#"
_KEY_WORDS = {"star": "*", "hash": "#"}


def _computed(value: object) -> Expression:
    if isinstance(value, str):
        return parse(value[1:]) if value.startswith("=") else constant(value)
    if isinstance(value, bool | int):
        return constant(value)
    if isinstance(value, float):
        return constant(Decimal(str(value)))
    raise ValueError("write a value, or an expression such as =contact.name")


def _condition(value: object) -> Expression:
    if value == "else" or not isinstance(value, str) or not value.startswith("="):
        raise ValueError('a condition is an expression; write it as "=…", such as "=contact.open_records > 0"')
    return parse(value[1:])


def _template(value: object) -> Template:
    if not isinstance(value, str):
        raise ValueError("a prompt is text; write it in quotes")
    if not value.strip():
        raise ValueError("a prompt has no text")
    template = parse_template(" ".join(value.split()))
    if template.fixed and not re.search(r"\w", template.text):
        raise ValueError("a prompt has no text")
    return template


def _source(expression: Expression) -> str:
    return f"={expression.text}"


# Any, since pydantic would else look inside these dataclasses, which are of no concern to a file's schema.
#: A value, or ``=expression``.
_Computed = Annotated[
    Any,
    PlainValidator(_computed),
    PlainSerializer(_source),
    WithJsonSchema({"type": ["string", "number", "boolean"], "description": "a value, or =expression"}),
]
#: ``=expression`` that is true or false.
_Condition = Annotated[
    Any,
    PlainValidator(_condition),
    PlainSerializer(_source),
    WithJsonSchema({"type": "string", "pattern": "^=", "description": "=expression that is true or false"}),
]
#: Text to be spoken, with ``{{ expressions }}``.
_Spoken = Annotated[
    Any,
    PlainValidator(_template),
    PlainSerializer(lambda template: template.text),
    WithJsonSchema({"type": "string", "minLength": 1, "description": "spoken text; {{ expressions }} are filled in"}),
]
if TYPE_CHECKING:
    Computed = Expression
    Condition = Expression
    Spoken = Template
else:
    Computed, Condition, Spoken = _Computed, _Condition, _Spoken
#: language → text; ``file`` → the name of a recording, which wins over the text.
Prompt = Annotated[dict[str, Spoken], Field(min_length=1)]


def _key(text: object) -> object:
    if not isinstance(text, str):
        raise ValueError(f'a key is text; write it in quotes: "{text}"')
    return _KEY_WORDS.get(text, text)


def _keys(text: str) -> str:
    if not text or any(key not in KEYS for key in text) or len(text) > 20:
        raise ValueError(f"{text!r} are not keys of a telephone; write digits in quotes, star or hash")
    return text


#: One key or several: ``"1"``, ``"12"``, ``star``, ``hash``.
Keys = Annotated[
    str,
    BeforeValidator(_key),
    AfterValidator(_keys),
    WithJsonSchema({"type": "string", "pattern": r"^([0-9*#]{1,20}|star|hash)$"}),
]
NodeName = Name
VariableName = Name
SiteName = Name
LANGUAGE = re.compile(r"^[a-z]{2,3}(-[A-Z][A-Za-z]{1,3})?$")


class Need(Enum):
    """What must become of an outcome."""

    WIRED = "it must lead to a node"
    ERROR = "unless it leads to a node, on_error takes it"
    MAY = "unless it leads to a node, the kind's own default holds"


#: Outcomes that ``exhausted`` stands for where they are not named apart.
EXHAUSTION = ("noinput_max", "nomatch_max", "tries_max")


Place = tuple[str | int, ...]


class UsedName(NamedTuple):
    """A name of the site that a node uses."""

    place: Place  #: in the node
    what: Literal["queue", "calendar", "roster", "record type"]
    name: str
    fields: tuple[str, ...] = ()  #: of the record type, as the node writes them under ``fields``


class Stored(NamedTuple):
    """A variable that a node sets."""

    place: Place  #: in the node
    name: str
    type: str | None  #: of what is stored; None: the expression at ``place`` says it, and must fit the variable
    after: tuple[str, ...]  #: outcomes that the variable is set with


class SlowChoice(NamedTuple):
    """Keys of a choice that are the beginning of another's, so that the caller must wait."""

    place: Place  #: in the node
    keys: str
    longer: str
    wait_s: float


@dataclass(frozen=True, slots=True)
class Cost:
    """What a stretch of menu costs a caller at worst."""

    prompts: int = 0
    seconds: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.prompts + other.prompts, self.seconds + other.seconds)


class Look(Enum):
    """How a picture of the flow shows a node; ``draw`` gives each its colour and shape."""

    PLAIN = "what is spoken or done"
    ASKS = "the caller presses keys"
    DECIDES = "the way forks without the caller"
    PERSON = "leads to a person"
    MESSAGE = "takes a message"
    RECORD = "writes a record"
    END = "ends the call"


#: ``destination`` of a node that leads to no queue, though the caller gets something: a message, a transfer, a promise.
ELSEWHERE = ""


class NodeBase(Written):
    """What every node has, and what a kind says of itself to the check, the drawing, the engine and the replay.

    A kind overrides what differs from here; those who ask never decide by the kind.
    """

    note: str = ""  #: for the reader of the file
    next: NodeName | None = None
    on: dict[str, NodeName] = {}  # noqa: RUF012

    #: The outcome that ``next`` stands for; None where outcomes are wired by ``on`` alone.
    main_outcome: ClassVar[str | None] = "ok"
    #: Runs in ``on_hangup``, when there is nobody to hear anything.
    silent: ClassVar[bool] = False
    #: Keeps a call safe: never refused for the flow's limits of steps and menu time.
    safe: ClassVar[bool] = False
    #: A voluntary stop of the caller's: a cycle through it is bounded by its counters or by the caller.
    listens: ClassVar[bool] = False
    #: What a caller hears where the node's own prompt has no sound at all.
    instead: ClassVar[Sentence] = NOT_PLAYED
    #: The call leaves the menu here: it waits, talks or records under the dialplan's care.
    hands_over: ClassVar[bool] = False
    #: Outcomes that ``on:`` may name, though the node as it is written can't end with them.
    also_wired: ClassVar[tuple[str, ...]] = ()
    #: A caller who leaves this node has got something: they may be hung up on without a word (CF-040).
    leaves_served: ClassVar[bool] = False
    #: It ends in but one way unless something is broken: a replay goes on without an answer.
    goes_on_alone: ClassVar[bool] = False
    #: Where the way ahead leads to no queue, the caller has reached somebody here.
    reaches_somebody: ClassVar[bool] = False
    #: In a picture of the flow.
    look: ClassVar[Look] = Look.PLAIN

    def inheriting(self, defaults: InputDefaults) -> Self:
        """This node with the flow's defaults for what it does not say itself."""
        return self

    @property
    def is_sensitive(self) -> bool:
        """Whether what is keyed here is kept out of recordings, logs and the path."""
        return False

    @property
    def speaks_values(self) -> bool:
        """Whether it speaks numbers, dates or amounts, prompts with ``{{ … }}`` aside."""
        return False

    @property
    def destination(self) -> str | None:
        """The queue where the caller's way leads, ELSEWHERE, or None where it goes on from here."""
        return None

    @property
    def caption(self) -> str:
        """What a picture writes beside the kind; "" for nothing."""
        return ""

    @property
    def ends_served(self) -> bool:
        """Whether a caller whose call ends here has been served: by a person, a message taken, a goodbye said."""
        return self.hands_over

    @property
    def final_reason(self) -> str | None:
        """Why the flow is over with this node; None where it goes on or the dialplan gets the call."""
        return None

    @property
    def replayed_end(self) -> str | None:
        """How a replay names the end of a call that comes here; None where the call goes on."""
        return None

    def used_names(self) -> Iterator[UsedName]:
        """Names of the site that must exist; those in expressions aside."""
        yield from ()

    def stored(self) -> Iterator[Stored]:
        """Variables that it sets."""
        yield from ()

    def conditions(self) -> Iterator[Place]:
        """Where its expressions must be true or false."""
        yield from ()

    def key_of_two_meanings(self) -> str:
        """A key that is ``cancel_key`` and something else too, "" for none."""
        return ""

    def slow_choices(self) -> Iterator[SlowChoice]:
        """Choices that are the beginning of others."""
        yield from ()

    def cost(self, length_s: Callable[[Prompt], float], languages: int) -> Cost:
        """The most that one visit takes: every retry, every time-out. ``languages``: how many the flow has."""
        return Cost()

    def outcomes(self) -> Mapping[str, Need]:
        """What the node can end with, the caller's hang-up aside."""
        return {"ok": Need.WIRED}

    def targets(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """(where in the node it is written, name) of every node it leads to."""
        if self.next is not None:
            yield ("next",), self.next
        for outcome, target in self.on.items():
            yield ("on", outcome), target

    def edges(self) -> Iterator[tuple[str, str]]:
        """(label, target) of every way out that is written."""
        if self.next is not None:
            yield self.main_outcome or "next", self.next
        yield from self.on.items()

    def target(self, outcome: str) -> str | None:
        """Where an outcome leads, None if it is not wired here."""
        if outcome in self.on:
            return self.on[outcome]
        if outcome in EXHAUSTION and "exhausted" in self.on:
            return self.on["exhausted"]
        return self.next if outcome == self.main_outcome else None

    def enter(self, visit: Visit) -> Move:
        """Begin a visit."""
        raise NotImplementedError

    def answered(self, visit: Visit, answer: Answer) -> Move:
        """Go on with what the last request brought."""
        raise AssertionError(f"{type(self).__name__} asked for nothing, and was answered {answer!r}")


def written_in(value: Any, kind: type[Any], at: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Every instance of ``kind`` inside a written model, with its path."""
    if isinstance(value, kind):
        yield at, value
    elif isinstance(value, BaseModel):
        for name, info in type(value).model_fields.items():
            yield from written_in(getattr(value, name), kind, (*at, info.alias or name))
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from written_in(item, kind, (*at, key))
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from written_in(item, kind, (*at, index))
