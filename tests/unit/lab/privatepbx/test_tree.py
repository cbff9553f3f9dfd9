from __future__ import annotations

from pathlib import Path

import pytest

from ctiserver.errors import UserFault
from ctiserver.lab.privatepbx import tree
from ctiserver.lab.privatepbx.cache import Tree
from ctiserver.lab.privatepbx.debian import Progress, Recipe, architecture
from ctiserver.lab.privatepbx.lifecycle import silent
from ctiserver.lab.privatepbx.modules import MODULES
from ctiserver.lab.privatepbx.tree import ASTERISK, Programs, find_programs


@pytest.fixture
def no_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(recipe: Recipe, progress: Progress, finish: object, *, cache: Path | None = None) -> Path:
        raise UserFault("apt-get update failed: E: no route", where="http://mirror", fix="See the mirror")

    monkeypatch.setattr(tree, "tree_of", fails)


@pytest.fixture
def empty_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Nothing on PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setattr(tree, "_search_path", lambda: str(folder))
    monkeypatch.setenv("PATH", str(folder))
    return folder


def _install(folder: Path, name: str) -> Path:
    path = folder / name
    path.write_text("#!/bin/sh\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def test_programs_of_a_tree_start_by_the_trees_own_loader(tmp_path: Path) -> None:
    libraries = f"usr/lib/{architecture().triplet}"
    made = Tree(tmp_path, (libraries, f"{libraries}/pulseaudio"), {}, {"asterisk": "23"})
    programs = Programs.of_tree(made)
    command = programs.command("baresip")
    assert command[0].startswith(str(tmp_path / "usr/lib"))
    assert "/ld-linux" in command[0]
    assert command[1:3] == ["--library-path", f"{tmp_path / libraries}:{tmp_path / libraries / 'pulseaudio'}"]
    assert command[-1] == str(tmp_path / "usr/bin/baresip")
    assert programs.packages == "newer than what last passed the tests: asterisk 23"


def test_every_module_that_our_configuration_loads_is_proved() -> None:
    proved = {Path(path).name for path in ASTERISK.modules}
    assert {f"{name}.so" for name in MODULES} <= proved
    assert {"g711.so", "account.so", "menu.so", "ctrl_tcp.so"} <= proved


def test_program_that_is_not_there_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(UserFault, match=r"sipp is not on this machine. Install sipp"):
        Programs({}, tmp_path, tmp_path, tmp_path).command("sipp")


async def test_no_way_works_one_message_says_what_to_do(no_packages: None, empty_machine: Path) -> None:
    with pytest.raises(UserFault) as fault:
        await find_programs(silent)
    assert str(fault.value) == (
        "http://mirror: no Asterisk: unpacking Debian's packages failed (apt-get update failed: E: no route), none is "
        "installed, and no container engine answers. See the mirror; or install Asterisk 22.8.2 or later; or start "
        "Docker or podman"
    )


async def test_a_container_that_can_not_be_built_does_not_hide_why_the_packages_failed(
    no_packages: None, empty_machine: Path
) -> None:
    engine = _install(empty_machine, "podman")
    engine.write_text('#!/bin/sh\ncase "$1" in info) exit 0;; *) echo "no registry"; exit 1;; esac\n', encoding="utf-8")
    with pytest.raises(
        UserFault, match=r"E: no route\), none is installed, and podman could not build the image: no r"
    ):
        await find_programs(silent)


async def test_installed_asterisk_is_taken_when_packages_fail(
    no_packages: None, empty_machine: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asterisk = _install(empty_machine, "asterisk")
    monkeypatch.setattr(tree, "_first_folder", lambda *_patterns: tmp_path)
    programs = await find_programs(silent)
    assert programs.command("asterisk") == [str(asterisk)]
    assert programs.asterisk_modules == tmp_path


async def test_asterisk_without_its_modules_does_not_count(
    no_packages: None, empty_machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _install(empty_machine, "asterisk")
    monkeypatch.setattr(tree, "_first_folder", lambda *_patterns: None)
    with pytest.raises(UserFault, match="no Asterisk"):
        await find_programs(silent)
