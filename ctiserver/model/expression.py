"""Expressions of flows and processes: small, typed, pure and total.

``parse("contact.open_records > 0")`` gives an :class:`Expression`; :meth:`Expression.check` proves its types against a
:class:`Scope` before any call; :meth:`Expression.evaluate` always gives a value and never raises: what is missing (a
field of nobody's contact, a division by zero, text that is no number) is None, a comparison with None is false, and
arithmetic with None is None. There are no loops, so cost is bounded by the expression's length.
"""

from __future__ import annotations

import decimal
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import assert_never
from zoneinfo import ZoneInfo

from ctiserver.model.pattern import Pattern, PatternRefused
from ctiserver.strict_yaml import suggest

MAX_LENGTH = 1000
_MAX_DEPTH = 40


class ExpressionError(ValueError):
    """An expression can't be used; ``column`` counts from 1 inside the expression's text."""

    def __init__(self, message: str, column: int, fix: str = "") -> None:
        super().__init__(f"{message} (at character {column})" + (f"; {fix}" if fix else ""))
        self.message = message
        self.column = column
        self.fix = fix


@dataclass(frozen=True, slots=True)
class Money:
    """An amount of the site's currency; spoken as money."""

    amount: Decimal


Value = str | int | Decimal | bool | date | datetime | Money | Mapping[str, "Value"] | Sequence["Value"] | None


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


@dataclass(frozen=True, slots=True)
class Literal:
    value: Value
    column: int


@dataclass(frozen=True, slots=True)
class Path:
    steps: tuple[str, ...]
    column: int


@dataclass(frozen=True, slots=True)
class Items:
    items: tuple[Node, ...]
    column: int


@dataclass(frozen=True, slots=True)
class Call:
    function: str
    arguments: tuple[Node, ...]
    column: int
    rest: tuple[str, ...] = ()  #: fields read of the result


@dataclass(frozen=True, slots=True)
class Unary:
    operator: str
    operand: Node
    column: int


@dataclass(frozen=True, slots=True)
class Binary:
    operator: str
    left: Node
    right: Node
    column: int


Node = Literal | Path | Items | Call | Unary | Binary


@dataclass(frozen=True, slots=True)
class Expression:
    """A parsed expression."""

    text: str
    root: Node

    def check(self, scope: Scope) -> Type:
        """The type it gives. Raises ExpressionError for an unknown name or types that do not fit."""
        return _typed(self.root, scope)

    def evaluate(
        self, names: Mapping[str, Value], context: Context, functions: Mapping[str, Function] | None = None
    ) -> Value:
        """Its value; None where something is missing. Never raises for any names."""
        with decimal.localcontext(decimal.Context(prec=28, traps=[])):
            return _value(self.root, names, context, {**FUNCTIONS, **(functions or {})})

    def reads(self, *, guarded: bool = True) -> Iterator[tuple[str, ...]]:
        """The paths that it reads; without ``guarded`` not those that known() and default() allow to be missing."""
        return (node.steps for node in _walk(self.root, guarded=guarded) if isinstance(node, Path))

    def calls(self, function: str) -> Iterator[Value]:
        """The first arguments, where written out, of every call of ``function``."""
        for node in _walk(self.root):
            if isinstance(node, Call) and node.function == function and node.arguments:
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
    return Expression(text, _Parser(text).whole())


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


