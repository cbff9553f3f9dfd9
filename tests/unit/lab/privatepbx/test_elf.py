from __future__ import annotations

from pathlib import Path

import pytest

from ctiserver.errors import UserFault
from ctiserver.lab.privatepbx.elf import Libraries, machine_folders, read_dynamic
from ctiserver.lab.privatepbx.proof import package_names
from tests.support.tiny_elf import library, program


def _write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_what_a_program_asks_of_the_loader_is_read(tmp_path: Path) -> None:
    found = read_dynamic(_write(tmp_path / "p", program("hello", ["liba.so.1", "libb.so"], runpath="$ORIGIN/x:/y")))
    assert found is not None
    assert found.needed == ("liba.so.1", "libb.so")
    assert (found.before, found.after) == ((), ("$ORIGIN/x", "/y"))


def test_rpath_counts_only_without_a_runpath(tmp_path: Path) -> None:
    alone = read_dynamic(_write(tmp_path / "a", library("a.so", rpath="/x")))
    both = read_dynamic(_write(tmp_path / "b", library("b.so", rpath="/x", runpath="/y")))
    assert alone is not None
    assert alone.before == ("/x",)
    assert both is not None
    assert (both.before, both.after) == ((), ("/y",))


def test_scripts_need_no_libraries_and_broken_files_are_a_fault(tmp_path: Path) -> None:
    assert read_dynamic(_write(tmp_path / "script", b"#!/bin/sh\n")) is None
    with pytest.raises(UserFault, match="cut is a broken program file"):
        read_dynamic(_write(tmp_path / "cut", library("x.so")[:80]))


def test_libraries_of_libraries_are_followed_and_rings_end(tmp_path: Path) -> None:
    first = _write(tmp_path / "bin/p", program("p", ["liba.so"]))
    _write(tmp_path / "lib/liba.so", library("liba.so", ["libb.so"]))
    _write(tmp_path / "lib/libb.so", library("libb.so", ["liba.so", "libc.so"]))
    libraries = Libraries(tmp_path, ["lib"])
    assert [(lack.soname, lack.file.name, lack.wanted_by) for lack in libraries.lacks([("p", first)])] == [
        ("libc.so", "libb.so", "p")
    ]
    assert libraries.folders == ("lib",)


def test_a_link_out_of_the_tree_is_no_library(tmp_path: Path) -> None:
    first = _write(tmp_path / "tree/bin/p", program("p", ["liba.so"]))
    (tmp_path / "tree/lib").mkdir()
    (tmp_path / "tree/lib/liba.so").symlink_to("/nowhere/liba.so")
    assert [lack.soname for lack in Libraries(tmp_path / "tree", ["lib"]).lacks([("p", first)])] == ["liba.so"]


def test_variants_for_certain_processors_alone_do_not_count(tmp_path: Path) -> None:
    first = _write(tmp_path / "bin/p", program("p", ["liba.so"]))
    _write(tmp_path / "lib/glibc-hwcaps/x86-64-v3/liba.so", library("liba.so"))
    assert [lack.soname for lack in Libraries(tmp_path, ["lib"]).lacks([("p", first)])] == ["liba.so"]


def test_the_machines_own_libraries_count_where_they_are_used(tmp_path: Path) -> None:
    first = _write(tmp_path / "tree/bin/p", program("p", ["liba.so"]))
    _write(tmp_path / "machine/liba.so", library("liba.so"))
    assert Libraries(tmp_path / "tree", ["lib"]).lacks([("p", first)])
    assert not Libraries(tmp_path / "tree", ["lib"], [tmp_path / "machine"]).lacks([("p", first)])
    assert not Libraries(None, (), [tmp_path / "machine"]).lacks([("p", first)])


def test_this_machines_python_finds_its_libraries() -> None:
    shell = Path("/bin/sh").resolve()
    assert Libraries(None, (), machine_folders()).lacks([("sh", shell)]) == []


@pytest.mark.parametrize(
    ("soname", "package"),
    [
        ("libpcaudio.so.0", "libpcaudio0"),
        ("libssl.so.3", "libssl3t64"),
        ("libxslt1.so.1", "libxslt1-1"),
        ("libpulsecommon-17.0.so", "libpulsecommon-17.0"),
        ("libX11.so.6", "libx11-6"),
        ("libatomic.so.1", "libatomic1"),
    ],
)
def test_a_librarys_package_is_named_as_debian_names_it(soname: str, package: str) -> None:
    assert package in package_names(soname)


def test_a_path_is_not_taken_for_a_librarys_name() -> None:
    assert package_names("toy") == []
