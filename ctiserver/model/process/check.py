"""What makes a process definition safe: the check refuses whatever could strand a record.

PF-001 … PF-006 are disagreements with the schema (``strict_yaml.parse``); the others are found here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from ctiserver.errors import FileFault, Problem
from ctiserver.model.expression import expression
from ctiserver.model.expression.expression import ANYTHING, DATE, INTEGER, TEXT, TIME, ExpressionError, Object, Scope
from ctiserver.model.json_value import JsonObject
from ctiserver.model.person import PEOPLES_ROLES
from ctiserver.model.process.definition import ANY, CALLED, MUST, Move, Order, ProcessFile, Step, outcomes_of
from ctiserver.strict_yaml import Document, parse, suggest

ROLES: tuple[str, ...] = PEOPLES_ROLES
#: Outcomes that come by themselves, so that an order which stays open on them would be made again for ever.
REOPENED = ("declined", "unreachable")
#: Whom ``notify`` and ``then`` may name besides roles.
PEOPLE = ("owner", "customer")

RECORD = Object(
    "record",
    {
        "number": TEXT,
        "type": TEXT,
        "subject": TEXT,
        "caller_number": TEXT,
        "owner": TEXT,
        "payer": TEXT,
        "priority": INTEGER,
        "disposition": TEXT,
        "opened_at": TIME,
        "product": TEXT,
        "fields": ANYTHING,
        "site": Object("site", {"name": TEXT, "address": TEXT, "region": TEXT}),
        "device": Object("device", {"serial": TEXT, "model": TEXT, "warranty_until": DATE, "contract": TEXT}),
        "contact": Object("contact", {"name": TEXT, "organisation": TEXT, "tier": TEXT, "language": TEXT}),
    },
)


def scope() -> Scope:
    """What expressions of a process may name: the record, and what its orders came to."""
    return Scope({"record": RECORD, "orders": ANYTHING})


def read(
    document: Document,
    *,
    calendars: Collection[str],
    record_types: Collection[str],
    flows: Collection[str] | None = None,
) -> ProcessFile:
    """The checked definition. With ``flows`` those that it calls customers with must be among them.

    Raises FileFault with every problem, each with its place; warnings alone are not a fault.
    """
    definition = parse(document, ProcessFile, prefix="PF")
    problems = list(check(document, definition, calendars=calendars, record_types=record_types))
    for path, flow in calls(definition):
        if flows is not None and flow not in flows:
            problems.append(Problem(document.place(path), "PF-032", f"no flow is named {flow!r}", suggest(flow, flows)))
    if any(not problem.warning for problem in problems):
        raise FileFault(problems)
    return definition


def check(
    document: Document, definition: ProcessFile, *, calendars: Collection[str], record_types: Collection[str]
) -> Iterator[Problem]:
    """Everything wrong with a definition that has the schema's form."""
    if definition.start not in definition.steps:
        place = document.place(("start",))
        yield Problem(
            place, "PF-010", f"no step is named {definition.start!r}", suggest(definition.start, definition.steps)
        )
    if definition.for_.type not in (ANY, *record_types):
        place = document.place(("for", "type"))
        yield Problem(
            place,
            "PF-011",
            f"no record type is named {definition.for_.type!r}",
            suggest(definition.for_.type, record_types),
        )
    if definition.calendar is not None and definition.calendar not in calendars:
        place = document.place(("calendar",))
        yield Problem(
            place, "PF-012", f"no calendar is named {definition.calendar!r}", suggest(definition.calendar, calendars)
        )
    slots: dict[str, str] = {}
    for name, step in definition.steps.items():
        for slot in step.orders(name):
            if slots.setdefault(slot, name) != name or (slot != name and slot in definition.steps):
                yield Problem(
                    document.key_place(("steps", name, "all", slot)),
                    "PF-027",
                    f"{slot!r} appears twice",
                    "give each order its own name",
                )
        yield from _step(document, definition, name, step, calendars)
    yield from _reach(document, definition)
    yield from _endless(document, definition)


def _step(
    document: Document, definition: ProcessFile, name: str, step: Step, calendars: Collection[str]
) -> Iterator[Problem]:
    orders = step.orders(name)
    known: dict[str, None] = {}
    for slot, order in orders.items():
        path = ("steps", name) if step.all is None else ("steps", name, "all", slot)
        yield from _order(document, definition, path, order, calendars)
        known |= dict.fromkeys(outcomes_of(order.order))
        yield from _must(document, name, slot, step, order)
    for outcome, move in step.on.items():
        where = ("steps", name, "on", outcome)
        if outcome not in known:
            yield Problem(
                document.key_place(where),
                "PF-013",
                f"the orders of {name!r} never come to {outcome!r}",
                suggest(outcome, known),
            )
        yield from _move(document, definition, where, name, move)
    if step.notify is not None:
        yield from _person(document, ("steps", name, "notify"), step.notify)


