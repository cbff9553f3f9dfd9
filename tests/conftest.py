"""What a test needs of the machine is a marker; where it is missing the test is skipped, and in CI it fails instead."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.backends import pytest_sessionfinish, pytest_terminal_summary

__all__ = ["pytest_sessionfinish", "pytest_terminal_summary"]

# Tests start hundreds of Python processes. Where the environment forbids bytecode, each compiles all that it imports
# again: 3 s of CPU, where 0.6 s will do.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# A machine that is busy with other things makes examples slowly; that is not a fault of a test.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

_TESTS = Path(__file__).parent
_MISSING = {
    "browser": "Chromium is not installed (Debian's package chromium)",
    "postgres": "PostgreSQL is not installed (Debian's package postgresql)",
    "nginx": "nginx is not installed (Debian's package nginx)",
    "clean_system": "debootstrap is not installed, or you are not root (Debian's package debootstrap)",
}


def _missing() -> dict[str, str]:
    present = {
        "browser": any(shutil.which(name) for name in ("chromium", "chromium-headless-shell", "google-chrome")),
        "postgres": bool(shutil.which("initdb")) or any(Path("/usr/lib/postgresql").glob("*/bin/initdb")),
        "nginx": bool(shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")),
        # An ordinary user has `make fresh` with mmdebstrap; among the tests it would build its systems with each run.
        "clean_system": bool(shutil.which("debootstrap")) and os.geteuid() == 0,
    }
    return {marker: why for marker, why in _MISSING.items() if not present[marker]}


#: Which files are run first. Several processes share the files: the longest begins beside the lightest, and the many short
#: ones of the web come last, so that no process waits for another at the end.
_TURNS = (
    "chaos/test_drill.py", "fresh/", "unit/", "properties/", "protocol/", "store/", "chaos/", "e2e/", "flows/", "integration/",
)  # fmt: skip


def _turn(item: pytest.Item) -> int:
    place = item.path.relative_to(_TESTS).as_posix()
    return next((turn for turn, begins in enumerate(_TURNS) if place.startswith(begins)), len(_TURNS))


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses by markers
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the long chaos forms to `make chaos`; skip, or in CI fail, what this machine can't run."""
    missing = _missing()
    for item in items:
        # A forgotten marker would have `make fast` start an Asterisk.
        real = item.path.is_relative_to(_TESTS / "integration") or "programs" in getattr(item, "fixturenames", ())
        if real and not item.get_closest_marker("pbx"):
            item.add_marker("pbx")
    if not config.option.markexpr:
        long_forms = [item for item in items if item.get_closest_marker("chaos")]
        if long_forms:
            config.hook.pytest_deselected(items=long_forms)
            items[:] = [item for item in items if not item.get_closest_marker("chaos")]
    if os.environ.get("CI"):
        needed = {marker for item in items for marker in missing if item.get_closest_marker(marker)}
        if needed:
            pytest.exit("; ".join(missing[marker] for marker in sorted(needed)), returncode=1)
    items.sort(key=_turn)
    for item in items:
        for marker, why in missing.items():
            if item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=why))
