"""What tomorrow's packages may be: the tree comes up all the same, or one sentence says what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ctiserver.errors import UserFault
from tests.integration.packages.conftest import LIBRARIES, MODULE, RECIPE, Make, lib
from tests.support.repository import Package, Repository
from tests.support.tiny_elf import AARCH64, X86_64, here, library, program

Mutation = Callable[[Repository], None]


@dataclass(frozen=True)
class Works:
    """The tree comes up."""

    packages: set[str] = field(default_factory=set)  #: beyond those of today
    folders: tuple[str, ...] = ()  #: on the loader's path besides the usual one
    without: set[str] = field(default_factory=set)  #: of today's


_TODAY = {"toy", "libc6", "libbase1", "libmod2"}


def _toy(repository: Repository, *needed: str, **changes: Any) -> None:
    """A toy whose program needs these too; ``changes`` are fields."""
    toy = repository["toy"]
    files = {**toy.files, "usr/bin/toy": program("toy 2", ["libbase.so.1", *needed])}
    repository.put(toy.having(files=files, **changes))


def _depends(repository: Repository, more: str) -> dict[str, str]:
    return {"Depends": f"{repository['toy'].fields['Depends']}, {more}"}


def unchanged(repository: Repository) -> None:
    pass


def program_gains_a_stand_in(repository: Repository) -> None:
    _toy(repository, "libextra.so.0")


def library_gains_a_stand_in(repository: Repository) -> None:
    repository.put(lib("libbase.so.1", "libbase1", "libextra.so.0", depends="libextra0"))


def module_gains_a_stand_in(repository: Repository) -> None:
    toy = repository["toy"]
    repository.put(toy.having(files={**toy.files, MODULE: library("mod.so", ["libmod.so.2", "libextra.so.0"])}))


def stand_in_needs_another_library(repository: Repository) -> None:
    _toy(repository, "libextra.so.0")
    repository.put(lib("libextra.so.0", "libextra0", "libmore.so.3", depends="libmore3"))
    repository.put(lib("libmore.so.3", "libmore3"))


def stand_in_under_a_name_of_its_own(repository: Repository) -> None:
    _toy(repository, "libodd.so.7")
    repository.put(lib("libodd.so.7", "adduser"))


def program_gains_a_new_package(repository: Repository) -> None:
    _toy(repository, "libnew.so.5", **_depends(repository, "libnew5"))
    repository.put(lib("libnew.so.5", "libnew5"))


def stand_in_wanted_in_a_certain_version(repository: Repository) -> None:
    _toy(repository, Depends="libc6, libbase1, libmod2, libextra0 (= 1), adduser")


def stand_in_broken_by_its_version(repository: Repository) -> None:
    _toy(repository, Breaks="libextra0 (>> 5)")


def library_in_a_sub_folder(repository: Repository) -> None:
    _toy(repository, "libextra.so.0")
    repository.put(lib("libextra.so.0", "libextra0", "libpart-9.so", folder=LIBRARIES))
    extra = repository["libextra0"]
    repository.put(extra.having(files={**extra.files, f"{LIBRARIES}/extra/libpart-9.so": library("libpart-9.so")}))


def library_by_a_runpath_from_origin(repository: Repository) -> None:
    toy = repository["toy"]
    files = {
        **toy.files,
        "usr/bin/toy": program("toy 2", ["libown.so"], runpath="$ORIGIN/../lib/toy"),
        "usr/lib/toy/libown.so": library("libown.so"),
    }
    repository.put(toy.having(files=files))


def library_by_an_absolute_rpath(repository: Repository) -> None:
    toy = repository["toy"]
    files = {
        **toy.files,
        "usr/bin/toy": program("toy 2", ["libown.so"], rpath="/usr/lib/toy-private"),
        "usr/lib/toy-private/libown.so": library("libown.so"),
    }
    repository.put(toy.having(files=files))


def library_by_an_absolute_link(repository: Repository) -> None:
    base = repository["libbase1"]
    content = base.files[f"{LIBRARIES}/libbase.so.1"]
    files = {f"{LIBRARIES}/libbase.so.1": f"/{LIBRARIES}/libbase.so.1.9", f"{LIBRARIES}/libbase.so.1.9": content}
    repository.put(base.having(files=files))


def library_package_renamed(repository: Repository) -> None:
    repository.put(repository["libbase1"].having(name="libbase1t64"), instead_of="libbase1")
    _toy(repository, Depends="libc6, libbase1t64, libmod2, libextra0, adduser")
    repository.put(repository["libmod2"].having(Depends="libbase1t64"))


def stand_in_renamed(repository: Repository) -> None:
    repository.put(repository["libextra0"].having(name="libextra0t64"), instead_of="libextra0")
    _toy(repository, Depends="libc6, libbase1, libmod2, libextra0t64, adduser")


def stand_in_renamed_and_needed(repository: Repository) -> None:
    stand_in_renamed(repository)
    _toy(repository, "libextra.so.0")


def library_only_recommended(repository: Repository) -> None:
    _toy(repository, "libnew.so.5", Recommends="libnew5")
    repository.put(lib("libnew.so.5", "libnew5"))


def library_undeclared(repository: Repository) -> None:
    _toy(repository, "libnew2.so.5")
    repository.put(lib("libnew2.so.5", "libnew2-5"))


def library_undeclared_in_an_odd_package(repository: Repository) -> None:
    _toy(repository, "libnew.so.5")
    repository.put(lib("libnew.so.5", "oddly-named"))


def library_in_no_package(repository: Repository) -> None:
    _toy(repository, "libnew.so.5")


def library_withdrawn(repository: Repository) -> None:
    repository.remove("libbase1")


def stand_in_withdrawn(repository: Repository) -> None:
    repository.remove("libextra0")
    repository.remove("adduser")


def stand_in_withdrawn_but_needed(repository: Repository) -> None:
    repository.remove("libextra0")
    _toy(repository, "libextra.so.0")


def program_renamed(repository: Repository) -> None:
    repository.put(repository["toy"].having(name="toy-core"), instead_of="toy")


def program_renamed_and_provided(repository: Repository) -> None:
    repository.put(repository["toy"].having(name="toy-core", Provides="toy"), instead_of="toy")


def program_withdrawn(repository: Repository) -> None:
    repository.remove("toy")


def module_moved(repository: Repository) -> None:
    toy = repository["toy"]
    repository.put(Package("toy-extras", {MODULE: toy.files[MODULE]}, {"Depends": "libmod2"}))
    repository.put(toy.having(files={name: what for name, what in toy.files.items() if name != MODULE}))


def module_withdrawn(repository: Repository) -> None:
    toy = repository["toy"]
    repository.put(toy.having(files={name: what for name, what in toy.files.items() if name != MODULE}))


def library_of_another_machine(repository: Repository) -> None:
    other = library("libbase.so.1", machine=AARCH64 if here() == X86_64 else X86_64)
    repository.put(repository["libbase1"].having(files={f"{LIBRARIES}/libbase.so.1": other}))


def library_that_is_none(repository: Repository) -> None:
    repository.put(repository["libbase1"].having(files={f"{LIBRARIES}/libbase.so.1": b"INPUT(libbase.so)"}))


def library_cut_short(repository: Repository) -> None:
    whole = library("libbase.so.1")
    repository.put(repository["libbase1"].having(files={f"{LIBRARIES}/libbase.so.1": whole[: len(whole) // 2]}))


def program_that_crashes(repository: Repository) -> None:
    toy = repository["toy"]
    crashing = (
        program("toy 2", ["libbase.so.1"])
        .replace(bytes.fromhex("0f05"), b"\x0f\x0b")
        .replace((0xD4000001).to_bytes(4, "little"), bytes(4))
    )
    repository.put(toy.having(files={**toy.files, "usr/bin/toy": crashing}))


def program_that_is_something_else(repository: Repository) -> None:
    toy = repository["toy"]
    repository.put(toy.having(files={**toy.files, "usr/bin/toy": program("a drum 1", ["libbase.so.1"])}))


def stale_release_file(repository: Repository) -> None:
    repository.release["Valid-Until"] = "Wed, 02 Sep 2026 00:00:00 UTC"


_MUTATIONS: list[tuple[Mutation, Works | str]] = [
    (unchanged, Works()),
    (program_gains_a_stand_in, Works({"libextra0"})),
    (library_gains_a_stand_in, Works({"libextra0"})),
    (module_gains_a_stand_in, Works({"libextra0"})),
    (stand_in_needs_another_library, Works({"libextra0", "libmore3"})),
    (stand_in_under_a_name_of_its_own, Works({"libextra0", "adduser"})),
    (program_gains_a_new_package, Works({"libnew5"})),
    (stand_in_wanted_in_a_certain_version, Works({"libextra0"})),
    (stand_in_broken_by_its_version, Works({"libextra0"})),
    (library_in_a_sub_folder, Works({"libextra0"}, (f"{LIBRARIES}/extra",))),
    (library_by_a_runpath_from_origin, Works(folders=("usr/lib/toy",))),
    (library_by_an_absolute_rpath, Works(folders=("usr/lib/toy-private",))),
    (library_by_an_absolute_link, Works()),
    (library_package_renamed, Works({"libbase1t64"}, without={"libbase1"})),
    (stand_in_renamed, Works({"libextra0t64"})),
    (stand_in_renamed_and_needed, Works({"libextra0t64"})),
    (library_only_recommended, Works({"libnew5"})),
    (library_undeclared, Works({"libnew2-5"})),
    # What the package depends on is looked at before the long list of all files is fetched.
    (library_undeclared_in_an_odd_package, Works({"oddly-named", "libextra0", "adduser"})),
    (
        library_in_no_package,
        r"toy needs libnew\.so\.5 \(asked for by toy of the package toy\), which no package of \S+ toys holds",
    ),
    (library_withdrawn, r"the mirror lacks a package: .*libbase1 .*but it is not installable"),
    (stand_in_withdrawn, Works()),
    (
        stand_in_withdrawn_but_needed,
        r"toy needs libextra\.so\.0 \(asked for by toy of the package toy\), and libextra0 can't be fetched",
    ),
    (program_renamed, Works({"toy-core"}, without={"toy"})),
    (program_renamed_and_provided, Works({"toy-core"}, without={"toy"})),
    (program_withdrawn, r"toy is missing \(usr/bin/toy\), which no package of \S+ toys holds \(toy is not there\)"),
    (module_moved, Works({"toy-extras"})),
    (module_withdrawn, r"mod\.so is missing \(usr/lib/\S+/mod\.so\), which no package of \S+ toys holds"),
    (library_of_another_machine, r"toy needs libbase\.so\.1 .*which no package .* holds"),
    (library_that_is_none, r"toy needs libbase\.so\.1 .*which no package .* holds"),
    (library_cut_short, r"libbase\.so\.1 is a broken program file"),
    (program_that_crashes, r"the fetched toy does not start: "),
    (program_that_is_something_else, r"the fetched toy does not start: a drum 1"),
    (stale_release_file, Works()),
]


@pytest.mark.parametrize(("mutation", "comes_to"), _MUTATIONS, ids=[case[0].__name__ for case in _MUTATIONS])
async def test_mutated_packages_work_or_are_one_sentence(
    mutation: Mutation, comes_to: Works | str, repository: Repository, make: Make, cache: Path
) -> None:
    mutation(repository)
    repository.write()
    if isinstance(comes_to, str):
        await _is_one_sentence(make, comes_to, cache)
        return
    tree = await make()
    assert set(tree.packages) == (_TODAY | comes_to.packages) - comes_to.without
    assert tree.folders == (LIBRARIES, *comes_to.folders)
    assert [path.name for path in cache.iterdir() if path.suffix == ".part"] == []


async def _is_one_sentence(make: Make, sentence: str, cache: Path) -> None:
    with pytest.raises(UserFault, match=sentence) as fault:
        await make()
    assert "\n" not in str(fault.value)
    assert fault.value.fix
    left = [path.name for path in cache.iterdir() if path.suffix != ".lock"]
    assert left == [], "nothing half-made is left"


def _package_changed_after_its_list(repository: Repository) -> None:
    repository.deb("libmod2").write_bytes(repository.deb("libmod2").read_bytes() + b"more")


def _package_not_there_yet(repository: Repository) -> None:
    repository.deb("libmod2").unlink()


def _list_changed_after_its_release_file(repository: Repository) -> None:
    repository.lists.write_text(repository.lists.read_text(encoding="utf-8") + "\n", encoding="utf-8")


def _empty_mirror(repository: Repository) -> None:
    repository.root.rename(repository.root.with_name("moved"))


def _package_cut_short(repository: Repository) -> None:
    path = repository.deb("libmod2")
    path.write_bytes(path.read_bytes()[:-700])
    repository.write_lists()


def _package_of_noise(repository: Repository) -> None:
    repository.deb("libmod2").write_bytes(b"noise" * 1000)
    repository.write_lists()


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (_package_changed_after_its_list, "apt-get install failed: the mirror is half-synchronised: "),
        (_package_not_there_yet, "apt-get install failed: the mirror is half-synchronised: "),
        (_list_changed_after_its_release_file, "apt-get update failed: the mirror is half-synchronised: "),
        (_empty_mirror, "apt-get update failed: "),
        (_package_cut_short, r"the package libmod2_1_\S+\.deb is broken: "),
        (_package_of_noise, r"the package libmod2_1_\S+\.deb is broken: "),
    ],
)
async def test_a_mirror_at_fault_is_one_sentence(
    fault: Mutation, sentence: str, repository: Repository, make: Make, cache: Path
) -> None:
    repository.write()
    fault(repository)
    await _is_one_sentence(make, sentence, cache)


@pytest.mark.parametrize("taken_out", [*RECIPE.stand_ins, "all"])
async def test_a_stand_in_taken_out_only_costs_a_download(taken_out: str, repository: Repository, make: Make) -> None:
    repository.write()
    left = () if taken_out == "all" else tuple(name for name in RECIPE.stand_ins if name != taken_out)
    tree = await make(stand_ins=left)
    assert set(tree.packages) == _TODAY | (set(RECIPE.stand_ins) - set(left))


@pytest.mark.parametrize("needed", ["libbase1", "libmod2", "libc6"])
@pytest.mark.parametrize("passed", [{}, {"libbase1": "1", "libmod2": "1", "libc6": "1"}], ids=["", "passed"])
async def test_a_stand_in_for_what_is_needed_is_dropped(
    needed: str, passed: dict[str, str], repository: Repository, make: Make
) -> None:
    repository.write()
    tree = await make(stand_ins=(*RECIPE.stand_ins, needed), passed=passed)
    assert set(tree.packages) - set(RECIPE.stand_ins) == _TODAY


@pytest.mark.parametrize(
    ("passed", "taken", "newer"),
    [
        ("1", "1", False),
        ("1.5", "2", True),
        (None, "2", False),
        ("0", "2", True),  # it can't be had with the libraries of today
    ],
    ids=["still there", "gone", "none known", "does not fit any more"],
)
async def test_versions_that_last_passed_are_taken_while_the_mirror_has_them(
    passed: str | None, taken: str, newer: bool, repository: Repository, make: Make
) -> None:
    toy = repository["toy"]
    repository.packages += [toy.having(version="2"), toy.having(version="0", Depends="libc6, libbase0")]
    repository.write()
    tree = await make(passed={"toy": passed} if passed else {})
    assert tree.packages["toy"] == taken
    assert tree.newer == ({"toy": taken} if newer else {})
    words = "newer than what last passed the tests: toy 2" if newer else "as they last passed the tests"
    assert make.said[-1] == (f"ready; packages {words}" if passed else "ready")
