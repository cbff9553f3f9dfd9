"""One visit of one node: what a node may read and change while the engine steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from ctiserver.ivr.names import FLOW_FUNCTIONS
from ctiserver.ivr.requests import Phrase, Said, Speak
from ctiserver.ivr.state import FlowState
from ctiserver.model.calendar import Calendar
from ctiserver.model.expression import Context, Expression, Template, Value, to_text
from ctiserver.model.roster import Roster

#: Told to every caller whose menus stay unanswered, once, before the call ends as ``silent``.
OFFER = {
    "zh-CN": "如需人工服务，请按任意键",
    "en": "To speak to a person, press any key.",
}


@dataclass(frozen=True, slots=True)
class World:
    """What holds for every call: the site, as far as flows read it."""

    calendars: Mapping[str, Calendar] = field(default_factory=dict)
    rosters: Mapping[str, Roster] = field(default_factory=dict)
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    region: str = "CN"
    fees: Mapping[str, Decimal] = field(default_factory=dict)


@dataclass(slots=True)
class Visit:
    """The working copy of a state while one step is made of it; thrown away if the step fails."""

    world: World
    now: datetime
    name: str
    languages: tuple[str, ...]
    language: str
    facts: dict[str, Value]
    variables: dict[str, Value]
    local: dict[str, Any]
    pressed: str
    ever_pressed: bool
    tables: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)

    @classmethod
    def of(cls, state: FlowState, world: World, languages: tuple[str, ...], now: datetime) -> Visit:
        """The working copy of ``state``."""
        queues = state.local.get("queues")
        return cls(
            world=world,
            now=now,
            name=state.node,
            languages=languages,
            language=state.language,
            facts=dict(state.facts),
            variables=dict(state.variables),
            local=dict(state.local),
            pressed=state.pressed,
            ever_pressed=state.ever_pressed,
            tables={"queue": queues} if isinstance(queues, Mapping) else {},
        )

    def value(self, expression: Expression) -> Value:
        """What an expression gives now."""
        return expression.evaluate(self._names(), self._context(), FLOW_FUNCTIONS)

    def true(self, expression: Expression) -> bool:
        """Whether a condition holds; what is missing does not."""
        return self.value(expression) is True

    def text(self, expression: Expression) -> str:
        """What an expression gives, as text."""
        return to_text(self.value(expression))

    def set(self, name: str, value: Value) -> None:
        """Give a variable a value; ``language`` is the call's own."""
        if name == "language":
            self.language = str(value) if value in self.languages else self.language
        else:
            self.variables[name] = value

    def speak(
        self, prompt: Mapping[str, Template], slot: str, *, barge_in: bool = True, all_languages: bool = False
    ) -> Speak:
        """A request to play ``prompt`` in the call's language, or in every language of the flow."""
        languages = self.languages if all_languages else (self.language,)
        return Speak(tuple(self._phrase(prompt, language) for language in languages), barge_in, self.name, slot)

    def take_keys(self, keys: str) -> None:
        """Keep keys that were pressed."""
        self.pressed += keys
        self.ever_pressed = self.ever_pressed or bool(keys)

    def _phrase(self, prompt: Mapping[str, Template], language: str) -> Phrase:
        file = prompt["file"].text if "file" in prompt else ""
        template = prompt.get(language) or next((prompt[other] for other in self.languages if other in prompt), None)
        if template is None:
            return Phrase(language, (), file)
        pieces = tuple(piece if isinstance(piece, str) else Said(self.value(piece)) for piece in template.pieces)
        return Phrase(language if language in prompt else self._other(prompt), pieces, file)

    def _other(self, prompt: Mapping[str, Template]) -> str:
        return next(language for language in self.languages if language in prompt)

    def _names(self) -> dict[str, Value]:
        call = self.facts.get("call")
        return {
            "fees": dict(self.world.fees),
            **self.facts,
            "call": {**(call if isinstance(call, Mapping) else {}), "language": self.language},
            "vars": self.variables,
            **{name: value for name, value in self.variables.items() if value is not None},
        }

    def _context(self) -> Context:
        number = self.facts.get("number")
        zone = number.get("time_zone") if isinstance(number, Mapping) else None
        return Context(
            now=self.now,
            zone=ZoneInfo(zone) if isinstance(zone, str) and zone else self.world.zone,
            region=self.world.region,
            tables=self.tables,
        )
