"""What follows the bus outlasts a database that is away."""

from __future__ import annotations

import pytest

from ctiserver.store import patience
from ctiserver.store.faults import Conflict, StoreUnavailable, Unfit


async def test_work_is_tried_until_the_database_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "_FIRST_S", 0.001)
    tries = 0

    async def work() -> None:
        nonlocal tries
        tries += 1
        if tries < 4:
            raise StoreUnavailable("disk I/O error")

    await patience.until_stored(work, "a test")
    assert tries == 4


async def test_who_was_not_quick_enough_reads_again() -> None:
    tries = 0

    async def work() -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise Conflict("somebody else was quicker")

    await patience.until_stored(work, "a test")
    assert tries == 2


async def test_what_waiting_does_not_mend_is_raised() -> None:
    async def work() -> None:
        raise Unfit("too long")

    with pytest.raises(Unfit):
        await patience.until_stored(work, "a test")
