"""docs/reference/words.md agrees with the code: each row's class or module is there, and each word has one row."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from ctiserver.model.calls import call

_ROOT = Path(__file__).parents[2]
_PAGE = _ROOT / "docs/reference/words.md"
_COLUMNS = ("word", "means", "Asterisk", "Genesys", "Twilio", "中文", "in code")


class Row(NamedTuple):
    word: str
    means: str
    asterisk: str
    genesys: str
    twilio: str
    chinese: str
    code: str


def _rows(text: str) -> Iterator[Row]:
    for line in text.splitlines():
        cells = tuple(cell.strip() for cell in line.strip("|").split("|"))
        if line.startswith("|") and cells != _COLUMNS and not cells[0].startswith("-"):
            yield Row(*cells)


def missing(row: Row, package: Path) -> str | None:
    """What the row names that the package does not have."""
    found = re.fullmatch(r"`([\w/]+\.py)(?::(\w+))?`", row.code)
    if found is None:
        return f"{row.word}: {row.code!r} is not a module or class"
    module = package / found[1]
    if not module.is_file():
        return f"{row.word}: the module {found[1]} is missing"
    names = set[str]()
    for node in ast.parse(module.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return f"{row.word}: {found[1]} has no {found[2]}" if found[2] and found[2] not in names else None


ROWS = list(_rows(_PAGE.read_text(encoding="utf-8")))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.word)
def test_row_names_code_that_exists_and_has_a_chinese_word(row: Row) -> None:
    assert missing(row, _ROOT / "ctiserver") is None
    assert all(row), "an empty cell: write – where there is no word"
    assert re.search(r"[\u4e00-\u9fff]", row.chinese)


def test_each_word_has_one_row() -> None:
    words = [row.word for row in ROWS]
    assert len(words) == len(set(words))
    assert len(words) >= 50


@pytest.mark.parametrize("code", ["`model/calls/call.py:Gone`", "`model/gone.py`", "Leg"])
def test_row_whose_code_is_gone_is_found(code: str) -> None:
    assert missing(ROWS[0]._replace(code=code), _ROOT / "ctiserver") is not None


def test_leg_means_the_same_in_glossary_explanation_and_code() -> None:
    row = next(row for row in ROWS if row.word == "leg")
    assert row.means.startswith("one channel as part of a call")
    assert "A **leg** is a channel." in (_ROOT / "docs/explanation/calls.md").read_text(encoding="utf-8")
    assert "A leg is one channel" in (call.__doc__ or "")
