from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from ctiserver.errors import FileFault, UserFault
from ctiserver.strict_yaml import Duration, Written, duration, load, parse


def problems(text: str) -> list[str]:
    with pytest.raises(FileFault) as fault:
        load(text, file="f.yaml")
    return [str(problem) for problem in fault.value.problems]


def test_yaml_1_2_core() -> None:
    document = load("on: yes\noff: no\na: true\nb: 12\nc: 0o17\nd: 1.5\ne: null\nf: ~\ng: '12'\nh: |\n  x\n", file="f")
    assert document.data == {
        "on": "yes", "off": "no", "a": True, "b": 12, "c": 15, "d": 1.5, "e": None, "f": None, "g": "12", "h": "x\n",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "place", "code", "words"),
    [
        ("a: 1\nb: 2\na: 3\n", "3:1", "YA-010", "appears twice"),
        ("choices:\n  1: x\n", "2:3", "YA-009", 'write it in quotes: "1"'),
        ("at: 22:00\n", "1:5", "YA-009", 'write it in quotes: "22:00"'),
        ("a: &x 1\nb: *x\n", "1:4", "YA-003", "anchors"),
        ("a: !!python/object:os.system x\n", "1:4", "YA-004", "tags"),
        ("kind：menu\nnext: a\n", "1:5", "YA-005", "full-width ："),
        ("nodes:\n  a：\n    kind: menu\n", "2:4", "YA-005", "full-width ："),
        ("prompt: {zh-CN: 你好, 请按一, en: Hi}\n", "1:21", "YA-011", "comma"),
        ("a: 1\n---\nb: 2\n", "2:1", "YA-007", "one file"),
        ("", "1:1", "YA-002", "empty"),
        ("a: [1\n", "2:1", "YA-008", "not YAML"),
        ("a:\n\tb: 1\n", "2:1", "YA-006", "tab"),
        ("? [a]\n: 1\n", "1:3", "YA-013", "key"),
        ("a: " + "[" * 80 + "]" * 80, "1:64", "YA-012", "nested"),
    ],
)
def test_traps_are_located_and_say_what_to_write(text: str, place: str, code: str, words: str) -> None:
    (problem, *_) = problems(text)
    assert problem.startswith(f"f.yaml:{place}: error {code}")
    assert words in problem


def test_every_duplicate_is_reported_at_once() -> None:
    assert len(problems("a: 1\na: 2\n1: x\n")) == 2


def test_text_keeps_its_full_width_marks() -> None:
    assert load("zh-CN: 您好，请按一：维修\n", file="f").data == {"zh-CN": "您好，请按一：维修"}


class Play(Written):
    kind: Literal["play"]
    prompt: str
    after: Duration = timedelta(seconds=1)


class Menu(Written):
    kind: Literal["menu"]
    choices: dict[str, str]


class File(Written):
    number: str = ""
    nodes: dict[str, Annotated[Play | Menu, Field(discriminator="kind")]] = {}


def disagreements(text: str) -> list[str]:
    with pytest.raises(FileFault) as fault:
        parse(load(text, file="f.yaml"), File, prefix="CF")
    return [str(problem) for problem in fault.value.problems]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nodes:\n  a: {kind: play, promt: x}\n", "f.yaml:2:19: error CF-001: unknown key 'promt' (did you mean 'prompt'?)"),
        ("nodes:\n  a:\n    kind: play\n", "f.yaml:2:3: error CF-002: 'prompt' is missing in nodes.a"),
        ("nodes:\n  a: {kind: meun}\n", "f.yaml:2:13: error CF-004: nodes.a: 'meun' is not known here (did you mean 'menu'?)"),
        ("number: 013800138000\n", 'f.yaml:1:9: error CF-005: number: YAML read 013800138000 as 13800138000 (write it in quotes: "013800138000")'),
        ("number: 1.10\n", 'f.yaml:1:9: error CF-005: number: YAML read 1.10 as 1.1 (write it in quotes: "1.10")'),
        ("nodes:\n  a: {kind: play, prompt: x, after: 5}\n", "f.yaml:2:37: error CF-006: nodes.a.after: 5 has no unit; write it like 5s or 5m"),
        ("nodes:\n  a: {kind: play, prompt: x, after: soon}\n", "f.yaml:2:37: error CF-006: nodes.a.after: 'soon' is not a valid duration; write it like 15s, 2m30s, 1h, 500ms"),
        ("nodes:\n  a: kind：menu\n", "f.yaml:2:6: error YA-005: full-width punctuation in 'kind：menu' (write ': ' (ASCII colon and a space))"),
    ],
)  # fmt: skip
def test_disagreements_with_a_schema(text: str, expected: str) -> None:
    assert expected in disagreements(text)


def test_values_are_never_coerced() -> None:
    class Strict(Written):
        count: int = 0
        enabled: bool = False

    for text in ('count: "5"\n', "enabled: yes\n", "enabled: 1\n", "count: 1.0\n"):
        with pytest.raises(FileFault):
            parse(load(text, file="f"), Strict)


def test_durations() -> None:
    assert duration("2m30s") == timedelta(minutes=2, seconds=30)
    assert duration("500ms") == timedelta(milliseconds=500)
    for wrong in ("", "5", "5 parsecs", "s"):
        with pytest.raises(ValueError, match="is not a valid duration"):
            duration(wrong)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UserFault, match="No such file"):
        load(tmp_path / "missing.yaml")
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(b"a: 1\nb: \xe9\n")
    with pytest.raises(FileFault, match=r"latin\.yaml:2:4: error YA-001: this is not UTF-8"):
        load(latin)


@given(st.text())
def test_any_text_gives_a_document_or_located_problems(text: str) -> None:
    try:
        document = load(text, file="f.yaml")
        parse(document, File)
    except FileFault as fault:
        assert fault.problems
        assert all(problem.place.line >= 1 for problem in fault.problems)
