from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ctiserver.errors import UserFault
from ctiserver.lab.privatepbx.debian import MIRROR_VARIABLE, Recipe, architecture, debian_mirror


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


def test_key_changes_with_what_the_tree_is_made_of(monkeypatch: pytest.MonkeyPatch) -> None:
    toy = Recipe(name="toy", packages=("toy",), suite="forky")
    assert toy.key() != replace(toy, packages=("toy", "more")).key()
    assert toy.key() == replace(toy, passed={"toy": "1"}).key(), "a tree that works is kept"
    monkeypatch.setenv(MIRROR_VARIABLE, "http://one/debian")
    of_suite, of_machine = toy.key(), replace(toy, suite=None).key()
    monkeypatch.setenv(MIRROR_VARIABLE, "http://two/debian")
    assert toy.key() == of_suite, "the mirror does not change what forky holds"
    assert replace(toy, suite=None).key() != of_machine
