"""`make fresh` by itself: what it takes from the machine, what it runs, when it fails. tests/fresh runs it for real."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tools.fresh import __main__ as fresh
from tools.fresh.machine import this_machine
from tools.fresh.sandbox import Line, Unavailable
from tools.fresh.steps import README_COMMANDS, Outcome
from tools.fresh.systems import SYSTEMS, System

_ROOT = Path(__file__).parents[3]
_OK = Outcome("demo", 12.3, ok=True, megabytes=7, lines=[Line(0.1, "ready")])


def test_what_it_runs_stands_in_the_readme() -> None:
    text = (_ROOT / "README.md").read_text(encoding="utf-8")
    lines = {line.partition("  #")[0].rstrip() for block in text.split("```sh\n")[1:] for line in block.split("\n")}
    assert [line for line in README_COMMANDS if line not in lines and f"`{line}`" not in text] == []


def test_debian_12_and_13_are_tried() -> None:
    assert {"debian-12", "debian-13"} <= {system.name for system in SYSTEMS}


class TestWhatIsNotRun:
    @pytest.fixture(autouse=True)
    def _without_systems(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        def tried(system: System, *, short: bool, origin: Path) -> list[Outcome]:
            if system.name == "debian-12":
                return [_OK]
            raise Unavailable("no mirror has it")

        monkeypatch.setattr(fresh, "tried", tried)
        monkeypatch.setattr(fresh, "copy_of_the_commit", lambda folder: folder)
        monkeypatch.setattr(fresh, "RESULTS", tmp_path)
        monkeypatch.delenv("FRESH_SKIP", raising=False)

    def test_is_a_failure(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert fresh.main(["debian-12", "debian-13"]) == 1
        assert (
            "debian-13 was not run: no mirror has it. FRESH_SKIP=debian-13 goes without it" in capsys.readouterr().err
        )

    def test_is_none_where_fresh_skip_names_it(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("FRESH_SKIP", "debian-13, ubuntu-26.04")
        assert fresh.main(["debian-12", "debian-13"]) == 0
        (written,) = tmp_path.glob("*.json")
        document = json.loads(written.read_text(encoding="utf-8"))
        assert document["not_run"] == {"debian-13": "FRESH_SKIP names it"}
        assert document["systems"]["debian-12"] == [
            {"step": "demo", "s": 12.3, "mb": 7, "ok": True, "why": "", "lines": [[0.1, "ready"]]}
        ]
        assert "debian-12      demo" in capsys.readouterr().out

    @pytest.mark.parametrize(("argument", "skip"), [("debian-99", ""), ("debian-12", "debain-13")])
    def test_may_not_be_misspelt(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], argument: str, skip: str
    ) -> None:
        monkeypatch.setenv("FRESH_SKIP", skip)
        assert fresh.main([argument]) == 2
        assert "is not one of debian-12, debian-13" in capsys.readouterr().err


def test_a_step_that_fails_fails_all_and_shows_its_last_lines(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = Outcome("demo", 1.0, ok=False, why="exit status 2: it broke", lines=[Line(0.5, "it broke")])
    monkeypatch.setattr(fresh, "tried", lambda system, **_: [bad])
    monkeypatch.setattr(fresh, "copy_of_the_commit", lambda folder: folder)
    monkeypatch.setattr(fresh, "RESULTS", tmp_path)
    assert fresh.main(["debian-12"]) == 1
    said = capsys.readouterr().err
    assert "it broke\n" in said
    assert "make fresh: debian-12: demo: exit status 2: it broke" in said


def test_the_machines_settings_are_taken_over(tmp_path: Path) -> None:
    index = tmp_path / "index" / "simple"
    index.mkdir(parents=True)
    configured = tmp_path / "pip.conf"
    configured.write_text(f"[global]\nextra-index-url = file://{index}\n[install]\nno-compile = true\n")
    home = tmp_path / "home"
    (home / ".config" / "pip").mkdir(parents=True)
    (home / ".config" / "pip" / "pip.conf").write_text("[install]\nno-compile = false\n")
    environment = {
        "HOME": str(home),
        "XDG_CONFIG_DIRS": str(tmp_path),
        "PIP_CONFIG_FILE": str(configured),
        "PIP_FIND_LINKS": str(home),
        "https_proxy": "http://127.0.0.1:3128",
        "SECRET_OF_SOMEBODY": "x",
    }
    machine = this_machine(environment)
    assert machine.environment["https_proxy"] == "http://127.0.0.1:3128"
    assert machine.environment["PIP_FIND_LINKS"] == str(home)
    assert not {"SECRET_OF_SOMEBODY", "HOME", "PIP_CONFIG_FILE"} & set(machine.environment)
    assert f"extra-index-url = file://{index}\n" in machine.files["/etc/pip.conf"]
    assert "no-compile = true\n" in machine.files["/etc/pip.conf"]
    # an index leads to files beside it
    assert {(index.parent, str(index.parent)), (home, str(home))} <= set(machine.shared)
