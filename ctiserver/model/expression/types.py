"""The types of expressions, and their proof before any call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import assert_never
from zoneinfo import ZoneInfo

from ctiserver.model.expression.pattern import Pattern, PatternRefused
from ctiserver.model.expression.tree import (
    COMPARISONS,
    Binary,
    ExpressionError,
    FunctionCall,
    Items,
    Literal,
    Money,
    Node,
    Path,
    Unary,
    Value,
)
from ctiserver.strict_yaml import suggest


@dataclass(frozen=True, slots=True)
class Scalar:
    """A plain type."""

    name: str


@dataclass(frozen=True, slots=True)
class Object:
    """A thing with fields."""

    name: str
    fields: Mapping[str, Type]


@dataclass(frozen=True, slots=True)
class ListOf:
    """Several of one type."""

    item: Type

    @property
    def name(self) -> str:
        return f"list of {self.item.name}"


Type = Scalar | Object | ListOf
TEXT, INTEGER, DECIMAL = Scalar("text"), Scalar("integer"), Scalar("decimal")
BOOLEAN, DATE, TIME, MONEY = Scalar("boolean"), Scalar("date"), Scalar("time"), Scalar("money")
ANYTHING = Scalar("anything")  #: decided at run time only: answers of web services, results of work orders


@dataclass(frozen=True, slots=True)
class Context:
    """What evaluation reads besides names: the time, where, and tables such as the queues' state."""

    now: datetime  #: aware
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    region: str = "CN"  #: ISO 3166; how national numbers are read
    tables: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Function:
    """A function that expressions may call. ``takes`` holds, for each argument, the types it may have."""

    takes: tuple[tuple[Type, ...], ...]
    gives: Type | None  #: None: the type of the first argument
    apply: Callable[..., Value]  #: (context, *arguments), arguments never None unless ``missing_too``
    missing_too: bool = False
    literal_first: bool = False  #: the first argument must be written out, so that it can be checked


@dataclass(frozen=True, slots=True)
class Scope:
    """What an expression may name, each with its type."""

    names: Mapping[str, Type]
    functions: Mapping[str, Function] = field(default_factory=dict)


_NUMBERS = (INTEGER, DECIMAL)


def fits(given: Type, wanted: Type) -> bool:
    """Whether a value of type ``given`` can stand where ``wanted`` is needed."""
    if ANYTHING in (given, wanted):
        return True
    if isinstance(given, ListOf) and isinstance(wanted, ListOf):
        return fits(given.item, wanted.item)
    if isinstance(given, Object) and isinstance(wanted, Object):
        return given.name == wanted.name
    return given == wanted or (given == INTEGER and wanted == DECIMAL)


def _field(kind: Type, steps: Sequence[str], name: str, column: int) -> Type:
    for step in steps:
        if kind == ANYTHING:
            return ANYTHING
        if not isinstance(kind, Object):
            raise ExpressionError(f"{name} is a {kind.name} and has no fields", column)
        if step not in kind.fields:
            raise ExpressionError(f"{name} has no field {step!r}", column, suggest(step, sorted(kind.fields)))
        kind, name = kind.fields[step], f"{name}.{step}"
    return kind


def typed(node: Node, scope: Scope) -> Type:
    """The type that a tree gives. Raises ExpressionError."""
    match node:
        case Literal(value=value):
            return _type_of(value)
        case Path(steps=steps, column=column):
            if steps[0] not in scope.names:
                raise ExpressionError(f"{steps[0]!r} is not known here", column, suggest(steps[0], sorted(scope.names)))
            return _field(scope.names[steps[0]], steps[1:], steps[0], column)
        case Items(items=items):
            kinds = [typed(item, scope) for item in items]
            for item, kind in zip(items, kinds, strict=True):
                if not (fits(kind, kinds[0]) or fits(kinds[0], kind)):
                    raise ExpressionError(f"a list holds one type: {kinds[0].name} and {kind.name}", item.column)
            return ListOf(kinds[0] if kinds else ANYTHING)
        case FunctionCall():
            return _typed_call(node, scope)
        case Unary(operator=operator, operand=operand, column=column):
            kind = typed(operand, scope)
            wanted = (BOOLEAN,) if operator == "not" else _NUMBERS
            if not any(fits(kind, want) for want in wanted):
                raise ExpressionError(f"{operator} needs a {wanted[0].name}, not a {kind.name}", column)
            return kind
        case Binary():
            return _typed_binary(node, scope)
        case _:
            assert_never(node)


