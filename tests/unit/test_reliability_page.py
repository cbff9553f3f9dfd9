"""docs/reliability.md says of each fault what was measured in its longest form, and whether it held."""

from __future__ import annotations

import json
from pathlib import Path

from ctiserver.lab.drill.faults import FAULTS
from tests.chaos.__main__ import ROWS, document

MACHINE = {"cpus": 2, "cpu": "x", "memory_gib": 8, "load_1min": 3.5, "system": "Linux", "python": "3.11"}


def finding(form: str, noticed_s: float, broken: list[str]) -> str:
    told = {"fault": "line-frozen", "form": form, "what": "It stands", "figures": {"noticed_s": noticed_s}, "held": []}
    return json.dumps({**told, "broken": broken, "at": "today", "machine": MACHINE})


def test_the_longest_form_decides_and_what_was_not_measured_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(finding("short", 1.5, []))
    (tmp_path / "b.json").write_text(finding("long", 7.25, ["noticed s ≤ 5 s"]))
    text = document(tmp_path)
    [row] = [line for line in text.splitlines() if line.startswith("| The manager connection is half-open")]
    assert "noticed s 7.25 (long form, load 3.5) | **no**: noticed s ≤ 5 s |" in row
    assert text.count("| not measured |") == len(ROWS) - 1
    assert "- **does not hold**: noticed s ≤ 5 s" in text


def test_every_fault_of_the_drill_has_its_row() -> None:
    assert FAULTS.keys() <= ROWS.keys()
