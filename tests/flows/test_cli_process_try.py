"""`ctiserver process try`: a process by hand, with a keyboard or a script."""

import io
from pathlib import Path
from typing import Protocol

import pytest

from ctiserver.cli import main
from ctiserver.resources import shipped


class Typed(Protocol):
    """The command, run with these lines on the keyboard: its status, and what it printed."""

    def __call__(self, *arguments: str, keys: str = "") -> tuple[int, str]: ...


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typed:
    def run(*arguments: str, keys: str = "") -> tuple[int, str]:
        monkeypatch.setattr("sys.stdin", io.StringIO(keys))
        status = 0
        clock = () if "--clock" in arguments else ("--clock", "2026-11-23T10:00")
        try:
            main(("process", "try", *arguments, *clock))
        except SystemExit as end:
            status = int(end.code or 0)
        printed = capsys.readouterr()
        return status, printed.out + printed.err

    return run


def test_a_repair_from_the_visit_to_the_end(typed: Typed) -> None:
    keys = "accept\nwait 9 working hours\ndone\nnext\ncalled_again\nsatisfied\nnever read\n"
    status, text = typed("repair", keys=keys)
    assert status == 0
    for line in (
        "Mon 2026-11-23 10:00  dispatch/1 is made: a dispatch order for the technician, accept by Mon 2026-11-23 10:30",
        "  Mon 2026-11-23 14:00  dispatch/1: a reminder at 50 %",
        "Mon 2026-11-23 10:00  dispatch/1 is accepted",
        "Mon 2026-11-23 18:00  dispatch/1 is late",
        "Mon 2026-11-23 18:00  supervisor is notified: late about dispatch/1",
        "Mon 2026-11-23 19:00  follow_up/1 is made: a follow_up order for the server, which calls with satisfaction",
        "Thu 2026-11-26 19:00  follow_up/1 is offered",
        "the record is more urgent by 1",
        "Thu 2026-11-26 19:00  the record is closed: resolved",
    ):
        assert line in text, line
    assert "never" not in text


def test_what_cant_be_is_said_and_changes_nothing(typed: Typed) -> None:
    file = str(shipped("config", "processes", "installation.yaml"))
    keys = "done\nfoo\nwait soon\nvisit done\na b c\n?\ngoods done\n\nslot done\nq\n"
    status, text = typed(file, keys=keys)
    assert status == 0
    for line in (
        "which one? goods done or slot done",
        "'foo' is not an outcome or event here; valid: backordered, called_again, cancelled_by_customer",
        "'soon' is not a valid duration",
        "no order visit is open; open: goods, slot",
        "'a b c' is not a known command",
        "time passes until the next deadline",
        "step prepare\n  slot: the dispatcher, offered",
        "step visit\n  visit: the technician, offered",
    ):
        assert line in text, line


def test_a_script_is_walked_and_ends_at_what_cant_be(typed: Typed, tmp_path: Path) -> None:
    script = tmp_path / "walk.txt"
    script.write_text("# the customer was not there\nnot_home\n\nwait 1h   # nobody accepts\n", encoding="utf-8")
    status, text = typed("repair", "--script", str(script))
    assert (status, "> not_home\n" in text, "step dispatch\n  dispatch: the technician" in text) == (0, True, True)
    script.write_text("cancelled_by_customer\ndone\n", encoding="utf-8")
    status, text = typed("repair", "--script", str(script))
    assert status == 2
    assert "the record is closed: cancelled" in text
    assert f"{script}:2" in text
    script.write_text("dnoe\n", encoding="utf-8")
    status, text = typed("repair", "--script", str(script))
    assert (status, f"{script}:1" in text, "Traceback" in text) == (2, True, False)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("repiar",), "did you mean 'repair'?"),
        (("/nowhere/x.yaml",), "x.yaml"),
        (("repair", "--script", "/nowhere"), "can't be read"),
        (("repair", "--clock", "soon"), "'soon' is not a valid time"),
    ],
)
def test_what_is_asked_for_wrongly_is_one_sentence(typed: Typed, arguments: tuple[str, ...], says: str) -> None:
    status, text = typed(*arguments)
    assert (status, says in text, "Traceback" in text) == (2, True, False), text