def _typed_call(node: FunctionCall, scope: Scope) -> Type:
    functions = scope.functions
    function = functions.get(node.function)
    if function is None:
        raise ExpressionError(
            f"there is no function {node.function!r}", node.column, suggest(node.function, sorted(functions))
        )
    if len(node.arguments) != len(function.takes):
        raise ExpressionError(
            f"{node.function} takes {len(function.takes)} argument(s), not {len(node.arguments)}", node.column
        )
    kinds = [typed(argument, scope) for argument in node.arguments]
    for argument, kind, wanted in zip(node.arguments, kinds, function.takes, strict=True):
        if not any(fits(kind, want) for want in wanted):
            names = " or ".join(want.name for want in wanted)
            raise ExpressionError(f"{node.function} takes {names} here, not {kind.name}", argument.column)
    if function.literal_first and not isinstance(node.arguments[0], Literal):
        raise ExpressionError(f"{node.function} takes a literal name", node.column, f'{node.function}("…")')
    if node.function == "date" and isinstance(node.arguments[0], Literal) and to_date(node.arguments[0].value) is None:
        raise ExpressionError(f"{node.arguments[0].value!r} is not a date", node.column, 'write date("2027-01-31")')
    gives = kinds[0] if function.gives is None else function.gives
    return _field(gives, node.rest, f"{node.function}()", node.column)


def _typed_binary(node: Binary, scope: Scope) -> Type:
    left, right = typed(node.left, scope), typed(node.right, scope)
    operator = node.operator
    if operator in ("and", "or"):
        for kind, side in ((left, node.left), (right, node.right)):
            if not fits(kind, BOOLEAN):
                raise ExpressionError(f"{operator} joins conditions, and this is a {kind.name}", side.column)
        return BOOLEAN
    if operator == "in":
        if not (isinstance(right, ListOf) or right == ANYTHING):
            raise ExpressionError(f"in needs a list on its right, not a {right.name}", node.column, "write [a, b]")
        if isinstance(right, ListOf) and not (fits(left, right.item) or fits(right.item, left)):
            raise ExpressionError(f"a {left.name} is never in a {right.name}", node.column)
        return BOOLEAN
    if operator == "matches":
        if not fits(left, TEXT) or not isinstance(node.right, Literal) or right != TEXT:
            raise ExpressionError("matches needs a text on its left and a literal pattern on its right", node.column)
        try:
            Pattern(str(node.right.value))
        except PatternRefused as refused:
            raise ExpressionError(str(refused), node.right.column) from None
        return BOOLEAN
    if operator in COMPARISONS:
        if not (fits(left, right) or fits(right, left)):
            raise ExpressionError(f"a {left.name} can't be compared with a {right.name}", node.column)
        if operator not in ("==", "!=") and (isinstance(left, Object | ListOf) or left == BOOLEAN):
            raise ExpressionError(f"a {left.name} has no order", node.column)
        return BOOLEAN
    return _typed_arithmetic(operator, left, right, node.column)


def _typed_arithmetic(operator: str, left: Type, right: Type, column: int) -> Type:
    if ANYTHING in (left, right):
        return ANYTHING
    if left in _NUMBERS and right in _NUMBERS:
        return DECIMAL if DECIMAL in (left, right) or operator == "/" else INTEGER
    if operator in ("+", "-") and left in (DATE, TIME) and right == INTEGER:
        return left
    if operator == "-" and left == right == DATE:
        return INTEGER
    if operator == "+" and left == right == TEXT:
        return TEXT
    raise ExpressionError(f"{left.name} {operator} {right.name} has no meaning", column)


def _type_of(value: Value) -> Type:
    for python, kind in (
        (bool, BOOLEAN), (str, TEXT), (int, INTEGER), (Decimal, DECIMAL), (datetime, TIME), (date, DATE),
        (Money, MONEY),
    ):  # fmt: skip
        if isinstance(value, python):
            return kind
    return ANYTHING


def to_date(value: Value) -> date | None:
    """A day from a date, a moment, or a text such as 2027-01-31; None for what is none."""
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    for form in ("%Y-%m-%d", "%Y%m%d"):
        try:
            return datetime.strptime(str(value), form).date()  # noqa: DTZ007 - a calendar day has no zone
        except ValueError:
            continue
    return None
