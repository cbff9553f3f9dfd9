from __future__ import annotations

import asyncio
import os
import stat
from dataclasses import dataclass
from pathlib import Path

import pytest

from ctiserver.errors import UserFault
from ctiserver.lab.privatepbx import apt
from ctiserver.lab.privatepbx.cache import Tree, cache_root, tree_of
from ctiserver.lab.privatepbx.debian import MIRROR_VARIABLE, Recipe
from tests.support.eventually import eventually

_RECIPE = Recipe(name="toy", packages=("toy",), suite="forky", stand_ins=("adduser", "libsnmp45"))


@dataclass
class Machine:
    """A machine whose apt-get is ours; it writes down how it was called."""

    bin: Path
    cache: Path

    def says(self, script: str) -> None:
        path = self.bin / "apt-get"
        path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        path.chmod(0o755)

    @property
    def calls(self) -> list[str]:
        log = self.bin / "calls"
        return log.read_text(encoding="utf-8").splitlines() if log.exists() else []


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """apt-get writes a real .deb of one file into the archives folder that its configuration names."""
    made = tmp_path / "package/DEBIAN"
    made.mkdir(parents=True)
    (made / "control").write_text(
        "Package: toy\nVersion: 1\nArchitecture: all\nMaintainer: nobody\nDescription: a toy\n", encoding="utf-8"
    )
    (tmp_path / "package/usr/share/doc").mkdir(parents=True)
    (tmp_path / "package/usr/share/doc/toy").write_text("manual", encoding="utf-8")
    (tmp_path / "package/usr/toy").write_text("program", encoding="utf-8")
    (tmp_path / "bin").mkdir()
    machine = Machine(tmp_path / "bin", tmp_path / "cache")
    keyring = tmp_path / "keyring.gpg"
    keyring.touch()
    monkeypatch.setattr(apt, "KEYRING", keyring)
    monkeypatch.setenv(MIRROR_VARIABLE, "http://mirror/debian")
    monkeypatch.setenv("PATH", f"{machine.bin}{os.pathsep}{os.environ['PATH']}")
    machine.says(
        f'echo "$*" >> "{machine.bin}/calls"\n'
        'archives=$(sed -n \'s/^Dir::Cache::archives "\\(.*\\)";/\\1/p\' "$APT_CONFIG")\n'
        "echo dlstatus:1:50.0000:Retrieving\n"
        f'case "$*" in *download-only*) dpkg-deb -b "{tmp_path}/package" "$archives/toy_1_all.deb" >/dev/null;; esac'
    )
    return machine


async def _tree(machine: Machine, seen: list[tuple[str, float]] | None = None) -> Tree:
    def note(what: str, done: float) -> None:
        if seen is not None:
            seen.append((what, done))

    return await tree_of(_RECIPE, note, lambda tree: (tree / "finished").touch(), cache=machine.cache)


async def test_fetches_unpacks_finishes_and_then_takes_it_from_the_cache(machine: Machine) -> None:
    seen: list[tuple[str, float]] = []
    tree = await _tree(machine, seen)
    assert (tree.root / "usr/toy").read_text(encoding="utf-8") == "program"
    assert (tree.root / "finished").exists()
    assert not (tree.root / "usr/share/doc").exists()
    assert tree.packages == {"toy": "1"}
    assert [done for _, done in seen] == sorted(done for _, done in seen)
    assert seen[-1] == ("ready", 1.0)
    calls = machine.calls
    assert await _tree(machine) == tree
    assert machine.calls == calls
    assert [path for path in machine.cache.iterdir() if path.suffix == ".part"] == []


async def test_two_at_once_fetch_once(machine: Machine) -> None:
    first, second = await asyncio.gather(_tree(machine), _tree(machine))
    assert first == second
    assert len([call for call in machine.calls if "download-only" in call]) == 1


async def test_apt_that_fails_is_quoted_and_leaves_nothing(machine: Machine) -> None:
    machine.says("echo 'E: Failed to fetch http://mirror/x  Could not resolve'; exit 100")
    with pytest.raises(
        UserFault,
        match="apt-get update failed: the mirror can't be reached: E: Failed to fetch http://mirror/x  Could not",
    ):
        await _tree(machine)
    assert [path.name for path in machine.cache.iterdir() if path.suffix != ".lock"] == []


async def test_cancelled_fetch_leaves_neither_process_nor_half_a_tree(machine: Machine) -> None:
    machine.says(f'echo $$ > "{machine.bin}/pid"; exec sleep 60')
    task = asyncio.ensure_future(_tree(machine))

    async def pid_written() -> str:
        path = machine.bin / "pid"
        return path.read_text(encoding="utf-8").strip() if path.exists() else ""

    pid = int(await eventually(pid_written))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not os.path.exists(f"/proc/{pid}")
    assert [path.name for path in machine.cache.iterdir() if path.suffix != ".lock"] == []


async def test_cache_that_can_not_be_written_is_named(machine: Machine) -> None:
    machine.cache.write_text("a file where the folder should be", encoding="utf-8")
    with pytest.raises(UserFault, match="XDG_CACHE_HOME"):
        await _tree(machine)


async def test_user_without_a_home_folder_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", nowhere)
    with pytest.raises(UserFault, match=r"no home folder for a cache\. Set XDG_CACHE_HOME"):
        cache_root()


async def test_machine_without_apt_is_told_what_to_do(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(machine.cache))
    with pytest.raises(UserFault, match="needs apt-get and apt-cache and dpkg-deb and tar"):
        await _tree(machine)


async def test_machine_without_debians_keys_is_told_what_to_install(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apt, "KEYRING", machine.bin / "none.gpg")
    with pytest.raises(UserFault, match="Install debian-archive-keyring"):
        await _tree(machine)


def test_cache_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_root() == tmp_path / "ctiserver"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_root() == Path.home() / ".cache/ctiserver"
    assert stat.S_ISDIR(tmp_path.stat().st_mode)
