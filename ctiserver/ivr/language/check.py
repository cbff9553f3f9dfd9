"""``flow check``: what is proved of a flow before any caller meets it.

Each rule yields problems with their place in the file and a stable code; docs/reference/check-codes.md has a paragraph
for each. A flow with an error is never loaded; warnings are printed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from ctiserver.errors import Problem
from ctiserver.ivr.language.graph import edges_of, endless, followers, reachable, worst_path
from ctiserver.ivr.language.loader import Flow, expressions_of
from ctiserver.ivr.language.names import VARIABLE_TYPES, scope
from ctiserver.ivr.language.node_base import EXHAUSTION, LANGUAGE, Need, NodeBase, Place, written_in
from ctiserver.ivr.language.schema import NODE_KINDS, kind_of
from ctiserver.model.expression.expression import (
    BOOLEAN,
    TEXT,
    Context,
    Expression,
    ExpressionError,
    Scope,
    Template,
    Type,
    fits,
)
from ctiserver.strict_yaml import suggest

#: A way that keeps a caller longer than this before a person, a message or the end is worth a warning.
LONG_PATH_S = 180.0
_NOTHING: frozenset[str] = frozenset()
_NO_CONTEXT = Context(datetime(2000, 1, 1, tzinfo=UTC))
#: What every record has, whatever its type.
RECORD_FIELDS = frozenset({"device", "payer", "site", "owner", "priority", "summary", "callback_number"})


@dataclass(frozen=True, slots=True)
class SiteNames:
    """What a flow may name of its site."""

    queues: frozenset[str] = frozenset()
    calendars: frozenset[str] = frozenset()
    rosters: frozenset[str] = frozenset()
    record_types: Mapping[str, frozenset[str]] = field(default_factory=dict)  #: type → its fields
    fees: frozenset[str] = frozenset()


def check(flow: Flow, site: SiteNames) -> list[Problem]:
    """Every problem of a flow, in the order of the file. An empty list, or warnings alone, is a flow to be loaded."""
    checker = _Checker(flow, site)
    problems: set[Problem] = set()
    for rule in RULES:
        problems.update(rule(checker))
    return sorted(problems)


class _Checker:
    def __init__(self, flow: Flow, site: SiteNames) -> None:
        self.flow = flow
        self.site = site
        self.edges = edges_of(flow)
        self.after = followers(self.edges)
        self.scope: Scope = scope({name: variable.type for name, variable in flow.file.vars.items()}, site.fees)

    def say(self, path: Place, code: str, message: str, fix: str = "", *, warning: bool = False) -> Problem:
        return Problem(self.flow.document.place(path), code, message, fix, warning)

    def say_key(self, path: Place, code: str, message: str, fix: str = "") -> Problem:
        return Problem(self.flow.document.key_place(path), code, message, fix)

    @property
    def starts(self) -> list[str]:
        """Where a call can begin: the start, and the handlers."""
        file = self.flow.file
        named = (file.start, file.on_error, file.on_hangup, file.agent)
        return [name for name in named if name is not None and name in self.flow.nodes]


def _targets(c: _Checker) -> Iterator[Problem]:
    file = c.flow.file
    for key in ("start", "on_error", "on_hangup", "agent"):
        name = getattr(file, key)
        if name is not None and name not in c.flow.nodes:
            yield c.say((key,), "CF-010", f"{key}: there is no node {name!r}", suggest(name, c.flow.nodes))
    for name, node in c.flow.nodes.items():
        for path, target in node.targets():
            if target not in c.flow.nodes:
                yield c.say(
                    ("nodes", name, *path), "CF-010", f"there is no node {target!r}", suggest(target, c.flow.nodes)
                )


def _outcomes(c: _Checker) -> Iterator[Problem]:
    for name, node in c.flow.nodes.items():
        at: Place = ("nodes", name)
        possible = node.outcomes()
        known = [*possible, *(("exhausted",) if any(o in possible for o in EXHAUSTION) else ())]
        known += [outcome for outcome in node.also_wired if outcome not in known]
        for outcome in node.on:
            if outcome not in known:
                yield c.say_key(
                    (*at, "on", outcome),
                    "CF-013",
                    f"{node.kind} never ends with {outcome!r}",
                    suggest(outcome, known) if known else "this kind has no outcomes",
                )
        if node.next is not None and (node.main_outcome is None or node.main_outcome in node.on):
            wired = (
                f"it is wired by on: {node.main_outcome} already" if node.main_outcome else "wire its outcomes by on:"
            )
            yield c.say_key((*at, "next"), "CF-014", f"next: has no meaning in this {node.kind}", wired)
        caught = c.flow.file.on_error not in (None, name)
        for outcome, need in possible.items():
            if need is Need.ERROR and not caught and node.target(outcome) is None:
                why = "and it is on_error itself" if c.flow.file.on_error == name else "and the flow has no on_error"
                yield c.say_key(
                    at, "CF-012", f"{node.kind} {name!r} can end with {outcome!r}, {why}", f"add on: {{{outcome}: …}}"
                )
            if need is Need.WIRED and node.target(outcome) is None:
                how = "next:" if outcome == node.main_outcome else f"on: {{{outcome}: …}}"
                short = " (or exhausted)" if outcome in EXHAUSTION else ""
                yield c.say_key(
                    at,
                    "CF-012",
                    f"{node.kind} {name!r} can end with {outcome!r}{short}, which leads nowhere",
                    f"add {how}",
                )


def _reach(c: _Checker) -> Iterator[Problem]:
    seen = reachable(c.starts, c.after)
    for name in c.flow.nodes:
        if name not in seen:
            yield c.say_key(
                ("nodes", name), "CF-011", f"nothing leads to the node {name!r}", "lead to it, or remove it"
            )


def _endless(c: _Checker) -> Iterator[Problem]:
    for group in endless(c.flow, c.edges):
        ring = " → ".join([*group, group[0]])
        yield c.say_key(
            ("nodes", group[0]), "CF-015", f"a caller who presses nothing goes round for ever: {ring}", "lead out of it"
        )


def _languages(c: _Checker) -> Iterator[Problem]:
    declared = c.flow.file.languages
    for index, language in enumerate(declared):
        if not LANGUAGE.match(language):
            yield c.say(("languages", index), "CF-018", f"{language!r} is not a language", "write it like zh-CN or en")
    for name, node in c.flow.nodes.items():
        for path, prompt in _prompts(node):
            at: Place = ("nodes", name, *path)
            for key in prompt:
                if key not in declared and key != "file":
                    yield c.say_key(
                        (*at, key), "CF-018", f"{key!r} is not a language of this flow", suggest(key, declared)
                    )
            lacking = [language for language in declared if language not in prompt]
            if lacking and not ("file" in prompt and len(prompt) == 1):
                yield c.say(
                    at, "CF-017", f"the prompt is missing in {', '.join(lacking)}", "write it in every language"
                )


def _prompts(node: object) -> Iterator[tuple[Place, dict[str, Template]]]:
    found: dict[Place, dict[str, Template]] = {}
    for path, template in written_in(node, Template):
        found.setdefault(path[:-1], {})[str(path[-1])] = template
    yield from found.items()


def _named(c: _Checker) -> Iterator[Problem]:
    rules: dict[str, tuple[str, Mapping[str, object] | frozenset[str]]] = {
        "queue": ("CF-019", c.site.queues),
        "calendar": ("CF-020", c.site.calendars),
        "roster": ("CF-021", c.site.rosters),
        "record type": ("CF-022", c.site.record_types),
    }

    def known(path: Place, what: str, name: str) -> Iterator[Problem]:
        code, names = rules[what]
        if name not in names:
            yield c.say(path, code, f"there is no {what} {name!r}", suggest(name, sorted(names)))

    for name, node in c.flow.nodes.items():
        at: Place = ("nodes", name)
        for used in node.used_names():
            yield from known((*at, *used.place), used.what, used.name)
            allowed = c.site.record_types.get(used.name, frozenset(used.fields))
            for key in used.fields:
                if key not in allowed and key not in RECORD_FIELDS:
                    fields = sorted({*allowed, *RECORD_FIELDS})
                    message = f"a {used.name} record has no field {key!r}"
                    yield c.say_key((*at, "fields", key), "CF-023", message, suggest(key, fields))
        for expression in expressions_of(node):
            for queue in expression.calls("queue"):
                yield from known(at, "queue", str(queue))


def _expressions(c: _Checker) -> Iterator[Problem]:
    for name, node in c.flow.nodes.items():
        at: Place = ("nodes", name)
        wanted = _wanted(c, node)
        for path, expression in written_in(node, Expression):
            yield from _typed(c, (*at, *path), expression, wanted.get(path))
        for path, template in written_in(node, Template):
            for expression in template.expressions():
                yield from _typed(c, (*at, *path), expression, None)


def _typed(c: _Checker, path: Place, expression: Expression, wanted: Type | None) -> Iterator[Problem]:
    try:
        kind = expression.check(c.scope)
    except ExpressionError as error:
        yield c.say(path, "CF-030", f"{expression.text!r}: {error.message} (at character {error.column})", error.fix)
        return
    if wanted is not None and not fits(kind, wanted):
        yield c.say(path, "CF-031", f"{expression.text!r} is a {kind.name}; a {wanted.name} is needed here")


def _wanted(c: _Checker, node: NodeBase) -> dict[Place, Type]:
    """The type each expression of a node must have, where it must have one."""
    variables = {name: VARIABLE_TYPES[variable.type] for name, variable in c.flow.file.vars.items()}
    found: dict[Place, Type] = dict.fromkeys(node.conditions(), BOOLEAN)
    found.update({stored.place: variables.get(stored.name, TEXT) for stored in node.stored() if stored.type is None})
    return found


def _stores(c: _Checker) -> Iterator[Problem]:
    variables = {name: variable.type for name, variable in c.flow.file.vars.items()}

    def known(path: Place, name: str, wanted: str | None) -> Iterator[Problem]:
        if name == "language":
            return
        if name not in variables:
            yield c.say_key(
                path, "CF-032", f"there is no variable {name!r}", suggest(name, variables) or "declare it in vars:"
            )
        elif wanted is not None and variables[name] != wanted:
            yield c.say(path, "CF-031", f"{name} is a {variables[name]}; what is stored here is a {wanted}")

    for name, node in c.flow.nodes.items():
        at: Place = ("nodes", name)
        expressions = dict(written_in(node, Expression))
        for stored in node.stored():
            yield from known((*at, *stored.place), stored.name, stored.type)
            expression = expressions.get(stored.place)
            if stored.name == "language" and expression is not None:
                value = expression.evaluate({}, _NO_CONTEXT) if not list(expression.reads()) else None
                if value is not None and value not in c.flow.file.languages:
                    fix = suggest(str(value), c.flow.file.languages)
                    yield c.say((*at, *stored.place), "CF-018", f"{value!r} is not a language of this flow", fix)


def _set_before_read(c: _Checker) -> Iterator[Problem]:
    variables = frozenset(c.flow.file.vars)
    sure = _surely_set(c, variables)
    for name, node in c.flow.nodes.items():
        at: Place = ("nodes", name)
        for path, expression in (*written_in(node, Expression), *_inside_templates(node)):
            for read in expression.reads(guarded=False):
                variable = read[1] if read[0] == "vars" and len(read) > 1 else read[0]
                if variable in variables and variable not in sure[name]:
                    yield c.say(
                        (*at, *path),
                        "CF-016",
                        f"{variable!r} is read here, and on some way to this node nothing has set it",
                        f"set it before, or write default({variable}, …) or known({variable})",
                    )


def _inside_templates(node: object) -> Iterator[tuple[Place, Expression]]:
    for path, template in written_in(node, Template):
        for expression in template.expressions():
            yield path, expression


def _surely_set(c: _Checker, variables: frozenset[str]) -> dict[str, frozenset[str]]:
    """node → the variables that are set on every way to it."""
    sets = _sets(c)
    sure = dict.fromkeys(c.flow.nodes, variables)
    handlers = {c.flow.file.on_hangup, c.flow.file.agent, c.flow.file.start}
    sure.update({name: frozenset() for name in handlers if name in sure and name is not None})
    if c.flow.file.on_error in sure and c.flow.file.on_error is not None:
        sure[c.flow.file.on_error] = frozenset()  # a limit can lead there from anywhere
    changed = True
    while changed:
        changed = False
        for edge in c.edges:
            gained = sure[edge.source] | sets.get((edge.source, edge.label), _NOTHING)
            narrowed = sure[edge.target] & gained
            if narrowed != sure[edge.target]:
                sure[edge.target] = narrowed
                changed = True
    return sure


def _sets(c: _Checker) -> dict[tuple[str, str], frozenset[str]]:
    """(node, outcome) → the variables that are set with it."""
    found: dict[tuple[str, str], frozenset[str]] = {}
    for name, node in c.flow.nodes.items():
        for stored in node.stored():
            for outcome in stored.after:
                found[name, outcome] = found.get((name, outcome), _NOTHING) | {stored.name}
    return found


def _handlers(c: _Checker) -> Iterator[Problem]:
    start = c.flow.file.on_hangup
    if start not in c.flow.nodes or start is None:
        return
    *silent, last = [kind_of(node) for node in NODE_KINDS if node.silent]
    for name in reachable([start], c.after):
        node = c.flow.nodes[name]
        if not node.silent:
            yield c.say_key(
                ("nodes", name),
                "CF-050",
                f"on_hangup leads to the {node.kind} {name!r}, but the caller has hung up",
                f"after a hang-up only {', '.join(silent)} and {last} run",
            )


def _served(c: _Checker) -> Iterator[Problem]:
    """No caller is dropped without a word: before a bare hangup something was said, done or taken."""
    nodes = c.flow.nodes.items()
    dropped = {name for name, node in nodes if node.final_reason is not None and not node.ends_served}
    done = tuple(name for name, node in nodes if node.leaves_served)
    rude = reachable([c.flow.file.start], followers(edge for edge in c.edges if edge.source not in done))
    for name in sorted(dropped & rude if c.flow.file.start in c.flow.nodes else ()):
        yield c.say_key(
            ("nodes", name),
            "CF-040",
            f"a caller can be hung up on at {name!r} without a person, a message, a service done or a goodbye",
            "give it a prompt:",
        )


def _keys(c: _Checker) -> Iterator[Problem]:
    for name, node in c.flow.nodes.items():
        at: Place = ("nodes", name)
        twice = node.key_of_two_meanings()
        if twice:
            yield c.say_key(at, "CF-051", f"the key {twice} is cancel_key and means something else here too")
        for slow in node.slow_choices():
            yield c.say(
                (*at, *slow.place),
                "CF-052",
                f"{slow.keys} is also the beginning of {slow.longer}: who presses {slow.keys} waits {slow.wait_s:g} s",
                "choose keys that do not begin alike",
                warning=True,
            )


def _sensitive(c: _Checker) -> Iterator[Problem]:
    """What a sensitive node stores decides ways and goes nowhere: speech, records, events and numbers leave traces."""
    for name, node in c.flow.nodes.items() if c.flow.sensitive else ():
        conditions = set(node.conditions())
        for path, expression in (*written_in(node, Expression), *_inside_templates(node)):
            if path in conditions:
                continue
            for read in expression.reads():
                variable = read[1] if read[0] == "vars" and len(read) > 1 else read[0]
                if variable in c.flow.sensitive or read == ("vars",):
                    yield c.say(
                        ("nodes", name, *path),
                        "CF-053",
                        f"{variable!r} holds what a sensitive node stored, and this {node.kind} would pass it on",
                        "read it only in the conditions of a branch",
                    )


def _long_path(c: _Checker) -> Iterator[Problem]:
    if c.flow.file.start not in c.flow.nodes:
        return
    worst = worst_path(c.flow, c.edges)
    if worst.cost.seconds > LONG_PATH_S:
        way = " → ".join(worst.nodes)
        yield c.say(
            ("start",),
            "CF-041",
            f"at worst a caller hears {worst.cost.prompts} prompts in {worst.cost.seconds:.0f} s before a person or "
            f"the end: {way}",
            "shorten prompts, or lower max_tries",
            warning=True,
        )


Rule = Callable[[_Checker], Iterator[Problem]]
RULES: tuple[Rule, ...] = (
    _targets,
    _outcomes,
    _reach,
    _endless,
    _languages,
    _named,
    _expressions,
    _stores,
    _set_before_read,
    _handlers,
    _served,
    _keys,
    _sensitive,
    _long_path,
)
