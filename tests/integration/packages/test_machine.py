"""A machine at fault while packages are fetched: the tree comes up, or one sentence says what to do."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from ctiserver.errors import UserFault
from tests.integration.packages.conftest import LIBRARIES, Make, lib
from tests.support.eventually import eventually
from tests.support.repository import Package, Repository


@pytest.fixture
def files_of_one_megabyte() -> Iterator[None]:
    """No file may grow beyond 1 MiB, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def _left(cache: Path) -> list[str]:
    return [path.name for path in cache.iterdir() if path.suffix != ".lock"]


def _big(repository: Repository) -> None:
    toy = repository["toy"]
    repository.put(toy.having(files={**toy.files, "usr/share/toy/big": bytes(3 << 20)}))


async def test_a_disk_that_is_full_while_fetching(
    repository: Repository, make: Make, cache: Path, request: pytest.FixtureRequest
) -> None:
    _big(repository)
    repository.write()
    request.getfixturevalue("files_of_one_megabyte")
    with pytest.raises(UserFault, match=r"there is not enough room on the disk: .* Free some space, then try again"):
        await make()
    assert _left(cache) == []


@pytest.mark.parametrize("by", ["signal", "errno"])
async def test_a_disk_that_is_full_while_unpacking(
    by: str, repository: Repository, make: Make, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _big(repository)
    repository.write()
    # Only tar meets the limit: what is fetched fits, what it unpacks to does not.
    folder = repository.root / "bin"
    folder.mkdir()
    ignored = "trap '' XFSZ; " if by == "errno" else ""
    (folder / "tar").write_text(
        f'#!/bin/bash\n{ignored}ulimit -f 1024; exec {shutil.which("tar")} "$@"\n', encoding="utf-8"
    )
    (folder / "tar").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    with pytest.raises(UserFault, match=r"toy_1_\S+\.deb could not be unpacked: .*\. Free some space, then try again"):
        await make()
    assert _left(cache) == []


async def test_a_cache_of_which_something_was_removed_is_made_again(repository: Repository, make: Make) -> None:
    repository.write()
    tree = await make()
    before = (tree.root / "usr/bin/toy").stat().st_ino
    assert (await make()).root == tree.root
    assert (tree.root / "usr/bin/toy").stat().st_ino == before, "a whole one is kept"
    for damage in (f"{LIBRARIES}/libbase.so.1", "TREE.json", "usr/bin/toy"):
        (tree.root / damage).unlink()
        assert (await make()).root == tree.root
        assert (tree.root / damage).is_file()
    (tree.root / "usr/bin/toy").write_bytes(b"")
    await make()
    assert (tree.root / "usr/bin/toy").stat().st_size > 0


async def test_a_cache_half_removed_and_no_mirror_is_one_sentence_and_stays_as_it_is(
    repository: Repository, make: Make, cache: Path
) -> None:
    repository.write()
    tree = await make()
    (tree.root / "usr/bin/toy").unlink()
    repository.root.rename(repository.root.with_name("moved"))
    with pytest.raises(UserFault, match="apt-get update failed"):
        await make()
    assert _left(cache) == [tree.root.name]


async def test_a_cache_of_an_earlier_version_is_not_taken(repository: Repository, make: Make, cache: Path) -> None:
    repository.write()
    tree = await make()
    # As versions before the proof left it: a tree without a list of what it holds.
    (tree.root / "TREE.json").unlink()
    (tree.root / "PACKAGES").write_text("toy_1_amd64\n", encoding="utf-8")
    assert (await make()).packages["toy"] == "1"
    assert not (tree.root / "PACKAGES").exists()


async def test_what_a_killed_process_left_is_removed_and_what_another_makes_is_not(
    repository: Repository, make: Make, cache: Path
) -> None:
    repository.write()
    tree = await make()
    shutil.rmtree(tree.root)
    for name in (f"{tree.root.name}.abc.part", "browser-123.abc.part", "unknown-1.abc.part"):
        (cache / name / "tree").mkdir(parents=True)
    (cache / "browser-123.lock").touch()
    await make()
    # Nobody holds the browser's lock; whose the third is nothing tells.
    assert sorted(_left(cache)) == sorted([tree.root.name, "unknown-1.abc.part"])
    holder = await asyncio.create_subprocess_exec(
        "flock", str(cache / "browser-123.lock"), "sh", "-c", f"mkdir {cache}/browser-123.x.part; exec sleep 60"
    )
    try:
        await eventually(lambda: _there(cache / "browser-123.x.part"))
        shutil.rmtree(tree.root)
        await make()
        assert (cache / "browser-123.x.part").exists()
    finally:
        holder.send_signal(signal.SIGKILL)
        await holder.wait()


async def _there(path: Path) -> bool:
    return path.exists()


async def test_a_cache_where_no_program_may_run_is_one_sentence(
    repository: Repository, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy = repository["toy"]
    loader = repository["libc6"]
    repository.put(toy)
    repository.write()
    # As on a folder mounted noexec: the loader may be read, not started.
    pool = repository.root / "pool"
    folder = pool / "again"
    name = next(iter(loader.files))
    Package("libc6", loader.files)._build(folder)
    (folder / "libc6_1" / name).chmod(0o644)
    rebuilt = await asyncio.create_subprocess_exec(
        "dpkg-deb", "--build", str(folder / "libc6_1"), str(repository.deb("libc6")), stdout=asyncio.subprocess.DEVNULL
    )
    assert await rebuilt.wait() == 0
    repository.write_lists()
    with pytest.raises(UserFault, match=r"toy can't be started from the cache \(Permission denied\).*noexec"):
        await make()


async def test_two_at_once_make_it_once(repository: Repository, make: Make) -> None:
    _toy_needs_an_extra(repository)
    repository.write()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(make()) for _ in range(2)]
    first, second = (task.result() for task in tasks)
    assert first == second
    assert make.said.count("starting each program once") == 1


def _toy_needs_an_extra(repository: Repository) -> None:
    repository.put(lib("libbase.so.1", "libbase1", "libextra.so.0", depends="libextra0"))
