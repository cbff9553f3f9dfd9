"""menu, input and confirm: one way of prompting, listening, counting and giving up.

The rules stand in docs/reference/flow-language.md; the tests number its nine corner cases.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import cached_property
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from ctiserver.ivr.language.node_base import (
    Computed,
    Cost,
    Keys,
    Look,
    Need,
    NodeBase,
    NodeName,
    Prompt,
    SlowChoice,
    Stored,
    VariableName,
)
from ctiserver.ivr.language.requests import Answer, Heard, Leave, Listen, Move, Pressed, Silence
from ctiserver.ivr.language.sentences import CHOOSE, Sentence
from ctiserver.ivr.language.visit import Visit
from ctiserver.model.expression.expression import Value
from ctiserver.model.expression.pattern import Pattern, PatternRefused
from ctiserver.strict_yaml import Duration, Written

_DIGITS = "0123456789"
_Single = Annotated[Keys, Field(max_length=1)]


class Fit(Enum):
    """How the keys so far stand to what is awaited."""

    NO = "nothing that begins so is awaited"
    PART = "longer keys start with it, and it is not valid by itself"
    WHOLE_OR_PART = "this is something, and something longer begins so"
    WHOLE = "this is something, and nothing longer begins so"


class Reprompt(Written):
    """What is said instead of the prompt from the second time on; the last entry repeats."""

    noinput: tuple[Prompt, ...] = ()
    nomatch: tuple[Prompt, ...] = ()


class InputDefaults(Written):
    """``defaults.input`` of a flow: what listening nodes have unless they say otherwise."""

    initial_timeout: Duration = timedelta(seconds=5)
    inter_digit_timeout: Duration = timedelta(seconds=2)
    max_noinput: Annotated[int, Field(ge=1, le=10)] = 2
    max_nomatch: Annotated[int, Field(ge=1, le=10)] = 2
    max_tries: Annotated[int, Field(ge=1, le=20)] = 3
    barge_in: Literal["dtmf", "none"] = "dtmf"
    flush: bool = False
    terminator: _Single | Literal["none"] = "#"
    cancel_key: _Single | Literal["none"] = "none"


_DEFAULTS = InputDefaults()


@dataclass(frozen=True, slots=True)
class Rules:
    """How a node listens, read once: a caller's every key asks for them."""

    initial_s: float
    inter_digit_s: float
    barge_in: bool
    flush: bool
    cancel_key: str
    ends_by: str  #: "" for none


