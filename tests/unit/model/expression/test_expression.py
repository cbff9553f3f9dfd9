from datetime import UTC, date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctiserver.model.expression.expression import (
    ANYTHING,
    BOOLEAN,
    DATE,
    INTEGER,
    TEXT,
    Context,
    ExpressionError,
    ListOf,
    Money,
    Object,
    Scope,
    Value,
    parse,
    parse_template,
    to_text,
)

CONTEXT = Context(datetime(2026, 11, 23, 20, 0, tzinfo=UTC), ZoneInfo("Asia/Shanghai"))
CONTACT = Object("contact", {"name": TEXT, "open_records": INTEGER, "sites": ListOf(TEXT), "since": DATE})
SCOPE = Scope({"contact": CONTACT, "serial": TEXT, "count": INTEGER, "free": ANYTHING})
NAMES: dict[str, Value] = {
    "contact": {"name": "王", "open_records": 2, "sites": ("A", "B"), "since": date(2026, 1, 31)},
    "serial": "00012345",
    "count": 3,
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("contact.open_records > 0 and not count == 2", True),
        ("count + 2 * 3 - 1", 8),
        ("(count + 2) * 3", 15),
        ("-count", -3),
        ("7 / 2", Decimal("3.5")),
        ("7 % 4", 3),
        ("today()", date(2026, 11, 24)),  # it is past midnight in Shanghai
        ("today() + 3", date(2026, 11, 27)),
        ("contact.since + 1 - contact.since", 1),
        ("weekday(today())", 2),
        ("'B' in contact.sites", True),
        ("count not in [1, 2]", True),
        ("serial matches '[0-9]{8}'", True),
        ("right(serial, 4) + left(serial, 2)", "234500"),
        ("int(serial)", 12345),
        ("len(serial)", 8),
        ("mask('13800138000')", "138****8000"),
        ("money(count)", Money(Decimal(3))),
        ("e164('138 0013 8000')", "+8613800138000"),
        ("date('2027-02-28') + 1", date(2027, 3, 1)),
        ("customer_if(count > 2)", "customer"),
        ("default(contact.nobody, 'x')", "x"),
        ("known(contact.name)", True),
        ("round(10 / 3, 2)", Decimal("3.33")),
        ("min(count, 2)", 2),
    ],
)
def test_values(text: str, value: Value) -> None:
    assert parse(text).evaluate(NAMES, CONTEXT) == value


@pytest.mark.parametrize(
    "text",
    [
        "nobody.name",
        "1 / 0",
        "int('x')",
        "money(nobody.fee)",
        "date('soon')",
        "nobody.open_records + 1",
        "date('9999-12-31') + 9",
    ],
)
def test_what_is_missing_is_none_and_no_error(text: str) -> None:
    assert parse(text).evaluate(NAMES, CONTEXT) is None


@pytest.mark.parametrize("operator", ["==", "!=", "<", ">=", "in"])
def test_a_comparison_with_nothing_is_false(operator: str) -> None:
    assert parse(f"nobody.x {operator} {'[1]' if operator == 'in' else '1'}").evaluate(NAMES, CONTEXT) is False


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("contact.open_record", "did you mean 'open_records'?"),
        ("contect.name", "did you mean 'contact'?"),
        ("serial > 3", "text can't be compared with a integer"),
        ("count and true", "joins conditions"),
        ("len(count)", "len takes text"),
        ("lenght(serial)", "did you mean 'len'?"),
        ("left(serial)", "takes 2"),
        ("serial.length", "has no fields"),
        ("serial matches '(a+)+'", "repeat inside a repeat"),
        ("serial matches '(ab|a)*'", "repeated alternative"),
        ("serial matches serial", "literal pattern"),
        ("'x' in serial", "needs a list"),
        ("[1, 'a']", "one type"),
        ("date('2027-13-01')", "not a date"),
        ("not count", "needs a boolean"),
        ("true < false", "no order"),
    ],
)
def test_types_are_proved_before_the_call(text: str, says: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse(text).check(SCOPE)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("text", "column", "says"),
    [
        ("a = 1", 3, "write =="),
        ("a && b", 3, "write and"),
        ("a || b", 3, "write or"),
        ("a == （1）", 6, "write ("),
        ("(a", 3, "')' is missing"),
        ("a b", 3, "unexpected 'b'"),
        ("1 < 2 < 3", 7, "join two by and"),
        ("", 1, "something is missing"),
        ("'abc", 1, "close the quotes"),
        ("a.", 3, "after the dot"),
        ("1" + "+1" * 600, 1000, "at most"),
        ("(" * 60 + "1" + ")" * 60, 41, "too deeply"),
        ("not " * 60 + "true", 161, "too deeply"),
    ],
)
def test_what_can_t_be_read_says_where(text: str, column: int, says: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse(text)
    assert caught.value.column == column
    assert says in str(caught.value)


def test_templates_keep_their_texts_and_columns() -> None:
    template = parse_template("Until {{ contact.since }}, then {{ money(count) }}")
    assert [piece if isinstance(piece, str) else "·" for piece in template.pieces] == ["Until ", "·", ", then ", "·"]
    with pytest.raises(ExpressionError) as caught:
        parse_template("Until {{ a = 1 }}")
    assert caught.value.column == 12
    with pytest.raises(ExpressionError, match="without"):
        parse_template("Until {{ a")


def test_what_is_guarded_need_not_be_set() -> None:
    expression = parse("default(serial, count) == vars.other and known(device.id)")
    assert list(expression.reads(guarded=False)) == [("count",), ("vars", "other")]
    assert len(list(expression.reads())) == 4


ANY_VALUE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**6), 10**6)
    | st.text(max_size=5)
    | st.dates()
    | st.decimals(allow_nan=False, allow_infinity=False, places=2),
    lambda inner: (
        st.dictionaries(st.sampled_from(["name", "open_records", "sites"]), inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
    ),
    max_leaves=5,
)
PIECES = st.sampled_from(
    [
        "contact.name",
        "contact.open_records",
        "serial",
        "count",
        "free",
        "free.x",
        "1",
        "2.5",
        "'a'",
        "true",
        "today()",
        "[1, 2]",
        "0",
    ]
)
OPERATORS = st.sampled_from(["+", "-", "*", "/", "%", "==", "<", ">=", "and", "or", "in"])
TREES = st.recursive(
    PIECES,
    lambda inner: (
        st.tuples(inner, OPERATORS, inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})")
        | inner.map(lambda t: f"(not {t})")
        | st.tuples(st.sampled_from(["len", "int", "text", "money", "mask", "date", "abs", "known"]), inner).map(
            lambda t: f"{t[0]}({t[1]})"
        )
    ),
    max_leaves=6,
)


@given(text=TREES, names=st.dictionaries(st.sampled_from(["contact", "serial", "count", "free"]), ANY_VALUE))
def test_evaluation_is_total(text: str, names: dict[str, Value]) -> None:
    to_text(parse(text).evaluate(names, CONTEXT))


@given(st.text(max_size=40) | st.text(alphabet="ab.()[]'\"+-*/<>=! 01,", max_size=40))
def test_any_text_parses_or_says_where_not(text: str) -> None:
    try:
        expression = parse(text)
    except ExpressionError as error:
        assert 1 <= error.column <= len(text) + 1
    else:
        expression.evaluate({}, CONTEXT)


def test_the_scope_proves_what_evaluation_gives() -> None:
    assert parse("contact.open_records > 0 or 'A' in contact.sites").check(SCOPE) == BOOLEAN
    assert parse("free.anything + 1").check(SCOPE) == ANYTHING