_TOKEN = re.compile(
    r"""\s*(?:(?P<number>\d+(?:\.\d+)?)(?![\w.])|(?P<word>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<text>'[^']*'|"[^"]*")|(?P<mark><=|>=|==|!=|[-+*/%()\[\],.<>=])|(?P<wrong>\S))""",
    re.VERBOSE,
)
_FULL_WIDTH = {"（": "(", "）": ")", "，": ",", "“": '"', "”": '"', "＝": "==", "！": "not", "＞": ">", "＜": "<"}
_JAVASCRIPT = {"&": "and", "|": "or", "!": "not", "?": "a branch node"}
_LEVELS: tuple[tuple[str, ...], ...] = (("+", "-"), ("*", "/", "%"))
_COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, str, int]] = []
        self._at = 0
        self._depth = 0
        position = 0
        while match := _TOKEN.match(text, position):
            kind = match.lastgroup or ""
            column = match.start(kind) + 1
            if kind == "wrong":
                wrong = match["wrong"]
                better = _FULL_WIDTH.get(wrong) or _JAVASCRIPT.get(wrong)
                raise ExpressionError(
                    f"{wrong!r} has no meaning here",
                    column,
                    f"write {better}" if better else "close the quotes" if wrong in "'\"" else "",
                )
            self._tokens.append((kind, match[kind], column))
            position = match.end()
        self._end = len(text) + 1

    def whole(self) -> Node:
        node = self._or()
        if self._at < len(self._tokens):
            _, found, column = self._tokens[self._at]
            if found == "=":
                raise ExpressionError("a single = compares nothing", column, "write ==")
            raise ExpressionError(f"{found!r} is one too many", column, "join conditions by and / or")
        return node

    def _peek(self) -> tuple[str, str, int]:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("end", "", self._end)

    def _take(self, *tokens: str) -> tuple[str, int] | None:
        kind, found, column = self._peek()
        if kind in ("mark", "word") and found in tokens:
            self._at += 1
            return found, column
        return None

    def _need(self, found: str) -> None:
        if self._take(found) is None:
            _, found, column = self._peek()
            raise ExpressionError(f"{found!r} is missing" + (f" before {found!r}" if found else ""), column)

    def _or(self) -> Node:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise ExpressionError("nested too deeply", self._peek()[2])
        left = self._and()
        while taken := self._take("or"):
            left = Binary("or", left, self._and(), taken[1])
        self._depth -= 1
        return left

    def _and(self) -> Node:
        left = self._not()
        while taken := self._take("and"):
            left = Binary("and", left, self._not(), taken[1])
        return left

    def _not(self) -> Node:
        columns: list[int] = []
        while taken := self._take("not"):
            columns.append(taken[1])
        node = self._comparison()
        for column in reversed(columns[-_MAX_DEPTH:]):
            node = Unary("not", node, column)
        return node

    def _comparison(self) -> Node:
        left = self._arithmetic(0)
        if taken := self._take(*_COMPARISONS, "in", "matches"):
            left = Binary(taken[0], left, self._arithmetic(0), taken[1])
            if again := self._take(*_COMPARISONS):
                raise ExpressionError("comparisons can't be chained", again[1], "join two by and")
        elif self._peek()[1] == "not" and self._at + 1 < len(self._tokens) and self._tokens[self._at + 1][1] == "in":
            column = self._peek()[2]
            self._at += 2
            left = Unary("not", Binary("in", left, self._arithmetic(0), column), column)
        return left

    def _arithmetic(self, level: int) -> Node:
        if level == len(_LEVELS):
            return self._signed()
        left = self._arithmetic(level + 1)
        while taken := self._take(*_LEVELS[level]):
            left = Binary(taken[0], left, self._arithmetic(level + 1), taken[1])
        return left

    def _signed(self) -> Node:
        if taken := self._take("-"):
            return Unary("-", self._atom(), taken[1])
        return self._atom()

    def _atom(self) -> Node:
        kind, found, column = self._peek()
        self._at += 1
        if kind == "number":
            return Literal(Decimal(found) if "." in found else int(found), column)
        if kind == "text":
            return Literal(found[1:-1], column)
        if kind == "word" and found not in ("and", "or", "not", "in", "matches"):
            return self._word(found, column)
        if found == "(":
            node = self._or()
            self._need(")")
            return node
        if found == "[":
            return Items(self._list("]"), column)
        raise ExpressionError("something is missing" + (f" before {found!r}" if found else " at the end"), column)

    def _list(self, close: str) -> tuple[Node, ...]:
        items: list[Node] = []
        if self._take(close):
            return ()
        while True:
            items.append(self._or())
            if self._take(close):
                return tuple(items)
            self._need(",")

    def _word(self, word: str, column: int) -> Node:
        if word in ("true", "false"):
            return Literal(word == "true", column)
        if self._take("("):
            arguments = self._list(")")
            return Call(word, arguments, column, self._fields())
        return Path((word, *self._fields()), column)

    def _fields(self) -> tuple[str, ...]:
        steps: list[str] = []
        while self._take("."):
            kind, token, column = self._peek()
            if kind != "word":
                raise ExpressionError("a field's name is missing after the dot", column)
            self._at += 1
            steps.append(token)
        return tuple(steps)


