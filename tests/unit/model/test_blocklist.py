"""Blocked numbers: by number, by prefix, until when."""

from datetime import UTC, datetime, timedelta

import pytest

from ctiserver.errors import FileFault
from ctiserver.model.blocklist import BlockedFile, Blocklist
from ctiserver.strict_yaml import load, parse

NOW = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)


def listed(text: str) -> Blocklist:
    return Blocklist(parse(load(text, file="blocked.yaml"), BlockedFile).blocked, "CN")


@pytest.mark.parametrize(
    ("number", "ani", "blocked"),
    [
        ("13900000000", "13900000000", True),
        ("13900000000", "+8613900000000", True),
        ("+8613900000000", "13900000000", True),
        ("13900000000", "13900000001", False),
        ("1390*", "+8613900000001", True),
        ("021*", "02161234567", True),
        ("021*", "+862161234567", True),
        ("+1*", "+12125550123", True),
        ("+1*", "13900000000", False),
        ("13900000000", "", False),
        ("8001", "8001", True),  # what no numbering plan knows is compared as dialled
    ],
)
def test_by_number_and_by_prefix(number: str, ani: str, blocked: bool) -> None:
    assert listed(f'blocked: {{"{number}": {{}}}}').holds(ani, NOW) is blocked


def test_until() -> None:
    one = listed('blocked: {"13900000000": {reason: nuisance, until: 2026-11-23T12:00+08:00}}')
    assert one.holds("13900000000", NOW)
    assert not one.holds("13900000000", NOW + timedelta(hours=2))


@pytest.mark.parametrize(
    "text", ['blocked: {"13 9": {}}', 'blocked: {"1": {until: 2026-11-23T12:00}}', "blocked: {139: {}}"]
)
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(FileFault):
        listed(text)
