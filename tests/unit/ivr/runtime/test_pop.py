"""What a phone's INVITE says of the caller."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctiserver.ivr.runtime.pop import pop_header
from ctiserver.model.expression.expression import Value
from ctiserver.model.ids import CallId

CALL = CallId("01M80B6MWR9Y7BMDBNDEJ38ZE3")


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (
            {"record": {"id": "01R"}, "contact": {"name": "王芳", "tier": "gold"}},
            f"https://desk/#/desk/01R|王芳|gold|{CALL}",
        ),
        ({"record": None, "contact": None}, f"https://desk/#/desk|||{CALL}"),
        ({}, f"https://desk/#/desk|||{CALL}"),
        (
            {"record": {"id": "../x"}, "contact": {"name": 'A"|${SHELL(x)}\r\n, B', "tier": None}},
            f"https://desk/#/desk|A SHELL x B||{CALL}",
        ),
    ],
)
def test_record_name_and_tier_are_said(facts: dict[str, Value], said: str) -> None:
    assert pop_header(facts, CALL, "https://desk") == said


@given(name=st.text(), tier=st.text())
def test_whatever_a_contact_is_called_is_harmless_to_the_dialplan(name: str, tier: str) -> None:
    said = pop_header({"contact": {"name": name, "tier": tier}}, CALL, "https://desk")
    assert said.count("|") == 3
    assert not re.search(r'[\r\n\0"$\\{}()\[\],;:?&<>]', said.removeprefix("https://desk"))
