"""The names that a flow can read, each with its type. docs/reference/flow-language.md shows the same list."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ctiserver.model.expression.expression import (
    ANYTHING,
    BOOLEAN,
    DATE,
    DECIMAL,
    INTEGER,
    TEXT,
    TIME,
    Context,
    Function,
    ListOf,
    Object,
    Scope,
    Type,
    Value,
)

CALL = Object(
    "call",
    {
        "id": TEXT,
        "ani": TEXT,  # the caller's number, empty when withheld
        "dnis": TEXT,  # the number that was dialled
        "name": TEXT,
        "withheld": BOOLEAN,
        "blocked": BOOLEAN,
        "language": TEXT,
        "started_at": TIME,
        "visits_24h": INTEGER,  # earlier calls of this number within a day
    },
)
CONTACT = Object(
    "contact",
    {
        "id": TEXT,
        "name": TEXT,
        "tier": TEXT,
        "language": TEXT,
        "open_records": INTEGER,
        "last_agent": TEXT,
        "do_not_call": BOOLEAN,
        "sites": ListOf(TEXT),
        "devices": ListOf(TEXT),  # serial numbers
    },
)
RECORD = Object(
    "record",
    {
        "id": TEXT,
        "number": TEXT,
        "type": TEXT,
        "status": TEXT,
        "owner": TEXT,
        "priority": INTEGER,
        "opened_at": TIME,
    },
)
DEVICE = Object(
    "device",
    {
        "id": TEXT,
        "serial": TEXT,
        "model": TEXT,
        "bought_on": DATE,
        "warranty_until": DATE,
        "contract": TEXT,
    },
)
NUMBER = Object("number", {"dnis": TEXT, "calendar": TEXT, "time_zone": TEXT, "cost_centre": TEXT})
QUEUE = Object("queue", {"waiting": INTEGER, "agents_ready": INTEGER, "wait": INTEGER})

#: The types a variable can have.
VARIABLE_TYPES: dict[str, Type] = {
    "text": TEXT,
    "integer": INTEGER,
    "decimal": DECIMAL,
    "boolean": BOOLEAN,
    "date": DATE,
    "contact": CONTACT,
    "record": RECORD,
    "device": DEVICE,
    "answer": ANYTHING,  # of a web service: checked only when it is read
}
#: Names that are there from the first node on.
GIVEN: dict[str, Type] = {"call": CALL, "contact": CONTACT, "record": RECORD, "number": NUMBER}


def _queue(context: Context, name: str) -> Value:
    return context.tables.get("queue", {}).get(name)


FLOW_FUNCTIONS: dict[str, Function] = {"queue": Function(((TEXT,),), QUEUE, _queue, literal_first=True)}


def scope(variables: Mapping[str, str], fees: Iterable[str]) -> Scope:
    """What a flow with these variables (name → type's name) may name, where the site has these fees."""
    own = {name: VARIABLE_TYPES[kind] for name, kind in variables.items()}
    names: dict[str, Type] = {
        **GIVEN,
        "fees": Object("fees", dict.fromkeys(fees, DECIMAL)),
        "vars": Object("vars", own),
        **own,
    }
    return Scope(names, FLOW_FUNCTIONS)
