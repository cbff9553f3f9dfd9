"""Every guard's patch fits the tree, and names a test that is there; `make guards` sees the tests fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.guards.__main__ import TREE, Guard, apply, copy_tree, guards


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = tmp_path_factory.mktemp("guards") / "tree"
    copy_tree(copy)
    return copy


@pytest.mark.parametrize("guard", guards(), ids=lambda guard: guard.name)
def test_a_guards_patch_fits_and_its_test_is_there(guard: Guard, tree: Path) -> None:
    apply(guard, tree, "--check")
    path, _, name = guard.test.partition("::")
    text = (TREE / path).read_text(encoding="utf-8")
    assert f"def {name}(" in text if name else "def test_" in text
