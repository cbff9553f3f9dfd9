from __future__ import annotations

from pathlib import Path

import pytest

from ctiserver.errors import UserFault
from ctiserver.lab.privatepbx.passed import last_passed
from ctiserver.lab.privatepbx.tree import ASTERISK


def test_comments_and_empty_lines_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "passed.txt"
    path.write_text("# forky, today\nlibtoy1 3\n\ntoy 1:2.0+b1  # as built\n", encoding="utf-8")
    assert last_passed(path) == {"toy": "1:2.0+b1", "libtoy1": "3"}


def test_a_line_that_is_none_is_named(tmp_path: Path) -> None:
    path = tmp_path / "passed.txt"
    path.write_text("# x\ntoy\n", encoding="utf-8")
    with pytest.raises(UserFault, match=r"passed\.txt:2: not `package version`\. Write it again with `make pins`"):
        last_passed(path)


def test_the_shipped_list_tells_of_every_package_asked_for() -> None:
    assert set(ASTERISK.packages) <= set(last_passed())
