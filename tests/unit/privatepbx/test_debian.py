from __future__ import annotations

import asyncio
import os
import stat
from dataclasses import dataclass
from pathlib import Path

import pytest

from ctiserver.errors import UserFault
from ctiserver.privatepbx import debian
from ctiserver.privatepbx.debian import Recipe, architecture, debian_mirror, tree_of
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
    monkeypatch.setattr(debian, "KEYRING", keyring)
    monkeypatch.setenv("PATH", f"{machine.bin}{os.pathsep}{os.environ['PATH']}")
    machine.says(
        f'echo "$*" >> "{machine.bin}/calls"\n'
        'archives=$(sed -n \'s/^Dir::Cache::archives "\\(.*\\)";/\\1/p\' "$APT_CONFIG")\n'
        "echo dlstatus:1:50.0000:Retrieving\n"
        f'case "$*" in *download-only*) dpkg-deb -b "{tmp_path}/package" "$archives/toy_1_all.deb" >/dev/null;; esac'
    )
    return machine


async def _tree(machine: Machine, seen: list[tuple[str, float]] | None = None) -> Path:
    def note(what: str, done: float) -> None:
        if seen is not None:
            seen.append((what, done))

    return await tree_of(_RECIPE, note, lambda tree: (tree / "finished").touch(), cache=machine.cache)


async def test_fetches_unpacks_finishes_and_then_takes_it_from_the_cache(machine: Machine) -> None:
    seen: list[tuple[str, float]] = []
    tree = await _tree(machine, seen)
    assert (tree / "usr/toy").read_text(encoding="utf-8") == "program"
    assert (tree / "finished").exists()
    assert not (tree / "usr/share/doc").exists()
    assert (tree / "PACKAGES").read_text(encoding="utf-8") == "toy_1_all\n"
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
    with pytest.raises(UserFault, match="apt-get update failed: E: Failed to fetch http://mirror/x  Could not resolve"):
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


async def test_machine_without_apt_is_told_what_to_do(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(machine.cache))
    with pytest.raises(UserFault, match="needs apt-get and dpkg-deb and tar"):
        await _tree(machine)


async def test_machine_without_debians_keys_is_told_what_to_install(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(debian, "KEYRING", machine.bin / "none.gpg")
    with pytest.raises(UserFault, match="Install debian-archive-keyring"):
        await _tree(machine)


@pytest.mark.parametrize(
    ("name", "text", "mirror"),
    [
        (
            "sources.list",
            "# deb http://commented/debian x main\ndeb http://one/debian bookworm main",
            "http://one/debian",
        ),
        ("sources.list", "deb [signed-by=/k] https://two/debian/ trixie main", "https://two/debian"),
        ("sources.list.d/debian.sources", "Types: deb\nURIs: http://three/debian\nSuites: x", "http://three/debian"),
        ("mirrors/debian.list", "https://four/debian\n", "https://four/debian"),
    ],
)
def test_mirror_is_the_machines_own(tmp_path: Path, name: str, text: str, mirror: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    assert debian_mirror(tmp_path) == mirror


def test_a_machine_without_a_mirror_says_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sources.list").write_text("deb http://five/debian-security x main", encoding="utf-8")
    with pytest.raises(UserFault, match=r"name no Debian mirror\. Set CTISERVER_DEBIAN_MIRROR"):
        debian_mirror(tmp_path)
    monkeypatch.setenv("CTISERVER_DEBIAN_MIRROR", "http://six/debian/")
    assert debian_mirror(tmp_path) == "http://six/debian"


def test_loader_follows_the_architecture() -> None:
    assert architecture("x86_64").loader == "ld-linux-x86-64.so.2"
    assert architecture("aarch64").triplet == "aarch64-linux-gnu"
    with pytest.raises(UserFault, match="no Debian packages are known for a vax machine"):
        architecture("vax")


def test_key_changes_with_what_the_tree_is_made_of() -> None:
    other = Recipe(name="toy", packages=("toy", "more"), suite="forky")
    assert _RECIPE.key("m") != other.key("m")
    assert _RECIPE.key("m") == _RECIPE.key("another mirror"), "the mirror does not change what forky holds"


def test_cache_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert debian.cache_root() == tmp_path / "ctiserver"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert debian.cache_root() == Path.home() / ".cache/ctiserver"
    assert stat.S_ISDIR(tmp_path.stat().st_mode)
