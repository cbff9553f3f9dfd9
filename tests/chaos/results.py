"""What fault tests measured, as JSON files in ``chaos-results/``; ``python -m tests.chaos`` makes the document of them."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from ctiserver.lab.drill.finding import Figure, machine
from ctiserver.model.json_value import Json


@cache
def _version() -> str:
    """The commit that was measured, where this is a checkout of one."""
    asked = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return asked.stdout.strip()


def begin(fault: str, what: str, *, long: bool) -> None:
    """Say that a fault is being tried: should the test not come to its end, an older result does not stand for it."""
    keep(fault, what, long=long, figures={}, broken=["the test did not come to its end"])


def keep(
    fault: str,
    what: str,
    *,
    long: bool,
    figures: Mapping[str, Figure],
    held: Sequence[str] = (),
    broken: Sequence[str] = (),
) -> None:
    """Keep one fault's figures where ``CTISERVER_CHAOS_RESULTS`` names a folder; else say nothing.

    The long form of a fault and its short one are kept apart.
    """
    folder = os.environ.get("CTISERVER_CHAOS_RESULTS")
    if folder:
        made: dict[str, Json] = {
            "fault": fault,
            "form": "long" if long else "short",
            "what": what,
            "figures": dict(figures),
            "held": list(held),
            "broken": list(broken),
            "at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            "machine": machine(),
            "version": _version(),
        }
        Path(folder).mkdir(parents=True, exist_ok=True)
        path = Path(folder) / f"{fault}.{made['form']}.json"
        path.write_text(json.dumps(made, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
