"""Expressions of flows and processes: small, typed, pure and total.

``parse("contact.open_records > 0")`` gives an :class:`Expression`; :meth:`Expression.check` proves its types against a
:class:`Scope` before any call; :meth:`Expression.evaluate` always gives a value and never raises: what is missing (a
field of nobody's contact, a division by zero, text that is not a number) is None, a comparison with None is false, and
arithmetic with None is None. There are no loops, so cost is bounded by the expression's length.
"""

from __future__ import annotations

import decimal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import assert_never

from ctiserver.model.expression.functions import FUNCTIONS, to_text
from ctiserver.model.expression.pattern import Pattern, PatternRefused
from ctiserver.model.expression.tree import (
    COMPARISONS,
    MAX_LENGTH,
    Binary,
    ExpressionError,
    FunctionCall,
    Items,
    Literal,
    Money,
    Node,
    Parser,
    Path,
    Unary,
    Value,
    walk,
)
from ctiserver.model.expression.types import (
    ANYTHING,
    BOOLEAN,
    DATE,
    DECIMAL,
    INTEGER,
    MONEY,
    TEXT,
    TIME,
    Context,
    Function,
    ListOf,
    Object,
    Scalar,
    Scope,
    Type,
    fits,
    typed,
)

__all__ = [
    "ANYTHING",
    "BOOLEAN",
    "DATE",
    "DECIMAL",
    "FUNCTIONS",
    "INTEGER",
    "MONEY",
    "TEXT",
    "TIME",
    "Context",
    "Expression",
    "ExpressionError",
    "Function",
    "ListOf",
    "Money",
    "Object",
    "Scalar",
    "Scope",
    "Template",
    "Type",
    "Value",
    "constant",
    "fits",
    "parse",
    "parse_template",
    "to_text",
]


@dataclass(frozen=True, slots=True)
class Expression:
    """A parsed expression."""

    text: str
    root: Node

    def check(self, scope: Scope) -> Type:
        """The type it gives. Raises ExpressionError for an unknown name or types that do not fit."""
        return typed(self.root, replace(scope, functions={**FUNCTIONS, **scope.functions}))

    def evaluate(
        self, names: Mapping[str, Value], context: Context, functions: Mapping[str, Function] | None = None
    ) -> Value:
        """Its value; None where something is missing. Never raises for any names."""
        with decimal.localcontext(decimal.Context(prec=28, traps=[])):
            return _value(self.root, names, context, {**FUNCTIONS, **(functions or {})})

    def reads(self, *, guarded: bool = True) -> Iterator[tuple[str, ...]]:
        """The paths that it reads; without ``guarded`` not those that known() and default() allow to be missing."""
        return (node.steps for node in walk(self.root, guarded=guarded) if isinstance(node, Path))

    def calls(self, function: str) -> Iterator[Value]:
        """The first arguments, where written out, of every call of ``function``."""
        for node in walk(self.root):
            if isinstance(node, FunctionCall) and node.function == function and node.arguments:
                first = node.arguments[0]
                if isinstance(first, Literal):
                    yield first.value


def constant(value: Value) -> Expression:
    """An expression that is a value written out."""
    return Expression(str(value), Literal(value, 1))


def parse(text: str) -> Expression:
    """Parse an expression (without the ``=`` before it). Raises ExpressionError."""
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"an expression is at most {MAX_LENGTH} characters long", MAX_LENGTH)
    return Expression(text, Parser(text).whole())


@dataclass(frozen=True, slots=True)
class Template:
    """A text with ``{{ expressions }}``: its pieces in order."""

    text: str
    pieces: tuple[str | Expression, ...]

    @property
    def fixed(self) -> bool:
        """Whether nothing in it changes from call to call."""
        return all(isinstance(piece, str) for piece in self.pieces)

    def expressions(self) -> Iterator[Expression]:
        """Its expressions."""
        return (piece for piece in self.pieces if isinstance(piece, Expression))


