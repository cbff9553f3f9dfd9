"""The table of tests by backend, and when it makes a run fail."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.support.backends import counted, fault, table


@dataclass
class Report:
    nodeid: str
    keywords: dict[str, int] = field(default_factory=dict)


def test_tests_are_counted_by_the_backend_in_their_name() -> None:
    found = counted(
        {
            "passed": [
                Report("tests/store/test_a.py::test_one[sqlite]"),
                Report("tests/store/test_a.py::test_one[postgresql]"),
                Report("tests/chaos/test_kill.py::test_two[sqlite-11]"),
                Report("tests/chaos/test_kill.py::test_take_over[postgresql]", {"one_backend": 1}),
                Report("tests/unit/test_b.py::test_sqlite"),
            ],
            "failed": [Report("tests/chaos/test_kill.py::test_two[postgresql-11]")],
            "": [Report("tests/store/test_a.py::test_one[sqlite]")],
        }
    )
    assert fault(found) is None
    assert [line.split() for line in table(found)] == [
        ["backend", "passed", "failed", "skipped", "alone"],
        ["sqlite", "2", "0", "0", "0"],
        ["postgresql", "1", "1", "0", "1"],
    ]


def test_a_test_that_one_backend_lacks_is_a_fault() -> None:
    found = counted({"passed": [Report("tests/store/test_a.py::test_one[sqlite]")]})
    assert "1 on sqlite, 0 on postgresql" in (fault(found) or "")
