"""The check of where tests are: the tree passes; a module without tests, a needless and a wrong entry are found."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from tools.test_places import LINES, complaints, found

_ROOT = Path(__file__).parents[3]
_LONG = "x = 1\n" * (LINES + 1)


def _tree(root: Path, module: str, text: str, *tests: str) -> Path:
    for path, content in {f"ctiserver/{module}": text, **{f"tests/{test}": "" for test in tests}}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(content)
    return root


def test_this_tree_breaks_no_rule() -> None:
    assert list(complaints(_ROOT)) == []


@pytest.mark.parametrize(
    "test",
    [
        "unit/features/calls/test_service.py",
        "unit/features/calls/test_service_catching_up.py",
        "web/test_calls_catching_up.py",
        "store/test_calls.py",
    ],
)
def test_a_name_by_the_rule_is_found(test: str) -> None:
    assert found(PurePosixPath("features/calls/service.py"), [PurePosixPath(test)])


@pytest.mark.parametrize("test", ["unit/model/test_service.py", "web/test_callsigns.py", "web/test_desk.py"])
def test_another_name_or_folder_is_not_found(test: str) -> None:
    assert not found(PurePosixPath("features/calls/service.py"), [PurePosixPath(test)])


def test_a_long_module_without_tests_is_reported_and_a_short_one_is_not(tmp_path: Path) -> None:
    _tree(tmp_path, "pbx/codec.py", _LONG, "unit/pbx/test_link.py")
    _tree(tmp_path, "pbx/link.py", _LONG)
    _tree(tmp_path, "pbx/port.py", "x = 1\n" * LINES)
    assert list(complaints(tmp_path, {})) == ["pbx/codec.py: the first guess finds no tests: name them test_codec.py"]


def test_an_entry_that_is_needless_or_names_no_file_is_reported(tmp_path: Path) -> None:
    _tree(tmp_path, "pbx/codec.py", _LONG, "unit/pbx/test_link.py")
    _tree(tmp_path, "pbx/link.py", _LONG)
    entries = {"pbx/codec.py": ("unit/pbx/test_gone.py", "why"), "pbx/link.py": ("unit/pbx/test_link.py", "why")}
    assert list(complaints(tmp_path, entries)) == [
        "tools/test_places.py: pbx/codec.py names tests/unit/pbx/test_gone.py, which does not exist",
        "tools/test_places.py: pbx/link.py needs no entry: delete it",
    ]


def test_a_unit_test_in_a_folder_without_a_package_is_reported(tmp_path: Path) -> None:
    _tree(tmp_path, "clock.py", "", "unit/kernel/test_clock.py")
    assert list(complaints(tmp_path, {})) == [
        "tests/unit/kernel/test_clock.py: there is no package ctiserver/kernel: put it where its module is"
    ]
