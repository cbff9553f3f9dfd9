"""Asterisk by a container engine. No engine answers on the machines that run these tests, so a script stands for one:
it starts the unpacked Asterisk where the engine would start the image's. What an engine really does with the options
is not tested here, and docs/how-to/private-pbx.md says so.
"""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from ctiserver.errors import UserFault
from ctiserver.lab.privatepbx.container import Container, find_container
from ctiserver.lab.privatepbx.lifecycle import PrivatePbx, silent
from ctiserver.lab.privatepbx.tree import Programs

_ENGINE = """#!/bin/sh
echo "$*" >> {calls}
case "$1" in
info) exit {info} ;;
image) test -e {image} ;;
build) cat > {image} ;;
run) while [ "$1" != asterisk ]; do shift; done; shift
     [ "$1" = -V ] || echo $$ > {pid}
     exec {asterisk} "$@" ;;
exec) shift 3; exec {asterisk} "$@" ;;
kill) kill -9 "$(cat {pid})" 2>/dev/null ;;
esac
"""


@pytest.fixture
def engine(tmp_path: Path, programs: Programs, monkeypatch: pytest.MonkeyPatch) -> Path:
    return _install(tmp_path, programs, monkeypatch, answers=True)


def _install(tmp_path: Path, programs: Programs, monkeypatch: pytest.MonkeyPatch, *, answers: bool) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    path = folder / "docker"
    files = {name: shlex.quote(str(tmp_path / name)) for name in ("calls", "image", "pid")}
    path.write_text(
        _ENGINE.format(**files, info=0 if answers else 1, asterisk=shlex.join(programs.command("asterisk"))),
        encoding="utf-8",
    )
    path.chmod(0o755)
    (folder / "podman").write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")  # before one that the machine may have
    (folder / "podman").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return tmp_path


async def test_image_is_built_once_from_the_shipped_dockerfile(engine: Path) -> None:
    first = await find_container(silent)
    assert first is not None
    assert (engine / "image").read_text(encoding="utf-8").splitlines()[-1] == 'CMD ["asterisk", "-V"]'
    assert await find_container(silent) == first
    calls = (engine / "calls").read_text(encoding="utf-8").splitlines()
    assert [call.split()[0] for call in calls] == ["info", "image", "build", "info", "image"]


async def test_engine_that_does_not_answer_is_passed_over(
    tmp_path: Path, programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    _install(tmp_path, programs, monkeypatch, answers=False)
    assert await find_container(silent) is None


async def test_image_that_can_not_be_built_is_a_fault(engine: Path) -> None:
    (engine / "image").mkdir()  # where the script would write
    script = engine / "bin/docker"
    text = script.read_text(encoding="utf-8")
    script.write_text(text.replace("test -e", "test -f"), encoding="utf-8")
    with pytest.raises(UserFault, match=r"docker could not build the image: .*directory"):
        await find_container(silent)


async def test_boots_answers_is_killed_restarts_and_ends(engine: Path, programs: Programs) -> None:
    container = Container(str(engine / "bin/docker"), "an-image")
    asterisk = {**programs.commands, "asterisk": container.run()}
    contained = replace(programs, commands=asterisk, container=container)
    async with PrivatePbx.start(engine / "pbx", programs=contained) as pbx:
        assert "active channels" in await pbx.cli("core show channels")
        await pbx.kill()
        assert not pbx.alive
        await pbx.restart()
        assert "active channels" in await pbx.cli("core show channels")
    assert not pbx.alive
    calls = (engine / "calls").read_text(encoding="utf-8").splitlines()
    started = next(call for call in calls if "--name=" in call)
    assert f"--volume={engine / 'pbx'}:{engine / 'pbx'}" in started
    assert "--network=host" in started
    name = started.partition("--name=")[2].split()[0]
    assert f"kill {name}" in calls
    assert any(call.startswith(f"exec {name} asterisk") for call in calls)
