"""`make fresh`: the README in clean systems, as an ordinary user with an empty home. `--help` lists the options."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tools.fresh.machine import this_machine
from tools.fresh.sandbox import Unavailable
from tools.fresh.steps import ORIGIN, Outcome, carried_out, full_form, python_by_what_make_says, short_form
from tools.fresh.systems import SYSTEMS, System, named, unpacked

CHECKOUT = Path(__file__).resolve().parents[2]
RESULTS = CHECKOUT / "fresh-results"
_SHOWN_LINES = 25


def tried(system: System, *, short: bool, origin: Path) -> list[Outcome]:
    """Try the README in one system. Raises Unavailable where the system can't be had."""
    outcomes: list[Outcome] = []
    with unpacked(system, "newcomer", this_machine(), say) as sandbox:
        sandbox = sandbox.with_shared({origin: ORIGIN})
        outcomes.append(python_by_what_make_says(sandbox))
        if outcomes[0].ok:
            for outcome in carried_out(short_form() if short else full_form(), sandbox):
                say(f"{outcome.step}: {outcome.seconds:.0f} s")
                outcomes.append(outcome)
    return outcomes


def say(text: str) -> None:
    """Tell how far it is."""
    print(f"  {text}", file=sys.stderr, flush=True)


def copy_of_the_commit(folder: Path) -> Path:
    """A bare repository of the commit that is checked out; what is not committed is not part of it."""
    origin = folder / "ctiserver.git"
    git = ("git", "-C", str(CHECKOUT))
    if subprocess.run([*git, "status", "--porcelain"], capture_output=True, check=True).stdout:
        say("what is not committed here is not tried")
    subprocess.run(["git", "clone", "-q", "--bare", "--no-local", str(CHECKOUT), str(origin)], check=True, timeout=120)
    head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    subprocess.run(["git", "-C", str(origin), "update-ref", "--no-deref", "HEAD", head], check=True)
    folder.chmod(0o755)
    return origin


def table(results: dict[str, list[Outcome]]) -> str:
    """The outcomes for people."""
    lines = [f"{'system':<14} {'step':<28} {'seconds':>8} {'MB':>6}  result"]
    for system, outcomes in results.items():
        for one in outcomes:
            size = "" if one.megabytes is None else str(one.megabytes)
            lines.append(f"{system:<14} {one.step:<28} {one.seconds:>8.1f} {size:>6}  {'ok' if one.ok else one.why}")
    return "\n".join(lines)


def write(results: dict[str, list[Outcome]], not_run: dict[str, str]) -> Path:
    """The outcomes for programs, with each line that was written and when."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{time.strftime('%Y%m%dT%H%M%S')}.json"
    commit = subprocess.run(
        ["git", "-C", str(CHECKOUT), "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    document: dict[str, Any] = {
        "commit": commit.stdout.strip(),
        "cores": os.cpu_count(),
        "systems": {name: [_row(one) for one in outcomes] for name, outcomes in results.items()},
        "not_run": not_run,
    }
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def _row(one: Outcome) -> dict[str, Any]:
    lines = [[line.at_s, line.text] for line in one.lines]
    return {"step": one.step, "s": one.seconds, "mb": one.megabytes, "ok": one.ok, "why": one.why, "lines": lines}


def failures(results: dict[str, list[Outcome]], not_run: dict[str, str], skip: Iterable[str]) -> list[str]:
    """One sentence for each thing that must not be."""
    found = [
        f"{system}: {one.step}: {one.why}" for system, outcomes in results.items() for one in outcomes if not one.ok
    ]
    return found + [
        f"{system} was not run: {why}. FRESH_SKIP={system} goes without it"
        for system, why in not_run.items()
        if system not in skip
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Try each system; 0 where all of them were tried and all is well."""
    parser = argparse.ArgumentParser(prog="python3 -m tools.fresh", description=__doc__)
    parser.add_argument("systems", nargs="*", metavar="SYSTEM", help=", ".join(one.name for one in SYSTEMS))
    parser.add_argument("--short", action="store_true", help="without the second demo and the unit tests")
    chosen = parser.parse_args(arguments)
    skip = os.environ.get("FRESH_SKIP", "").replace(",", " ").split()
    try:
        systems = named(chosen.systems) or list(SYSTEMS)
        named(skip)
    except Unavailable as fault:
        print(f"make fresh: {fault}", file=sys.stderr)
        return 2
    results: dict[str, list[Outcome]] = {}
    not_run: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="ctiserver-origin-") as folder:
        origin = copy_of_the_commit(Path(folder))
        for system in systems:
            if system.name in skip:
                not_run[system.name] = "FRESH_SKIP names it"
                continue
            say(system.name)
            try:
                results[system.name] = tried(system, short=chosen.short, origin=origin)
            except Unavailable as fault:
                not_run[system.name] = str(fault)
    for outcomes in results.values():
        for one in outcomes:
            if not one.ok:
                print("\n".join(line.text for line in one.lines[-_SHOWN_LINES:]), file=sys.stderr)
    print(table(results))
    print(f"written: {os.path.relpath(write(results, not_run))}")
    wrong = failures(results, not_run, skip)
    for sentence in wrong:
        print(f"make fresh: {sentence}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
