"""What fault tests measured, as JSON files in ``chaos-results/``; ``python -m tests.chaos`` makes the document of them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from ctiserver.drill.finding import Figure, machine
from ctiserver.model.json_value import Json


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
        }
        Path(folder).mkdir(parents=True, exist_ok=True)
        path = Path(folder) / f"{fault}.{made['form']}.json"
        path.write_text(json.dumps(made, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