class ListeningNode(NodeBase):
    """The base of every node that listens for keys."""

    prompt: Prompt
    reprompt: Reprompt = Reprompt()
    speak: Literal["call_language", "all_languages"] = "call_language"
    initial_timeout: Duration | None = None
    inter_digit_timeout: Duration | None = None
    max_noinput: Annotated[int, Field(ge=1, le=10)] | None = None
    max_nomatch: Annotated[int, Field(ge=1, le=10)] | None = None
    max_tries: Annotated[int, Field(ge=1, le=20)] | None = None
    barge_in: Literal["dtmf", "none"] | None = None
    flush: bool | None = None
    terminator: _Single | Literal["none"] | None = None
    cancel_key: _Single | Literal["none"] | None = None
    sensitive: bool = False

    main_outcome: ClassVar[str | None] = None
    listens: ClassVar[bool] = True
    instead: ClassVar[Sentence] = CHOOSE
    also_wired: ClassVar[tuple[str, ...]] = ("tries_max",)
    look: ClassVar[Look] = Look.ASKS

    @property
    def is_sensitive(self) -> bool:
        return self.sensitive

    @property
    def answer_keys(self) -> str:
        """Every key that is an answer, or part of one."""
        raise NotImplementedError

    def key_of_two_meanings(self) -> str:
        cancel = str(self.rule("cancel_key"))
        twice = cancel in self.answer_keys or (cancel != "none" and cancel == self.ends_by)
        return cancel if twice else ""

    def cost(self, length_s: Callable[[Prompt], float], languages: int) -> Cost:
        times = 1 if self.speak == "call_language" else languages
        tries = min(self.limit("max_tries"), max(self.limit("max_noinput"), self.limit("max_nomatch")) + 1)
        again = [length_s(prompt) for prompt in (*self.reprompt.noinput, *self.reprompt.nomatch)]
        longest_s = max([length_s(self.prompt) * times, *again])
        wait_s = self.seconds("initial_timeout") + self.seconds("inter_digit_timeout")
        return Cost(tries, tries * (longest_s + wait_s))

    def inheriting(self, defaults: InputDefaults) -> Self:
        missing = [name for name in InputDefaults.model_fields if getattr(self, name) is None]
        return self.model_copy(update={name: getattr(defaults, name) for name in missing})

    def rule(self, name: str) -> object:
        """A rule of listening."""
        own = getattr(self, name)
        return getattr(_DEFAULTS, name) if own is None else own

    def seconds(self, name: str) -> float:
        """A time-out in seconds."""
        value = self.rule(name)
        assert isinstance(value, timedelta)
        return value.total_seconds()

    @cached_property
    def rules(self) -> Rules:
        """The rules of listening, with the defaults for what was not said."""
        return Rules(
            initial_s=self.seconds("initial_timeout"),
            inter_digit_s=self.seconds("inter_digit_timeout"),
            barge_in=self.rule("barge_in") == "dtmf",
            flush=bool(self.rule("flush")),
            cancel_key=str(self.rule("cancel_key")),
            ends_by=self.ends_by,
        )

    def limit(self, name: str) -> int:
        """A counter's limit."""
        value = self.rule(name)
        assert isinstance(value, int)
        return value

    def fit(self, keys: str) -> Fit:
        """How ``keys`` (at least one) stand to what this node awaits."""
        raise NotImplementedError

    def match(self, visit: Visit, keys: str) -> Leave | None:
        """What complete keys lead to; None if they are nothing that is awaited."""
        raise NotImplementedError

    @property
    def ends_by(self) -> str:
        """The key that ends the input, "" for none."""
        key = self.rule("terminator")
        return "" if key == "none" else str(key)

    @property
    def allows_empty(self) -> bool:
        """Whether the terminator alone is an answer."""
        return False

    def enter(self, visit: Visit) -> Move:
        visit.local.update(digits="", noinput=0, nomatch=0, tries=0)
        return self._attempt(visit, self.prompt, "prompt")

    def answered(self, visit: Visit, answer: Answer) -> Move:
        match answer:
            case Heard(keys=keys):
                visit.take_keys(keys)
                if self.rules.flush and not self.rules.barge_in:
                    visit.pressed = ""
                return self._consume(visit)
            case Pressed(key=key):
                visit.take_keys(key)
                return self._consume(visit)
            case Silence():
                return self._silence(visit)
        return super().answered(visit, answer)

    def _attempt(self, visit: Visit, prompt: Prompt, slot: str) -> Move:
        visit.local["digits"] = ""
        rules = self.rules
        if rules.flush:
            visit.pressed = ""
        if visit.pressed and rules.barge_in:
            return self._consume(visit)  # type-ahead: who knows the menu needn't hear it
        return visit.speak(prompt, slot, barge_in=rules.barge_in, all_languages=self.speak == "all_languages")

    def _consume(self, visit: Visit) -> Move:
        """Use the keys that are there, until they decide or run out."""
        rules, digits = self.rules, str(visit.local["digits"])
        while visit.pressed:
            key, visit.pressed = visit.pressed[0], visit.pressed[1:]
            if key == rules.cancel_key:
                digits = ""
                continue
            if key == rules.ends_by:
                return self._whole(visit, digits)
            digits += key
            fit = self.fit(digits)
            if fit is Fit.WHOLE:
                return self._whole(visit, digits)
            if fit is Fit.NO:
                return self._again(visit, "nomatch")
        visit.local["digits"] = digits
        return Listen(rules.inter_digit_s if digits else rules.initial_s, self.sensitive)

    def _silence(self, visit: Visit) -> Move:
        digits = str(visit.local["digits"])
        return self._whole(visit, digits) if digits else self._again(visit, "noinput")

    def _whole(self, visit: Visit, digits: str) -> Move:
        if digits or self.allows_empty:
            leave = self.match(visit, digits)
            if leave is not None:
                return leave
        return self._again(visit, "nomatch")

    def _again(self, visit: Visit, what: Literal["noinput", "nomatch"]) -> Move:
        """Count a failed attempt; prompt again, or give up."""
        visit.pressed = ""  # what follows a slip belongs to it, and does not answer the next prompt
        count = int(visit.local[what]) + 1
        tries = int(visit.local["tries"]) + 1
        visit.local.update({what: count, "tries": tries})
        if count >= self.limit(f"max_{what}"):
            return Leave(f"{what}_max")
        if tries >= self.limit("max_tries"):
            return Leave("tries_max")
        prompts = getattr(self.reprompt, what)
        return self._attempt(visit, prompts[min(count, len(prompts)) - 1] if prompts else self.prompt, what)

    def outcomes(self) -> Mapping[str, Need]:
        # An outcome that its counters can't reach needs no way out: the specific one wins over tries_max.
        needed = [
            f"{what}_max" for what in ("noinput", "nomatch") if self.limit(f"max_{what}") <= self.limit("max_tries")
        ]
        if self.limit("max_tries") < self.limit("max_noinput") + self.limit("max_nomatch") - 1:
            needed.append("tries_max")
        return dict.fromkeys(needed, Need.WIRED)


