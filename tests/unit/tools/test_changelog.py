"""What may lie in changelog.d."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.changelog import faults

_ROOT = Path(__file__).resolve().parents[3]


def test_the_changes_of_the_next_release_can_become_a_changelog() -> None:
    assert list(faults(_ROOT / "changelog.d")) == []


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        ("bell.fixed.md", "It did not ring.\n", "name it +short-name"),
        ("+bell.mended.md", "It did not ring.\n", "name it +short-name"),
        ("+bell.fixed.md", "It did not ring\n", "full stop"),
        ("+bell.fixed.md", "", "one to 3 lines"),
        ("+bell.fixed.md", "It.\n" * 4, "one to 3 lines"),
        ("+bell.fixed.md", "x" * 120 + ".\n", "one to 3 lines"),
        ("+bell.fixed.md", "One.\n\nTwo.\n", "one to 3 lines"),
    ],
)
def test_a_file_that_is_not_as_the_readme_says_is_named(tmp_path: Path, name: str, text: str, what: str) -> None:
    (tmp_path / "README.md").write_text("Not a change\n")
    (tmp_path / name).write_text(text)
    (fault,) = faults(tmp_path)
    assert fault.startswith(f"{tmp_path.name}/{name}: ")
    assert what in fault


def test_a_file_as_the_readme_says_is_right(tmp_path: Path) -> None:
    (tmp_path / "+bell-rings.fixed.md").write_text("It did not ring:\nset `bell: loud`.\n")
    assert list(faults(tmp_path)) == []
