"""The word list finds an old habit that is planted in a copy, and a line of its list that has become needless."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tools.words import HABITS, found

_ROOT = Path(__file__).parents[3]

#: One sentence with each habit.
_PLANTED = {
    "anew": "Read the list anew.",
    "whoever": "Whoever calls is served.",
    "in-vain": "The third call in vain.",
    "became-of": "What became of the call?",
    "of-somebodys": "An order of somebody's.",
    "called-so": "Nobody is called so.",
    "may-see": "There is none that you may see.",
    "is-no": "'x' is no number",
    "caller-back": "The page has its caller back.",
    "says-not": "'x' says not which calls are recorded",
    "stands-twice": "the key stands twice",
    "make-of": "Make `start: opening` of `start: welcome`.",
}


def _check(folder: Path) -> tuple[int, str]:
    command = [sys.executable, str(_ROOT / "tools/words.py"), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    return done.returncode, done.stdout


def test_every_habit_has_a_planted_sentence() -> None:
    assert _PLANTED.keys() == HABITS.keys()


@pytest.mark.parametrize("habit", HABITS)
@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("ctiserver/errors.py", '"""Errors."""\n\nTEXT = "{}"\n'),
        ("ctiserver/errors.py", "# {}\n"),
        ("ctiserver/web/static/words/en.js", 'export default {{\n  "a": "{}",\n}};\n'),
        ("docs/how-to/desk.md", "{}\n"),
        (".gitmessage", "# {}\n"),
    ],
)
def test_planted_habit_fails_with_its_place_and_the_plainer_form(
    tmp_path: Path, habit: str, path: str, text: str
) -> None:
    file = tmp_path / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text.format(_PLANTED[habit]), encoding="utf-8")
    line = next(n for n, each in enumerate(text.splitlines(), 1) if "{}" in each)

    status, said = _check(tmp_path)

    assert status == 1
    assert f"{path}:{line}: " in said
    assert f"({habit}): write {HABITS[habit][1]}" in said


@pytest.mark.parametrize("text", ["There is no such call.", "It is no longer open.", "A case where is no more left."])
def test_ordinary_english_passes(tmp_path: Path, text: str) -> None:
    (tmp_path / "README.md").write_text(text + "\n", encoding="utf-8")
    assert list(found(tmp_path)) == []


def test_listed_file_passes_until_it_is_rewritten(tmp_path: Path) -> None:
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools/words_not_yet.txt").write_text("anew README.md\n", encoding="utf-8")
    (tmp_path / "README.md").write_text("Read it anew.\n", encoding="utf-8")
    assert _check(tmp_path) == (0, "")
    (tmp_path / "README.md").write_text("Read it again.\n", encoding="utf-8")
    assert _check(tmp_path) == (1, "tools/words_not_yet.txt: anew README.md is rewritten: remove the line\n")


def test_product_keeps_to_the_word_list() -> None:
    assert _check(_ROOT) == (0, "")