def _must(document: Document, name: str, slot: str, step: Step, order: Order) -> Iterator[Problem]:
    needed = list(MUST[order.order])
    if order.complete_within is not None:
        needed.append("late")
    if order.accept_within is not None:
        needed.append("declined")
    for outcome in needed:
        if outcome not in step.on:
            yield Problem(
                document.key_place(("steps", name)),
                "PF-014",
                f"{slot!r} can come to {outcome!r}, which goes nowhere",
                f"add {outcome}: to on:",
            )


def _order(
    document: Document, definition: ProcessFile, path: tuple[str, ...], order: Order, calendars: Collection[str]
) -> Iterator[Problem]:
    if order.complete_within is None and order.order not in ("follow_up", "survey", "callback"):
        yield Problem(
            document.key_place(path),
            "PF-015",
            f"the wait for {path[-1]!r} never ends if nobody acts",
            "add complete_within: and an outcome late:",
        )
    if order.to is not None and order.to.role not in ROLES:
        yield from _person(document, (*path, "to", "role"), order.to.role)
    if order.remind and order.complete_within is None:
        yield Problem(document.place((*path, "remind")), "PF-016", "a share of no time: remind: needs complete_within:")
    if order.open is not None and order.open not in calendars:
        yield Problem(
            document.place((*path, "open")),
            "PF-012",
            f"no calendar is named {order.open!r}",
            suggest(order.open, calendars),
        )
    for key in ("accept_within", "complete_within", "after", "retry_after"):
        span = getattr(order, key)
        if span is not None and span.working and definition.calendar is None:
            yield Problem(
                document.place((*path, key)), "PF-017", f"{span} of which calendar?", "add calendar: to the process"
            )
    if order.checklist and ("done" not in MUST[order.order] or any(way.call is not None for way in order.by)):
        yield Problem(
            document.key_place((*path, "checklist")),
            "PF-033",
            "it can never be ticked: a person must do the order, and it must be able to end as done",
            "remove checklist:",
        )
    yield from _ways(document, path, order, calendars)
    to = order.to
    for where, text, names in (
        ((*path, "to", "department"), None if to is None else to.department, scope()),
        ((*path, "to", "skills"), None if to is None else to.skills, scope()),
        ((*path, "to", "region"), None if to is None else to.region, scope()),
        ((*path, "payer"), order.payer, scope()),
        ((*path, "amount"), order.amount, scope()),
        ((*path, "at"), order.at, _outcomes(definition)),
    ):
        if text is not None and text.startswith("="):
            try:
                expression.parse(text[1:]).check(names)
            except ExpressionError as error:
                yield Problem(document.place(where), "PF-018", error.message, error.fix)


def _outcomes(definition: ProcessFile) -> Scope:
    """What ``at`` may name: what orders came to, by the order's name or all together."""
    slots = {slot for name, step in definition.steps.items() for slot in step.orders(name)}
    return Scope({"orders": ANYTHING, **dict.fromkeys(slots, ANYTHING)})


def _ways(document: Document, path: tuple[str, ...], order: Order, calendars: Collection[str]) -> Iterator[Problem]:
    if order.by and order.order not in CALLED:
        yield Problem(
            document.key_place((*path, "by")), "PF-029", f"an order of kind {order.order} is not done by calling",
            f"use to:, or one of: {', '.join(CALLED)}",
        )  # fmt: skip
    for index, way in enumerate(order.by):
        if way.person is not None and way.person not in (*ROLES, "owner"):
            yield Problem(
                document.place((*path, "by", index, "person")),
                "PF-023",
                f"{way.person!r} is not a role or person",
                suggest(way.person, ("owner", *ROLES)),
            )
    if any(way.call is not None for way in order.by) and order.within is None:
        yield Problem(
            document.key_place((*path, "by")),
            "PF-030",
            "customers would be called at any hour",
            "add within: {calendar: …}, the hours in which they may be",
        )
    if order.within is not None and order.within.calendar not in calendars:
        yield Problem(
            document.place((*path, "within", "calendar")),
            "PF-012",
            f"no calendar is named {order.within.calendar!r}",
            suggest(order.within.calendar, calendars),
        )
    if order.within is not None and order.open is not None:
        yield Problem(document.key_place((*path, "open")), "PF-031", "open: and within: both say when", "keep one")
    if order.at is not None and order.after is not None:
        yield Problem(document.key_place((*path, "after")), "PF-031", "at: and after: both say when", "keep one")
    if order.window is not None and order.order != "appointment":
        yield Problem(
            document.key_place((*path, "window")), "PF-029", "only an appointment agrees on a window", "remove window:"
        )


def calls(definition: ProcessFile) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Every flow that the definition plays to customers, and where it says so."""
    for name, step in definition.steps.items():
        for slot, order in step.orders(name).items():
            path = ("steps", name) if step.all is None else ("steps", name, "all", slot)
            for index, way in enumerate(order.by):
                if way.call is not None:
                    yield (*path, "by", index, "call"), way.call


def vacant(document: Document, definition: ProcessFile, taken: Collection[str]) -> Iterator[Problem]:
    """A warning for each order that is for a role which none of the site's people has (``taken``: those that have)."""
    for name, step in definition.steps.items():
        for slot, order in step.orders(name).items():
            path: tuple[str | int, ...] = ("steps", name) if step.all is None else ("steps", name, "all", slot)
            given = [((*path, "by", at, "person"), way.person) for at, way in enumerate(order.by)]
            for place, role in [((*path, "to", "role"), order.to.role)] if order.to is not None else given:
                if role in ROLES and role not in taken:
                    yield Problem(
                        document.place(place),
                        "PF-035",
                        f"nobody has the role {role}, so nobody would see this order",
                        f"ctiserver user add NAME --role {role}",
                        warning=True,
                    )


