"""Items of the model to put into a database, with whatever a test cares about changed."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from ctiserver.model.contact import Contact
from ctiserver.model.ids import ContactId, RecordId, UserId, new_ulid
from ctiserver.model.person import User
from ctiserver.model.work.record import Record

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
_numbers = itertools.count(1)


def a_record(like: Record | None = None, **changes: Any) -> Record:
    """A new open record, or ``like`` with changes."""
    if like is None:
        like = Record(
            id=RecordId(new_ulid(NOW)),
            number=f"R20261121-{next(_numbers):04d}",
            type="repair",
            opened_at=NOW,
            updated_at=NOW,
        )
    return replace(like, **changes)


def a_contact(**changes: Any) -> Contact:
    """A new contact."""
    return replace(
        Contact(
            id=ContactId(new_ulid(NOW)), name="测试客户", created_at=NOW, updated_at=NOW, numbers=("+8613800138000",)
        ),
        **changes,
    )


def a_user(login: str, **changes: Any) -> User:
    """A new account that nobody can log in to."""
    return replace(
        User(
            id=UserId(new_ulid(NOW)), login=login, name=login.title(), password_hash="!", role="agent", created_at=NOW
        ),
        **changes,
    )
