"""How many tests ran on each database that ctiserver serves: printed at the end of a run, which fails if they differ.

A test that is for one of them by its nature (two servers need PostgreSQL) carries the marker ``one_backend``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping

import pytest
from _pytest.terminal import TerminalReporter

BACKENDS = ("sqlite", "postgresql")
_BACKEND = re.compile(r"\[(?:[^\]]*-)?(sqlite|postgresql)(?:-[^\]]*)?\]$")
_OUTCOMES = ("passed", "failed", "skipped")


def counted(stats: Mapping[str, Iterable[object]]) -> dict[str, Counter[str]]:
    """For each backend how many tests passed, failed and were skipped, and how many are for it ``alone``."""
    found: dict[str, Counter[str]] = {backend: Counter() for backend in BACKENDS}
    for outcome in _OUTCOMES:
        for report in stats.get(outcome, ()):
            match = _BACKEND.search(getattr(report, "nodeid", ""))
            if match:
                alone = "one_backend" in getattr(report, "keywords", ())
                found[match[1]]["alone" if alone else outcome] += 1
    return found


def fault(found: Mapping[str, Counter[str]]) -> str | None:
    """What is wrong if not every test ran on each backend."""
    totals = {backend: sum(counts[outcome] for outcome in _OUTCOMES) for backend, counts in found.items()}
    if len(set(totals.values())) == 1:
        return None
    said = ", ".join(f"{count} on {backend}" for backend, count in totals.items())
    return f"backends are not tested alike ({said}): mark with one_backend what is for one by its nature"


def table(found: Mapping[str, Counter[str]]) -> list[str]:
    """The lines to print."""
    head = f"{'backend':<12}" + "".join(f"{name:>9}" for name in (*_OUTCOMES, "alone"))
    return [
        head,
        *(
            f"{backend:<12}" + "".join(f"{counts[name]:>9}" for name in (*_OUTCOMES, "alone"))
            for backend, counts in found.items()
        ),
    ]


def _is_part(config: pytest.Config) -> bool:
    """Whether somebody chose single tests, so that counts say nothing."""
    option = config.option
    chosen = option.keyword or option.maxfail or getattr(option, "lf", False)
    return bool(chosen or any("::" in argument for argument in config.args))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Let the run fail; with several processes only the one that gathers all results judges."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or hasattr(session.config, "workerinput") or _is_part(session.config):
        return
    if fault(counted(reporter.stats)) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: TerminalReporter, config: pytest.Config) -> None:
    """Print the table, where tests ran on a database at all."""
    found = counted(terminalreporter.stats)
    if not any(found.values()):
        return
    terminalreporter.section("tests by backend")
    for line in table(found):
        terminalreporter.write_line(line)
    wrong = fault(found)
    if wrong and not _is_part(config):
        terminalreporter.write_line(f"ERROR: {wrong}", red=True)