def _move(
    document: Document, definition: ProcessFile, where: tuple[str, ...], step: str, move: Move
) -> Iterator[Problem]:
    if (move.go is None) == (not move.stay):
        yield Problem(document.place(where), "PF-019", f"{where[-1]!r} needs either go: or stay: true")
    if move.go is not None and move.go not in definition.steps:
        yield Problem(
            document.place((*where, "go")),
            "PF-010",
            f"no step is named {move.go!r}",
            suggest(move.go, definition.steps),
        )
    if where[-1] in REOPENED and move.stay:
        yield Problem(
            document.place(where),
            "PF-034",
            f"{where[-1]!r} would open the same order again at once, without end",
            "go: somewhere, with max: and then:",
        )
    if move.escalate is not None and move.escalate not in ROLES:
        yield from _person(document, (*where, "escalate"), move.escalate)
    if where[-1] == "late" and move.stay and move.escalate is None and move.notify is None:
        yield Problem(document.place(where), "PF-020", "late, and nobody is notified", "add escalate: supervisor")
    if (move.max is None) != (move.then is None):
        yield Problem(document.place(where), "PF-021", "max: and then: belong together: so often, and what then")
    if move.then is not None and move.then not in definition.steps and move.then not in (*ROLES, "owner"):
        yield Problem(
            document.place((*where, "then")),
            "PF-010",
            f"no step or role is named {move.then!r}",
            suggest(move.then, (*definition.steps, *ROLES, "owner")),
        )
    if move.notify is not None:
        yield from _person(document, (*where, "notify"), move.notify)
    target = definition.steps.get(move.go or "")
    for index, slot in enumerate(move.redo):
        if target is None or target.all is None or slot not in target.all:
            yield Problem(
                document.place((*where, "redo", index)),
                "PF-022",
                f"{move.go!r} has no order {slot!r} to redo",
                suggest(slot, target.all or () if target is not None else ()),
            )


def _person(document: Document, where: tuple[str, ...], name: str) -> Iterator[Problem]:
    if name not in (*ROLES, *PEOPLE):
        yield Problem(
            document.place(where), "PF-023", f"{name!r} is not a role or person", suggest(name, (*PEOPLE, *ROLES))
        )


def _targets(step: Step) -> Iterator[tuple[str, Move, str]]:
    for outcome, move in step.on.items():
        if move.go is not None:
            yield outcome, move, move.go
        if move.then is not None:
            yield outcome, move, move.then


def _reach(document: Document, definition: ProcessFile) -> Iterator[Problem]:
    reached: set[str] = set()
    waiting = [definition.start]
    while waiting:
        name = waiting.pop()
        if name in reached or name not in definition.steps:
            continue
        reached.add(name)
        waiting.extend(target for _, _, target in _targets(definition.steps[name]))
    for name in definition.steps:
        if name not in reached:
            yield Problem(
                document.key_place(("steps", name)),
                "PF-024",
                f"no way leads to step {name!r}",
                "remove it, or go: there",
            )
    closing = {name for name, step in definition.steps.items() if step.close is not None}
    ends: set[str] = set(closing)
    changed = True
    while changed:
        found = {
            name
            for name, step in definition.steps.items()
            if name not in ends and any(target in ends for _, _, target in _targets(step))
        }
        ends |= found
        changed = bool(found)
    for name in sorted(reached - ends):
        yield Problem(document.key_place(("steps", name)), "PF-025", f"from step {name!r} no way leads to a close:")


def _endless(document: Document, definition: ProcessFile) -> Iterator[Problem]:
    """A loop in which no turn is counted could go on for ever."""
    uncounted = {
        name: [
            (outcome, target)
            for outcome, move in step.on.items()
            for target in (
                move.go if move.max is None else None,
                move.then,
            )  # what comes then comes each time from then on
            if target in definition.steps
        ]
        for name, step in definition.steps.items()
    }
    for name, edges in uncounted.items():
        for outcome, target in edges:
            if _leads(uncounted, target, name):
                yield Problem(
                    document.place(("steps", name, "on", outcome)),
                    "PF-026",
                    f"{outcome!r} leads back to {name!r} without a bound",
                    "add max: and then:",
                )


def _leads(edges: dict[str, list[tuple[str, str]]], start: str, goal: str) -> bool:
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        here = waiting.pop()
        if here == goal:
            return True
        if here not in seen:
            seen.add(here)
            waiting.extend(target for _, target in edges.get(here, ()))
    return False


def source(document: Document) -> JsonObject:
    """The definition as plain data, for the copy that each instance keeps."""
    assert isinstance(document.data, dict)
    return document.data
