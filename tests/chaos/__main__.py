"""Write docs/reliability.md from what was measured: ``python -m tests.chaos [chaos-results]``.

The folder holds what the fault tests leave there, and what `ctiserver drill --json` printed, a file a run.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

DOCUMENT = Path(__file__).parents[2] / "docs/reliability.md"
_HEAD = """# What holds when parts fail

Written by `python -m tests.chaos` from what the fault tests measured; don't edit it. To measure on your own machine:
`ctiserver drill` ([how](how-to/drill.md)), or `make chaos` in a checkout, which runs the long forms and writes this anew.

Each fault is made on a private Asterisk with callers in the menu, in a queue and in talk. What callers got is told by
Asterisk's own events and by the callers' SIP stack (SIPp), not by ctiserver. Short forms run in CI.
"""
_ORDER = (
    *("server-killed", "server-killed-often", "server-frozen", "host-gone", "server-ended", "line-reset"),
    *("line-frozen", "pbx-killed", "event-storm", "database-locked", "disk-full", "postgres-stopped"),
    *("two-pbxs", "rush", "load"),
)


def document(folder: Path) -> str:
    """The whole text. Faults without a result are named as not measured."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for path in sorted(folder.glob("*.json")):
        read = json.loads(path.read_text(encoding="utf-8"))
        for one in read.get("findings", [read]):
            whole = {"form": "drill", "at": read["at"], "machine": read["machine"], **one}
            found[whole["fault"], whole["form"]] = whole
    parts = [_HEAD]
    names = [*_ORDER, *sorted({fault for fault, _ in found} - set(_ORDER))]
    for fault in names:
        forms = [found[fault, form] for form in ("short", "drill", "long") if (fault, form) in found]
        parts.append(f"## {fault}\n")
        if not forms:
            parts.append("Not measured.\n")
        for one in forms:
            parts.append(_section(one))
    return "\n".join(parts)


def _section(one: dict[str, Any]) -> str:
    machine = one["machine"]
    lines = [
        f"**{one['form']}**: {one['what']}. {one['at']}; {machine['cpus']} × {machine['cpu']}, {machine['memory_gib']} GiB, "
        f"load {machine['load_1min']}, {machine['system']}, Python {machine['python']}.\n",
        "| figure | |",
        "|---|---|",
        *(f"| {name.replace('_', ' ')} | {figure} |" for name, figure in one["figures"].items()),
        "",
        *(f"- holds: {what}" for what in one["held"]),
        *(f"- **does not hold**: {what}" for what in one["broken"]),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    source = Path(sys.argv[1] if len(sys.argv) > 1 else "chaos-results")
    DOCUMENT.write_text(document(source), encoding="utf-8")
    print(f"wrote {DOCUMENT.name} from {len(list(source.glob('*.json')))} results")  # noqa: T201
