"""One visit of one node: what a node may read and change while the engine steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from ctiserver.ivr.language.names import FLOW_FUNCTIONS
from ctiserver.ivr.language.node_base import Prompt
from ctiserver.ivr.language.requests import Phrase, Said, Speak
from ctiserver.ivr.language.state import FlowState
from ctiserver.model.blocklist import Blocklist
from ctiserver.model.calendar.opening_hours import Calendar
from ctiserver.model.calendar.roster import Roster
from ctiserver.model.expression.expression import Context, Expression, Value, to_text

if TYPE_CHECKING:
    from ctiserver.ivr.language.loader import Flow

#: Requests to play prompts of one version of a flow that are alike in every call, by (identity of the prompt in the
#: flow, slot, language). Most prompts are, and making one again costs as much as the rest of a step.
FixedPrompts = dict[tuple[int, str, str], Speak]


@dataclass(frozen=True, slots=True)
class World:
    """What holds for every call: the site, as far as flows read it."""

    calendars: Mapping[str, Calendar] = field(default_factory=dict)
    rosters: Mapping[str, Roster] = field(default_factory=dict)
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    region: str = "CN"
    fees: Mapping[str, Decimal] = field(default_factory=dict)
    blocked: Blocklist = field(default_factory=Blocklist)


@dataclass(slots=True, kw_only=True)
class Visit:
    """The working copy of a state while one step is made of it; thrown away if the step fails.

    ``local`` is the visit's own; the other maps are shared with the state, and are replaced, never changed.
    """

    world: World
    now: datetime
    languages: tuple[str, ...]
    name: str
    language: str
    facts: Mapping[str, Value]
    variables: Mapping[str, Value]
    local: dict[str, Any]
    pressed: str
    ever_pressed: bool
    tables: Mapping[str, Mapping[str, Value]]
    fixed: FixedPrompts

    @classmethod
    def of(cls, state: FlowState, world: World, flow: Flow, now: datetime) -> Visit:
        """The working copy of ``state``."""
        local = dict(state.local)
        return cls(
            world=world,
            now=now,
            languages=flow.file.languages,
            name=state.node,
            language=state.language,
            facts=state.facts,
            variables=state.variables,
            local=local,
            pressed=state.pressed,
            ever_pressed=state.ever_pressed,
            tables={"queue": local["queues"]} if local.get("queues") else {},
            fixed=flow.fixed_prompts,
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
            self.variables = {**self.variables, name: value}

    def learn(self, name: str, value: Value) -> None:
        """Replace a fact: contact or record."""
        self.facts = {**self.facts, name: value}

    def speak(self, prompt: Prompt, slot: str, *, barge_in: bool = True, all_languages: bool = False) -> Speak:
        """A request to play ``prompt`` in the call's language, or in every language of the flow."""
        key = (id(prompt), slot, "" if all_languages else self.language)
        known = self.fixed.get(key)
        if known is not None:
            return known
        languages = self.languages if all_languages else (self.language,)
        phrases = tuple([self._phrase(prompt, language) for language in languages])
        request = Speak(phrases, barge_in, self.name, slot)
        if all(template.fixed for template in prompt.values()):
            self.fixed[key] = request
        return request

    def take_keys(self, keys: str) -> None:
        """Keep keys that were pressed."""
        self.pressed += keys
        self.ever_pressed = self.ever_pressed or bool(keys)

    def _phrase(self, prompt: Prompt, language: str) -> Phrase:
        file = prompt["file"].text if "file" in prompt else ""
        template = prompt.get(language) or next((prompt[other] for other in self.languages if other in prompt), None)
        if template is None:
            return Phrase(language, (), file)
        pieces = tuple([piece if isinstance(piece, str) else Said(self.value(piece)) for piece in template.pieces])
        return Phrase(language if language in prompt else self._other(prompt), pieces, file)

    def _other(self, prompt: Prompt) -> str:
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