class Choice(Written):
    """A choice with more than a target."""

    set: dict[VariableName, Computed] = {}  # noqa: RUF012
    go: NodeName


class Menu(ListeningNode):
    """One key or a few lead to one node each."""

    kind: Literal["menu"]
    choices: Annotated[dict[Keys, NodeName | Choice], Field(min_length=1)]

    @property
    def answer_keys(self) -> str:
        return "".join(self.choices)

    def stored(self) -> Iterator[Stored]:
        for keys, choice in self.choices.items():
            if isinstance(choice, Choice):
                for name in choice.set:
                    yield Stored(("choices", keys, "set", name), name, None, (keys,))

    def slow_choices(self) -> Iterator[SlowChoice]:
        for short in self.choices:
            longer = [keys for keys in self.choices if keys.startswith(short) and keys != short]
            if longer:
                yield SlowChoice(("choices", short), short, longer[0], self.seconds("inter_digit_timeout"))

    @property
    def ends_by(self) -> str:
        key = super().ends_by
        return "" if any(key in choice for choice in self.choices) else key

    @cached_property
    def _fits(self) -> dict[str, Fit]:
        """Every beginning of a choice, and how it stands to them."""
        found = {choice[:length]: Fit.PART for choice in self.choices for length in range(1, len(choice))}
        for choice in self.choices:
            found[choice] = Fit.WHOLE_OR_PART if choice in found else Fit.WHOLE
        return found

    def fit(self, keys: str) -> Fit:
        return self._fits.get(keys, Fit.NO)

    def match(self, visit: Visit, keys: str) -> Leave | None:
        choice = self.choices.get(keys)
        if isinstance(choice, Choice):
            for name, expression in choice.set.items():
                visit.set(name, visit.value(expression))
            return Leave(keys, choice.go)
        return None if choice is None else Leave(keys, choice)

    def targets(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        for keys, choice in self.choices.items():
            if isinstance(choice, Choice):
                yield ("choices", keys, "go"), choice.go
            else:
                yield ("choices", keys), choice
        yield from super().targets()

    def edges(self) -> Iterator[tuple[str, str]]:
        for keys, choice in self.choices.items():
            yield keys, choice.go if isinstance(choice, Choice) else choice
        yield from super().edges()


def _grammar(text: str) -> str:
    if text.startswith("regex:"):
        try:
            Pattern(text.removeprefix("regex:"))
        except PatternRefused as refused:
            raise ValueError(str(refused)) from None
    elif text not in ("digits", "date", "time", "phone", "amount"):
        raise ValueError(f"{text!r} is not a valid grammar; write digits, date, time, phone, amount, or regex:…")
    return text


#: Types of what is keyed, where that is not text.
_TYPES = {"date": "date", "amount": "decimal"}
#: How many keys a grammar takes where the node does not say.
_LENGTHS = {"date": (8, 8), "time": (4, 4), "phone": (3, 15), "amount": (1, 10)}


class Input(ListeningNode):
    """A number of keys, stored in a variable."""

    kind: Literal["input"]
    min_digits: Annotated[int, Field(ge=0, le=64)] | None = None
    max_digits: Annotated[int, Field(ge=1, le=64)] | None = None
    grammar: Annotated[str, AfterValidator(_grammar)] = "digits"
    allow_empty: bool = False
    store: VariableName | None = None

    main_outcome: ClassVar[str | None] = "ok"

    @property
    def answer_keys(self) -> str:
        return _DIGITS

    def stored(self) -> Iterator[Stored]:
        if self.store is not None:
            yield Stored(("store",), self.store, _TYPES.get(self.grammar, "text"), ("ok",))

    @model_validator(mode="after")
    def _lengths(self) -> Input:
        least, most = self.lengths
        if least > most:
            raise ValueError(f"min_digits {least} is more than max_digits {most}")
        return self

    @property
    def lengths(self) -> tuple[int, int]:
        """The least and the most keys that are an answer."""
        least, most = _LENGTHS.get(self.grammar, (1, 20))
        most = most if self.max_digits is None else self.max_digits
        return (min(least, most) if self.min_digits is None else self.min_digits), most

    @property
    def allows_empty(self) -> bool:
        return self.allow_empty

    def fit(self, keys: str) -> Fit:
        allowed = _DIGITS + ("*" if self.grammar == "amount" or self.grammar.startswith("regex:") else "")
        allowed += "#" if self.grammar.startswith("regex:") and self.ends_by != "#" else ""
        least, most = self.lengths
        if keys[-1] not in allowed or len(keys) > most:
            return Fit.NO
        if len(keys) == most:
            return Fit.WHOLE  # nothing longer is possible; match() says whether it is an answer
        return Fit.WHOLE_OR_PART if len(keys) >= least else Fit.PART

    def match(self, visit: Visit, keys: str) -> Leave | None:
        if keys:
            least, most = self.lengths
            value = self._value(keys) if least <= len(keys) <= most else None
            if value is None:
                return None
        else:
            value = ""
        if self.store is not None:
            visit.set(self.store, value)
        return Leave("ok")

    def _value(self, keys: str) -> Value:
        try:
            match self.grammar:
                case "date":
                    return date(int(keys[:4]), int(keys[4:6]), int(keys[6:]))
                case "time":
                    return time(int(keys[:2]), int(keys[2:])).strftime("%H:%M")
                case "amount":  # star is the decimal point
                    return Decimal(keys.replace("*", ".")) if keys.count("*") <= 1 and keys != "*" else None
                case "digits" | "phone":
                    return keys
        except ValueError:
            return None
        return keys if Pattern(self.grammar.removeprefix("regex:")).fits(keys) else None

    def outcomes(self) -> Mapping[str, Need]:
        return {"ok": Need.WIRED, **super().outcomes()}


class Confirm(ListeningNode):
    """Yes or no, by one key."""

    kind: Literal["confirm"]
    yes_key: _Single = "1"
    no_keys: tuple[_Single, ...] = ("2", "0")

    @property
    def answer_keys(self) -> str:
        return self.yes_key + "".join(self.no_keys)

    @model_validator(mode="after")
    def _apart(self) -> Confirm:
        if self.yes_key in self.no_keys or not self.no_keys:
            raise ValueError("yes_key and no_keys must be different keys, at least one each")
        return self

    @property
    def ends_by(self) -> str:
        key = super().ends_by
        return "" if key in (self.yes_key, *self.no_keys) else key

    def fit(self, keys: str) -> Fit:
        return Fit.WHOLE if keys in (self.yes_key, *self.no_keys) else Fit.NO

    def match(self, visit: Visit, keys: str) -> Leave | None:
        return Leave("yes" if keys == self.yes_key else "no") if self.fit(keys or "-") is Fit.WHOLE else None

    def outcomes(self) -> Mapping[str, Need]:
        return {"yes": Need.WIRED, "no": Need.WIRED, **super().outcomes()}


class Survey(ListeningNode):
    """One question that is answered by a number of a scale, by one key."""

    kind: Literal["survey"]
    scale: Annotated[tuple[int, int], Field(min_length=2, max_length=2)] = (1, 5)  #: the lowest and the highest key
    low: int | None = None  #: an answer up to this ends with the outcome low
    store: VariableName | None = None

    main_outcome: ClassVar[str | None] = "ok"

    @model_validator(mode="after")
    def _order(self) -> Survey:
        least, most = self.scale
        if not 0 <= least < most <= 9:
            raise ValueError("scale: is two keys of 0 to 9, the lowest first, such as [1, 5]")
        if self.low is not None and not least <= self.low < most:
            raise ValueError(f"low: {self.low} does not part the scale {least} to {most}")
        return self

    @property
    def answer_keys(self) -> str:
        return _DIGITS[self.scale[0] : self.scale[1] + 1]

    def stored(self) -> Iterator[Stored]:
        if self.store is not None:
            yield Stored(("store",), self.store, "integer", ("ok", "low"))

    def fit(self, keys: str) -> Fit:
        return Fit.WHOLE if keys in self.answer_keys else Fit.NO

    def match(self, visit: Visit, keys: str) -> Leave | None:
        if self.fit(keys or "-") is not Fit.WHOLE:
            return None
        if self.store is not None:
            visit.set(self.store, int(keys))
        return Leave("low" if self.low is not None and int(keys) <= self.low else "ok")

    def outcomes(self) -> Mapping[str, Need]:
        low = {} if self.low is None else {"low": Need.WIRED}
        return {"ok": Need.WIRED, **low, **super().outcomes()}
