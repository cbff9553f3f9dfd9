"""No test sleeps instead of waiting for a fact. What has to take time by its nature stands here, with its reason."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

_TESTS = Path(__file__).parent.parent
_POLLS = "looks again and again at what no event tells of, and goes on as soon as it is so"
_PACE = "is how fast the other side talks or calls"
_ITSELF = "is the time that the test is about"
#: By file and function. A place that no longer sleeps must go from here.
_MAY = {
    "chaos/server.py:work": _PACE,
    "chaos/storm.py:main": _PACE,
    "chaos/test_event_storm.py:watch": "measures how late the loop wakes from it",
    "chaos/test_postgres_stopped.py:test_calls_outlast_a_stopped_postgres": _ITSELF,
    "e2e/chain_screenshots.py:shoot": "waits for fonts before a picture is taken; no test",
    "e2e/phone_screenshots.py:shoot": "waits for fonts before a picture is taken; no test",
    "e2e/screenshots.py:shoot": "waits for fonts before a picture is taken; no test",
    "flows/test_tutorial.py:until_it_serves": _POLLS,
    "kept/make.py:is_served": _PACE,
    "support/dispatch.py:until": _POLLS,
    "support/eventually.py:eventually": _POLLS,
    "support/fake_asterisk.py:call": _PACE,
    "support/postgres.py:_await_ready": _POLLS,
    "support/rtp_caller.py:pace": _PACE,
    "support/scenario.py:talk": "is how long people talk: queue_log and CDRs count whole seconds",
    "unit/cli/test_faults.py:together": "is a task that is ended before its time",
    "unit/ivr/runtime/test_runner.py:caller": _ITSELF,
    "unit/ivr/runtime/test_runner.py:save_state": _ITSELF,
}


def _sleeps(text: str) -> set[str]:
    """The functions that sleep; ``sleep(0)`` only lets others run."""
    found: set[str] = set()

    def look(node: ast.AST, function: str) -> None:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            function = node.name
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            yields = bool(node.args) and isinstance(node.args[0], ast.Constant) and node.args[0].value == 0
            if called in ("sleep", "wait_for_timeout") and not yields:
                found.add(function)
        for child in ast.iter_child_nodes(node):
            look(child, function)

    look(ast.parse(text), "the module")
    return found


def test_none_does() -> None:
    found = {
        f"{path.relative_to(_TESTS).as_posix()}:{function}"
        for path in _TESTS.rglob("*.py")
        if path.relative_to(_TESTS).parts[0] != "bench"  # measures are made over time
        for function in _sleeps(path.read_text(encoding="utf-8"))
    }
    assert sorted(found - set(_MAY)) == [], "wait for a fact (tests/support/eventually.py), or say here why not"
    assert sorted(set(_MAY) - found) == [], "these sleep no more"


@pytest.mark.parametrize(
    ("line", "sleeps"),
    [
        ("await asyncio.sleep(0.3)", True),
        ("time.sleep(seconds)", True),
        ("await sleep(1)", True),
        ("await page.wait_for_timeout(400)", True),
        ("await asyncio.sleep(0)", False),
        ("await asleep(1)", False),
    ],
)
def test_a_planted_sleep_is_found(line: str, sleeps: bool) -> None:
    assert _sleeps(f"async def test_it():\n    {line}\n") == ({"test_it"} if sleeps else set())
