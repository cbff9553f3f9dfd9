"""A recipe for a toy, and a mirror on this disk that holds what it needs today."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ctiserver.lab.privatepbx import apt
from ctiserver.lab.privatepbx.cache import Tree, tree_of
from ctiserver.lab.privatepbx.debian import MIRROR_VARIABLE, Program, Recipe, architecture
from tests.support.repository import SUITE, Package, Repository
from tests.support.tiny_elf import library, program

LIBRARIES = f"usr/lib/{architecture().triplet}"
MODULE = f"{LIBRARIES}/toy/modules/mod.so"

#: Today neither the program nor its module needs libextra0 or adduser.
RECIPE = Recipe(
    name="toy",
    packages=("toy",),
    suite=SUITE,
    stand_ins=("libextra0", "adduser"),
    programs=(Program("toy", "usr/bin/toy", ("--version",), "toy"),),
    modules=(MODULE,),
)


def lib(soname: str, package: str = "", *needed: str, folder: str = LIBRARIES, depends: str = "") -> Package:
    """A package with one library."""
    return Package(package or soname, {f"{folder}/{soname}": library(soname, needed)}, {"Depends": depends})


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """A mirror that holds a healthy toy. It is not written yet."""
    repository = Repository(tmp_path / "mirror")
    loader = Path(f"/lib/{architecture().triplet}/{architecture().loader}").read_bytes()
    for package in (
        Package(
            "toy",
            {
                "usr/bin/toy": program("toy 1", ["libbase.so.1"]),
                MODULE: library("mod.so", ["libmod.so.2"]),
                "usr/share/doc/toy/copyright": b"left out",
            },
            {"Depends": "libc6, libbase1 (>= 1), libmod2, libextra0, adduser | systemd"},
        ),
        Package("libc6", {f"{LIBRARIES}/{architecture().loader}": loader}),
        lib("libbase.so.1", "libbase1"),
        lib("libmod.so.2", "libmod2", "libbase.so.1", depends="libbase1"),
        lib("libextra.so.0", "libextra0"),
        Package("adduser"),
    ):
        repository.put(package)
    keyring = tmp_path / "keyring.gpg"
    keyring.touch()
    monkeypatch.setattr(apt, "KEYRING", keyring)
    monkeypatch.setattr(apt, "SOURCE_OPTIONS", "[trusted=yes]")
    monkeypatch.setenv(MIRROR_VARIABLE, f"file:{repository.root}")
    return repository


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


class Make:
    """``await make(passed={…})``: the toy's tree, with some of its recipe changed."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self.said: list[str] = []  #: what went on, in order

    async def __call__(self, **changes: Any) -> Tree:
        return await tree_of(
            replace(RECIPE, **changes),
            lambda what, _done: self.said.append(what),
            lambda _tree: None,
            cache=self._cache,
        )


@pytest.fixture
def make(cache: Path) -> Make:
    return Make(cache)
