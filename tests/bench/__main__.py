"""``make bench``: run every benchmark (or those named), print JSON and keep it in bench-results/."""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from tests import bench


def _machine() -> dict[str, object]:
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load_before": [round(load, 2) for load in os.getloadavg()],
    }


def main(names: list[str]) -> int:
    known = sorted(name for _, name, _ in pkgutil.iter_modules(bench.__path__) if not name.startswith("_"))
    unknown = set(names) - set(known)
    if unknown:
        print(f"no benchmark is named {', '.join(sorted(unknown))}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    report: dict[str, object] = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit,
        "machine": _machine(),
    }
    for name in names or known:
        print(f"{name} …", file=sys.stderr, flush=True)
        report[name] = importlib.import_module(f"tests.bench.{name}").run()
    text = json.dumps(report, indent=2, ensure_ascii=False)
    folder = Path("bench-results")
    folder.mkdir(exist_ok=True)
    (folder / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json").write_text(text + "\n", encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
