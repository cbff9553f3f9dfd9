"""The dialplan's journal, entry by entry."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ctiserver.model.calls.journal import read_entry

AT = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)
EPOCH = str(int(AT.timestamp()))


def test_a_caller_whom_the_dialplan_served() -> None:
    entry = read_entry("pbx-179.7", f"{EPOCH}|hung|138|4001|menu.main|repair|zh-CN|pbx-179.5")
    assert entry is not None
    assert (entry.kind, entry.why, entry.caller, entry.dialled) == ("fallback", "hung", "138", "4001")
    assert (entry.stage, entry.queue, entry.language) == ("menu.main", "repair", "zh-CN")
    assert (entry.uniqueid, entry.linkedid, entry.at, entry.epoch) == ("pbx-179.7", "pbx-179.5", AT, int(EPOCH))


def test_a_message() -> None:
    entry = read_entry("179.7-vm2", f"{EPOCH}|voicemail|138|4001||HANGUP|/vm/179.7-2.wav|179.7")
    assert entry is not None
    assert (entry.kind, entry.status, entry.file, entry.uniqueid) == (
        "voicemail", "HANGUP", "/vm/179.7-2.wav", "179.7",
    )  # fmt: skip
    assert (entry.why, entry.queue) == ("", "")


def test_a_callback_that_reached_its_caller() -> None:
    waited = "callback-01JD0000000000000000000000-1795000000.1"
    entry = read_entry(f"{waited}-cb", f"{EPOCH}|callback||||ANSWER|01JD0000000000000000000000|{waited}")
    assert entry is not None
    assert (entry.kind, entry.status, entry.wished_in) == ("callback", "ANSWER", "01JD0000000000000000000000")
    assert (entry.uniqueid, entry.linkedid) == (waited, waited)
    assert (entry.why, entry.queue, entry.file) == ("", "", "")


def test_an_older_dialplan_names_no_linkedid() -> None:
    entry = read_entry("179.7", f"{EPOCH}|FAILURE|138|4001|||")
    assert entry is not None
    assert entry.linkedid == "179.7"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("179.7", ""),
        ("179.7", f"{EPOCH}|FAILURE|138|4001||"),
        ("179.7", f"{EPOCH}|FAILURE|138|4001|||||"),
        ("179.7", "soon|FAILURE|138|4001|||"),
        ("179.7", f"{EPOCH}0|FAILURE|138|4001|||"),
        ("179.7)", f"{EPOCH}|FAILURE|138|4001|||"),
        ("a b", f"{EPOCH}|FAILURE|138|4001|||"),
    ],
)
def test_what_our_dialplan_did_not_write(key: str, value: str) -> None:
    assert read_entry(key, value) is None
