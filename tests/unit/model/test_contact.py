"""Which contact a number stands for."""

from __future__ import annotations

from ctiserver.model.contact import only
from tests.support.rows import a_contact


def test_only_gives_the_one_contact_that_matches() -> None:
    contact = a_contact()
    assert only([contact]) == contact


def test_only_gives_none_where_nobody_or_several_match() -> None:
    assert only([]) is None
    assert only([a_contact(), a_contact()]) is None