def parse_template(text: str) -> Template:
    """Parse a text with ``{{ … }}``. Raises ExpressionError; columns count inside ``text``."""
    pieces: list[str | Expression] = []
    at = 0
    while (begin := text.find("{{", at)) >= 0:
        end = text.find("}}", begin)
        if end < 0:
            raise ExpressionError("{{ without }}", begin + 1)
        if text[at:begin].strip():
            pieces.append(text[at:begin])
        try:
            pieces.append(parse(text[begin + 2 : end]))
        except ExpressionError as error:
            raise ExpressionError(error.message, begin + 2 + error.column, error.fix) from None
        at = end + 2
    if text[at:].strip():
        pieces.append(text[at:])
    return Template(text, tuple(pieces))


def _value(node: Node, names: Mapping[str, Value], context: Context, functions: Mapping[str, Function]) -> Value:
    match node:
        case Literal(value=value):
            return value
        case Path(steps=steps):
            return _read(names, steps)
        case Items(items=items):
            return tuple(_value(item, names, context, functions) for item in items)
        case FunctionCall(function=name, arguments=arguments, rest=rest):
            function = functions.get(name)
            given = [_value(argument, names, context, functions) for argument in arguments]
            if function is None or len(given) != len(function.takes):
                return None
            if not function.missing_too and any(item is None for item in given):
                return None
            try:
                return _read({"": function.apply(context, *given)}, ("", *rest))
            except (TypeError, ValueError, ArithmeticError, AttributeError):
                return None  # types that only show at run time
        case Unary(operator=operator, operand=operand):
            value = _value(operand, names, context, functions)
            if operator == "not":
                return value is not True
            return -value if isinstance(value, int | Decimal) and not isinstance(value, bool) else None
        case Binary(operator="and", left=left, right=right):
            return all(_value(side, names, context, functions) is True for side in (left, right))
        case Binary(operator="or", left=left, right=right):
            return any(_value(side, names, context, functions) is True for side in (left, right))
        case Binary(operator=operator, left=left, right=right):
            return _operate(operator, _value(left, names, context, functions), _value(right, names, context, functions))
        case _:
            assert_never(node)


def _read(names: Mapping[str, Value], steps: Sequence[str]) -> Value:
    value: Value = names
    for step in steps:
        if not isinstance(value, Mapping):
            return None
        value = value.get(step)
    return value


def _operate(operator: str, left: Value, right: Value) -> Value:
    if operator == "in":
        return left is not None and isinstance(right, Sequence) and not isinstance(right, str) and left in right
    if operator == "matches":
        try:
            return isinstance(left, str) and isinstance(right, str) and Pattern(right).fits(left)
        except PatternRefused:
            return False
    if operator in COMPARISONS:
        return _compare(operator, left, right)
    return _calculate(operator, left, right)


def _compare(operator: str, left: Value, right: Value) -> bool:
    if left is None or right is None:
        return False
    if operator in ("==", "!="):
        return (left == right) is (operator == "==")
    if isinstance(left, Money) and isinstance(right, Money):
        left, right = left.amount, right.amount
    try:
        if operator == "<":
            return bool(left < right)  # type: ignore[operator]
        if operator == "<=":
            return bool(left <= right)  # type: ignore[operator]
        if operator == ">":
            return bool(left > right)  # type: ignore[operator]
        return bool(left >= right)  # type: ignore[operator]
    except TypeError:
        return False


def _calculate(operator: str, left: Value, right: Value) -> Value:
    if isinstance(left, bool) or isinstance(right, bool):
        return None
    if isinstance(left, str) and isinstance(right, str):
        return left + right if operator == "+" else None
    if isinstance(left, date) and isinstance(right, int) and operator in ("+", "-"):
        try:
            return left + timedelta(days=right if operator == "+" else -right)
        except OverflowError:
            return None
    if isinstance(left, date) and isinstance(right, date) and type(left) is type(right) is date and operator == "-":
        return (left - right).days
    if not isinstance(left, int | Decimal) or not isinstance(right, int | Decimal):
        return None
    if operator in ("/", "%") and right == 0:
        return None
    if operator == "/":
        result: int | Decimal = Decimal(left) / Decimal(right)
    elif operator == "%":
        result = left % right
    elif operator == "*":
        result = left * right
    else:
        result = left + right if operator == "+" else left - right
    return None if isinstance(result, Decimal) and not result.is_finite() else result
