"""Services follow the bus by ``Bus.follow`` alone: nobody else subscribes or catches Lagged, and each has a resync."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

_PACKAGE = Path(__file__).parents[2] / "ctiserver"
_SHOWS = "waits for the next event and shows it; it holds no state"
#: By module, why it may. One that no longer subscribes must go from here.
_MAY = {
    "bus.py": "is the loop",
    "lab/demo/once.py": _SHOWS,
    "lab/demo/open_house.py": _SHOWS,
}


def _breaches(text: str) -> list[str]:
    """``subscribe`` called, ``Lagged`` named, and a resync that does nothing, each with its line."""
    found = []
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Call(func=ast.Attribute(attr="subscribe")):
                found.append(f"{node.lineno}: subscribe")
            case ast.Name(id="Lagged") | ast.Attribute(attr="Lagged") | ast.alias(name="Lagged"):
                found.append(f"{node.lineno}: Lagged")
            case ast.Call(func=ast.Attribute(attr="follow" | "follow_batches")):
                given = [*node.args[3:4], *(it.value for it in node.keywords if it.arg == "resync")]
                if any(isinstance(it, ast.Lambda | ast.Constant) for it in given):
                    found.append(f"{node.lineno}: resync does nothing")
            case _:
                pass
    return found


def test_the_bus_alone_does() -> None:
    found = {
        path.relative_to(_PACKAGE).as_posix(): breaches
        for path in _PACKAGE.rglob("*.py")
        if (breaches := _breaches(path.read_text(encoding="utf-8")))
    }
    assert {module: lines for module, lines in found.items() if module not in _MAY} == {}
    assert sorted(set(_MAY) - set(found)) == [], "these subscribe no more"


@pytest.mark.parametrize(
    ("line", "breach"),
    [
        ("with self._bus.subscribe(PbxEvent) as events: ...", "1: subscribe"),
        ("from ctiserver.bus import Bus, Lagged", "1: Lagged"),
        ("try: ...\nexcept bus.Lagged: ...", "2: Lagged"),
        ("await bus.follow('queues', kinds, heard, lambda: None)", "1: resync does nothing"),
        ("await bus.follow('queues', kinds, heard, resync=None)", "1: resync does nothing"),
    ],
)
def test_a_planted_breach_is_found(line: str, breach: str) -> None:
    assert breach in _breaches(line)


def test_follow_with_a_resync_is_no_breach() -> None:
    assert _breaches("await self._bus.follow('queues', (PbxEvent,), self.heard, self.resync)") == []