def _walk(node: Node, *, guarded: bool = True) -> Iterator[Node]:
    yield node
    children: tuple[Node, ...] = ()
    match node:
        case Items(items=children):
            pass
        case Call(function=name, arguments=children):
            # known(x), and the first argument of default(x, y), may be missing
            children = children if guarded or name not in ("known", "default") else children[1:]
        case Unary(operand=operand):
            children = (operand,)
        case Binary(left=left, right=right):
            children = (left, right)
        case Literal() | Path():
            pass
        case _:
            assert_never(node)
    for child in children:
        yield from _walk(child, guarded=guarded)


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


def _typed(node: Node, scope: Scope) -> Type:
    match node:
        case Literal(value=value):
            return _type_of(value)
        case Path(steps=steps, column=column):
            if steps[0] not in scope.names:
                raise ExpressionError(f"{steps[0]!r} is not known here", column, suggest(steps[0], sorted(scope.names)))
            return _field(scope.names[steps[0]], steps[1:], steps[0], column)
        case Items(items=items):
            kinds = [_typed(item, scope) for item in items]
            for item, kind in zip(items, kinds, strict=True):
                if not (fits(kind, kinds[0]) or fits(kinds[0], kind)):
                    raise ExpressionError(f"a list holds one type: {kinds[0].name} and {kind.name}", item.column)
            return ListOf(kinds[0] if kinds else ANYTHING)
        case Call():
            return _typed_call(node, scope)
        case Unary(operator=operator, operand=operand, column=column):
            kind = _typed(operand, scope)
            wanted = (BOOLEAN,) if operator == "not" else _NUMBERS
            if not any(fits(kind, want) for want in wanted):
                raise ExpressionError(f"{operator} wants a {wanted[0].name}, not a {kind.name}", column)
            return kind
        case Binary():
            return _typed_binary(node, scope)
        case _:
            assert_never(node)


def _typed_call(node: Call, scope: Scope) -> Type:
    functions = {**FUNCTIONS, **scope.functions}
    function = functions.get(node.function)
    if function is None:
        raise ExpressionError(
            f"there is no function {node.function!r}", node.column, suggest(node.function, sorted(functions))
        )
    if len(node.arguments) != len(function.takes):
        raise ExpressionError(
            f"{node.function} takes {len(function.takes)} argument(s), not {len(node.arguments)}", node.column
        )
    kinds = [_typed(argument, scope) for argument in node.arguments]
    for argument, kind, wanted in zip(node.arguments, kinds, function.takes, strict=True):
        if not any(fits(kind, want) for want in wanted):
            names = " or ".join(want.name for want in wanted)
            raise ExpressionError(f"{node.function} wants {names} here, not {kind.name}", argument.column)
    if function.literal_first and not isinstance(node.arguments[0], Literal):
        raise ExpressionError(f"{node.function} wants its name written out", node.column, f'{node.function}("…")')
    if node.function == "date" and isinstance(node.arguments[0], Literal) and _to_date(node.arguments[0].value) is None:
        raise ExpressionError(f"{node.arguments[0].value!r} is no date", node.column, 'write date("2027-01-31")')
    gives = kinds[0] if function.gives is None else function.gives
    return _field(gives, node.rest, f"{node.function}()", node.column)


def _typed_binary(node: Binary, scope: Scope) -> Type:
    left, right = _typed(node.left, scope), _typed(node.right, scope)
    operator = node.operator
    if operator in ("and", "or"):
        for kind, side in ((left, node.left), (right, node.right)):
            if not fits(kind, BOOLEAN):
                raise ExpressionError(f"{operator} joins conditions, and this is a {kind.name}", side.column)
        return BOOLEAN
    if operator == "in":
        if not (isinstance(right, ListOf) or right == ANYTHING):
            raise ExpressionError(f"in wants a list on its right, not a {right.name}", node.column, "write [a, b]")
        if isinstance(right, ListOf) and not (fits(left, right.item) or fits(right.item, left)):
            raise ExpressionError(f"a {left.name} is never in a {right.name}", node.column)
        return BOOLEAN
    if operator == "matches":
        if not fits(left, TEXT) or not isinstance(node.right, Literal) or right != TEXT:
            raise ExpressionError("matches wants a text on its left and a written pattern on its right", node.column)
        try:
            Pattern(str(node.right.value))
        except PatternRefused as refused:
            raise ExpressionError(str(refused), node.right.column) from None
        return BOOLEAN
    if operator in _COMPARISONS:
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


