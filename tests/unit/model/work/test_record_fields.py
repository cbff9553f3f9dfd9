"""What a typed field may hold, and when it must be filled in."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctiserver.errors import FileFault
from ctiserver.model.work.record_fields import FieldKind, fault, holds
from ctiserver.site.load import load_site


@pytest.mark.parametrize(
    ("kind", "right", "wrong"),
    [
        ("number", ["0", "-12", "3.5", "1e3", " 7 "], ["x", "1,5", "--1", "NaN", "Infinity", "9" * 41]),
        ("amount", ["80", "80.00", "-0.5", "123456789012.99"], ["80.001", "1,000", "￥80", "1e2", ".5", "8."]),
        ("date", ["2026-11-21", "2024-02-29"], ["2026-02-29", "21.11.2026", "2026-11-21T00:00", "20261121"]),
        ("choice", ["cold", "warm"], ["hot", "Cold"]),
        ("phone", ["+86 138 0000 0000", "021-5888", "8001", "400*1#"], ["call me", "+", "1", "13800000000x"]),
        ("text", ["anything; even <b>"], ["x" * 20_001]),
    ],
)
def test_values(kind: FieldKind, right: list[str], wrong: list[str]) -> None:
    choices = {"cold": {}, "warm": {}}
    assert [value for value in right if fault(kind, value, choices) is not None] == []
    assert [value for value in wrong if fault(kind, value, choices) is None] == []
    assert fault(kind, "  ", choices) is None


@given(st.sampled_from(["number", "amount", "date", "choice", "phone", "text"]), st.text(max_size=60))
def test_no_text_breaks_the_check(kind: FieldKind, text: str) -> None:
    assert fault(kind, text, {}) in (None, kind, "too_long")


def test_a_condition_reads_the_record_as_it_is_about_to_be() -> None:
    now = datetime(2026, 11, 21, tzinfo=UTC)
    text = "payer == 'customer' and fields.fault != ''"
    assert holds(text, fields={"fault": "cold"}, payer="customer", disposition="visit", now=now)
    assert not holds(text, fields={"fault": ""}, payer="customer", disposition="visit", now=now)
    assert not holds(text, fields={}, payer="maker", disposition="visit", now=now)


TYPES = """
messages_become: repair
record_types:
  repair:
    title: {{en: Repair}}
    fields:
      fault: {{title: {{en: Fault}}}}
      price: {{title: {{en: Price}}, kind: amount, required_when: "{condition}"}}
"""


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("payer == 'customer'", "is not a valid condition; write it like"),
        ("=payer ==", "required_when"),
        ("=fields.colour == 'red'", "CT-012: a record of this type has no 'fields.colour'"),
        ("=owner == 'x'", "CT-012: a record of this type has no 'owner'"),
    ],
)
def test_a_wrong_condition_is_named_with_its_place(tmp_path: Path, condition: str, message: str) -> None:
    (tmp_path / "record_types.yaml").write_text(TYPES.format(condition=condition))
    (tmp_path / "dispositions.yaml").write_text("dispositions: {}\n")
    with pytest.raises(FileFault) as refused:
        load_site(tmp_path)
    assert "record_types.yaml:8:" in str(refused.value)
    assert message in str(refused.value)


def test_a_right_one_is_taken(tmp_path: Path) -> None:
    (tmp_path / "record_types.yaml").write_text(TYPES.format(condition="=payer == 'customer' or fields.fault == 'x'"))
    (tmp_path / "dispositions.yaml").write_text("dispositions: {}\n")
    assert load_site(tmp_path).record_types["repair"].fields["price"].required_when
