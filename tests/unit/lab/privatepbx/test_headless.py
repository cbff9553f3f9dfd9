from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ctiserver.errors import UserFault
from ctiserver.lab.demo.browser import chromium
from ctiserver.lab.privatepbx import headless
from ctiserver.lab.privatepbx.cache import Tree
from ctiserver.lab.privatepbx.debian import Progress, Recipe
from ctiserver.lab.privatepbx.headless import Headless, headless_browser
from ctiserver.lab.privatepbx.lifecycle import silent
from tests.support.tiny_elf import library, program


@dataclass
class Machine:
    """A machine on whose PATH only what a test puts there is found."""

    folder: Path
    tree: Path
    asked: list[Recipe] = field(default_factory=list)  #: for which trees
    fault: UserFault | None = None

    def install(self, name: str, writes: str = "") -> Path:
        path = self.folder / name
        path.write_text(f"#!/bin/sh\necho '{writes}'\n", encoding="utf-8")
        path.chmod(0o755)
        return path

    async def tree_of(self, recipe: Recipe, progress: Progress, finish: object, *, cache: Path | None = None) -> Tree:
        self.asked.append(recipe)
        if self.fault:
            raise self.fault
        return Tree(self.tree, ("usr/lib/x",), {}, {})


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine(tmp_path / "bin", tmp_path / "tree")
    machine.folder.mkdir()
    (machine.tree / "usr/lib/x").mkdir(parents=True)
    monkeypatch.setenv("PATH", f"{machine.folder}:/bin:/usr/bin")
    monkeypatch.setattr(headless, "_ON_PATH", ("a-browser",))
    monkeypatch.setattr(headless, "tree_of", machine.tree_of)
    monkeypatch.setattr(headless, "_driver", lambda: None)
    machine.install("fc-list", "Some font")
    return machine


async def test_a_browser_on_path_is_preferred_and_nothing_is_fetched(machine: Machine) -> None:
    browser = machine.install("a-browser")
    assert await headless_browser(silent) == Headless(browser)
    assert machine.asked == []


async def test_the_lack_of_a_browser_is_one_message(machine: Machine) -> None:
    machine.fault = UserFault("apt-get update failed: E: no route", where="http://mirror", fix="See the mirror")
    with pytest.raises(UserFault, match=r"no headless browser: .*E: no route.* Install chromium"):
        await headless_browser(silent)


async def test_a_font_with_chinese_is_fetched_for_pictures_alone(machine: Machine) -> None:
    browser = machine.install("a-browser")
    machine.install("fc-list", "")
    assert await headless_browser(silent, pictures=False) == Headless(browser)
    (machine.tree / "usr/share/fonts").mkdir(parents=True)
    found = await headless_browser(silent)
    assert found.executable == browser
    assert f"<dir>{machine.tree}/usr/share/fonts</dir>" in found.fonts
    assert machine.asked[0].packages == (headless._CHINESE,)
    assert machine.asked[0].programs == ()


async def test_a_font_that_can_not_be_fetched_is_said_and_the_demo_goes_on(machine: Machine) -> None:
    browser = machine.install("a-browser")
    machine.install("fc-list", "")
    machine.fault = UserFault("no apt")
    said: list[str] = []
    assert await headless_browser(lambda what, _done: said.append(what)) == Headless(browser)
    assert said == ["Chinese may be shown as boxes: no font for it can be fetched (no apt)"]


async def test_the_drivers_library_is_fetched_and_the_driver_started_with_it(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.install("a-browser")
    node = machine.folder / "node"
    node.write_bytes(program("node", ["libwhichnomachinehas.so.1"]))
    monkeypatch.setattr(headless, "_driver", lambda: node)
    with pytest.raises(UserFault, match=r"the browser's driver needs libwhichnomachinehas\.so\.1 \(node\)"):
        await headless_browser(silent)
    (machine.tree / "usr/lib/x/libwhichnomachinehas.so.1").write_bytes(library("libwhichnomachinehas.so.1"))
    found = await headless_browser(silent)
    assert machine.asked[-1].libraries == ("libwhichnomachinehas.so.1",)
    assert found.driver == {
        "PLAYWRIGHT_NODEJS_PATH": str(machine.tree / "driver"),
        "CTISERVER_DRIVER": str(node),
        "CTISERVER_DRIVER_LIBRARIES": str(machine.tree / "usr/lib/x"),
    }


def test_the_wrapper_starts_the_driver_with_its_libraries(tmp_path: Path) -> None:
    headless._finish(tmp_path)
    environment = {"CTISERVER_DRIVER": "/usr/bin/env", "CTISERVER_DRIVER_LIBRARIES": "/some/folder"}
    shown = subprocess.run([tmp_path / "driver"], env=environment, capture_output=True, text=True, check=True).stdout
    assert "LD_LIBRARY_PATH=/some/folder\n" in shown


@pytest.mark.browser
async def test_a_real_browser_finds_the_added_font_and_our_environment_is_left_alone(tmp_path: Path) -> None:
    installed = await headless_browser(silent, pictures=False)
    before = dict(os.environ)
    added = Headless(installed.executable, fonts=headless._fonts(tmp_path), driver={"CTISERVER_DRIVER": "seen"})
    async with chromium(added) as browser:
        assert os.environ["CTISERVER_DRIVER"] == "seen"
        assert browser.is_connected()
    assert dict(os.environ) == before