def _value(node: Node, names: Mapping[str, Value], context: Context, functions: Mapping[str, Function]) -> Value:
    match node:
        case Literal(value=value):
            return value
        case Path(steps=steps):
            return _read(names, steps)
        case Items(items=items):
            return tuple(_value(item, names, context, functions) for item in items)
        case Call(function=name, arguments=arguments, rest=rest):
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
    if operator in _COMPARISONS:
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


def to_text(value: Value) -> str:
    """A value as people read it; nothing for what is missing."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case Money(amount=amount):
            return f"{amount:.2f}"
        case datetime():
            return value.strftime("%Y-%m-%d %H:%M")
        case Mapping():
            return to_text(value.get("name"))
        case str():
            return value
        case Sequence():
            return ", ".join(to_text(item) for item in value)
        case Decimal():
            return f"{value:f}"
        case _:
            return str(value)


def _to_int(value: Value) -> int | None:
    if isinstance(value, Decimal):
        return int(value)
    if isinstance(value, int):
        return value
    return int(value) if isinstance(value, str) and re.fullmatch(r"[-+]?[0-9]{1,18}", value) else None


def _to_decimal(value: Value) -> Decimal | None:
    if isinstance(value, int | Decimal):
        return Decimal(value)
    return (
        Decimal(value) if isinstance(value, str) and re.fullmatch(r"[-+]?[0-9]{1,18}(\.[0-9]{1,9})?", value) else None
    )


def _to_date(value: Value) -> date | None:
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


def _mask(text: str) -> str:
    """All but the first three and the last four, as on a receipt; shorter texts keep their last two."""
    if len(text) < 8:
        return "*" * max(0, len(text) - 2) + text[-2:]
    return text[:3] + "*" * (len(text) - 7) + text[-4:]


def _e164(context: Context, text: str) -> Value:
    import phonenumbers  # noqa: PLC0415 - its metadata takes a while to load, and few expressions want it

    try:
        number = phonenumbers.parse(text, context.region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


_TEXTS, _INTS, _ANY = (TEXT,), (INTEGER,), (ANYTHING,)
_COUNTS = (DECIMAL,)  # an integer fits a decimal

#: The functions every expression may call; docs/reference/flow-language.md lists the same.
FUNCTIONS: dict[str, Function] = {
    "len": Function((_TEXTS,), INTEGER, lambda _, text: len(text)),
    "int": Function(((TEXT, DECIMAL),), INTEGER, lambda _, value: _to_int(value)),
    "decimal": Function(((TEXT, DECIMAL),), DECIMAL, lambda _, value: _to_decimal(value)),
    "text": Function((_ANY,), TEXT, lambda _, value: to_text(value)),
    "left": Function((_TEXTS, _INTS), TEXT, lambda _, text, n: text[: max(0, n)]),
    "right": Function((_TEXTS, _INTS), TEXT, lambda _, text, n: text[-n:] if n > 0 else ""),
    "upper": Function((_TEXTS,), TEXT, lambda _, text: text.upper()),
    "lower": Function((_TEXTS,), TEXT, lambda _, text: text.lower()),
    "mask": Function((_TEXTS,), TEXT, lambda _, text: _mask(text)),
    "now": Function((), TIME, lambda context: context.now.astimezone(context.zone)),
    "today": Function((), DATE, lambda context: context.now.astimezone(context.zone).date()),
    "date": Function(((TEXT, TIME, DATE),), DATE, lambda _, value: _to_date(value)),
    "weekday": Function(((DATE, TIME),), INTEGER, lambda _, day: day.isoweekday()),
    "money": Function((_COUNTS,), MONEY, lambda _, value: None if (d := _to_decimal(value)) is None else Money(d)),
    "round": Function((_COUNTS, _INTS), DECIMAL, lambda _, value, n: round(Decimal(value), max(0, min(n, 9)))),
    "abs": Function((_COUNTS,), None, lambda _, value: abs(value)),
    "min": Function((_COUNTS, _COUNTS), DECIMAL, lambda _, a, b: min(a, b)),
    "max": Function((_COUNTS, _COUNTS), DECIMAL, lambda _, a, b: max(a, b)),
    "default": Function((_ANY, _ANY), None, lambda _, value, other: other if value in (None, "") else value, True),
    "known": Function((_ANY,), BOOLEAN, lambda _, value: value not in (None, ""), True),
    "e164": Function((_TEXTS,), TEXT, _e164),
    "customer_if": Function(((BOOLEAN,),), TEXT, lambda _, yes: "customer" if yes else "maker"),
}  # fmt: skip
