"""How an expression is read: its tree, and the parser that makes it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import assert_never

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
class FunctionCall:
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


Node = Literal | Path | Items | FunctionCall | Unary | Binary
_TOKEN = re.compile(
    r"""\s*(?:(?P<number>\d+(?:\.\d+)?)(?![\w.])|(?P<word>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<text>'[^']*'|"[^"]*")|(?P<mark><=|>=|==|!=|[-+*/%()\[\],.<>=])|(?P<wrong>\S))""",
    re.VERBOSE,
)
_FULL_WIDTH = {"（": "(", "）": ")", "，": ",", "“": '"', "”": '"', "＝": "==", "！": "not", "＞": ">", "＜": "<"}
_JAVASCRIPT = {"&": "and", "|": "or", "!": "not", "?": "a branch node"}
_LEVELS: tuple[tuple[str, ...], ...] = (("+", "-"), ("*", "/", "%"))
COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")


class Parser:
    """Recursive descent over one expression's tokens."""

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
        """The tree of the whole text. Raises ExpressionError."""
        node = self._or()
        if self._at < len(self._tokens):
            _, found, column = self._tokens[self._at]
            if found == "=":
                raise ExpressionError("a single = compares nothing", column, "write ==")
            raise ExpressionError(f"unexpected {found!r}", column, "join conditions by and / or")
        return node

    def _peek(self) -> tuple[str, str, int]:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("end", "", self._end)

    def _take(self, *tokens: str) -> tuple[str, int] | None:
        kind, found, column = self._peek()
        if kind in ("mark", "word") and found in tokens:
            self._at += 1
            return found, column
        return None

    def _need(self, wanted: str) -> None:
        if self._take(wanted) is None:
            _, found, column = self._peek()
            raise ExpressionError(f"{wanted!r} is missing" + (f" before {found!r}" if found else ""), column)

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
            if len(columns) > _MAX_DEPTH:
                raise ExpressionError("nested too deeply", taken[1])
        node = self._comparison()
        for column in reversed(columns):
            node = Unary("not", node, column)
        return node

    def _comparison(self) -> Node:
        left = self._arithmetic(0)
        if taken := self._take(*COMPARISONS, "in", "matches"):
            left = Binary(taken[0], left, self._arithmetic(0), taken[1])
            if again := self._take(*COMPARISONS):
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
            return FunctionCall(word, arguments, column, self._fields())
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


def walk(node: Node, *, guarded: bool = True) -> Iterator[Node]:
    """Every node of a tree; without ``guarded`` not what known() and default() allow to be missing."""
    yield node
    children: tuple[Node, ...] = ()
    match node:
        case Items(items=children):
            pass
        case FunctionCall(function=name, arguments=children):
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
        yield from walk(child, guarded=guarded)
