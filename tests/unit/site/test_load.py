from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from ctiserver.errors import FileFault, UserFault
from ctiserver.resources import shipped
from ctiserver.site.load import load_site


def test_shipped_site_reads() -> None:
    site = load_site(shipped("config"))
    assert site.queues["repair"].ring == timedelta(seconds=15)
    wanted = site.number("4001234")
    assert wanted is not None
    assert wanted.flow_name == "front_desk"
    assert site.record_types["repair"].process == "repair"


def test_files_not_written_are_the_shipped_ones(tmp_path: Path) -> None:
    (tmp_path / "queues.yaml").write_text("queues: {sales: {}}\n")
    site = load_site(tmp_path)
    assert list(site.queues) == ["sales"]
    assert "repair" in site.record_types


def test_problems_of_all_files_come_at_once(tmp_path: Path) -> None:
    (tmp_path / "queues.yaml").write_text("queues: {sales: {strategy: longest}}\n")
    (tmp_path / "numbers.yaml").write_text("numbers:\n  4008001234: {flow: x}\n")
    with pytest.raises(FileFault) as fault:
        load_site(tmp_path)
    first, second = (str(problem) for problem in fault.value.problems)
    assert first.endswith(
        'numbers.yaml:2:3: error YA-009: the key 4008001234 is not text to YAML (write it in quotes: "4008001234")'
    )
    assert "queues.yaml:1:28: error CT-004" in second
    assert "did you mean 'longest_idle'?" in second


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "queues.yaml",
            "queues: {a: {overflow: bb}, b: {}}\n",
            r"1:24: error CT-007: no queue is named 'bb' \(did you mean 'b'\?\)",
        ),
        (
            "dispositions.yaml",
            "dispositions: {a: {title: {en: A}, types: [repiar]}}\n",
            r"1:44: error CT-008: no record type is named 'repiar' \(did you mean 'repair'\?\)",
        ),
        ("numbers.yaml", 'numbers: {"*": {flow: a@live}}\n', "names no flow"),
        ("numbers.yaml", "numbers: {abc: {flow: a}}\n", "is not a valid number"),
        ("phones.yaml", "phones: [{name: a]b, extension: '1'}]\n", "phones.yaml:1"),
    ],
)
def test_references_and_rules(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(FileFault, match=message):
        load_site(tmp_path)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(UserFault, match="is not a directory"):
        load_site(tmp_path / "x")
