"""The demo as a newcomer gets it: the wheel, installed into an empty folder, and one whole chain through everything."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import uuid
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
KEPT = "kept-by-a-server.sqlite"
STAGES = [
    "trunk rang",
    "menu key heard",
    "record opened",
    "queue joined",
    "agent ringing",
    "pop painted",
    "answered",
    "disposition saved",
    "work order offered",
    "follow-up due",
]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built as for a release."""
    folder = tmp_path_factory.mktemp("wheel")
    kept = ROOT / "config" / "data" / KEPT  # as a developer's server leaves it there; git ignores that folder
    kept.parent.mkdir(exist_ok=True)
    kept.touch()
    try:
        subprocess.run(
            [sys.executable, "-m", "build", "--wheel", "--outdir", folder, ROOT], check=True, capture_output=True
        )
    finally:
        kept.unlink()
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command ``ctiserver`` of a fresh virtual environment that has nothing but the wheel and what it asks for."""
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    quiet = ["install", "-q", "--no-compile", "--disable-pip-version-check", f"{wheel}[demo]"]
    subprocess.run([folder / "bin/python", "-m", "pip", *quiet], check=True)
    return folder / "bin/ctiserver"


class Newcomer:
    """An empty folder, a temporary folder, and a mark by which every process started from here is known."""

    def __init__(self, folder: Path, temporary: Path) -> None:
        self.folder = folder
        self.temporary = temporary
        self.mark = uuid.uuid4().hex
        self.environment = {**os.environ, "TMPDIR": str(self.temporary), "CTISERVER_TEST_MARK": self.mark}

    def leftovers(self) -> list[str]:
        """What is still there: files, and processes by their command lines."""
        found = [str(path) for path in (*self.folder.iterdir(), *self.temporary.iterdir())]
        for environ in Path("/proc").glob("[0-9]*/environ"):
            try:
                if self.mark.encode() in environ.read_bytes():
                    found.append((environ.parent / "cmdline").read_bytes().replace(b"\0", b" ").decode())
            except OSError:
                continue  # ended just now, or somebody else's
        return found


@pytest.fixture
def newcomer(tmp_path: Path) -> Iterator[Newcomer]:
    # not below tmp_path: Chromium's and Asterisk's sockets need short paths
    with tempfile.TemporaryDirectory(prefix="cti-") as temporary:
        yield Newcomer(tmp_path, Path(temporary))


def test_the_wheel_holds_all_that_runs(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert not [name for name in names if KEPT in name]
    for needed in (
        "ctiserver/_data/dialplan/cti.conf",
        "ctiserver/_data/dialplan/fallback.conf",
        "ctiserver/_data/ivr_flows/front_desk.flow.yaml",
        "ctiserver/_data/config/ctiserver.yaml",
        "ctiserver/_data/config/processes/repair.yaml",
        "ctiserver/web/static/index.html",
        "ctiserver/web/static/vendor/lit.js",
        "ctiserver/web/static/vendor/lit.LICENSE",
        "ctiserver/py.typed",
    ):
        assert needed in names
    spoken = {Path(name).parent.name for name in names if name.endswith(".wav16")}
    assert {"zh-CN", "en"} <= {Path(name).parts[4] for name in names if name.endswith(".wav16")}, spoken


@pytest.mark.pbx
@pytest.mark.browser
@pytest.mark.timeout(240)
def test_one_call_goes_the_whole_way(installed: Path, newcomer: Newcomer) -> None:
    done = subprocess.run(
        [installed, "demo", "--once", "--headless"],
        cwd=newcomer.folder,
        env=newcomer.environment,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["stage"] for line in lines] == STAGES
    by_stage = {line["stage"]: line for line in lines}
    assert by_stage["pop painted"]["at"] < by_stage["answered"]["at"], "the pop comes before the answer"
    assert by_stage["answered"]["agent_heard_s"] >= 1, "the agent hears the caller"
    assert by_stage["work order offered"]["due_at"] > by_stage["work order offered"]["at"]
    assert by_stage["follow-up due"]["due_at"] > by_stage["work order offered"]["due_at"]
    assert newcomer.leftovers() == []


@pytest.mark.pbx
@pytest.mark.timeout(180)
async def test_ctrl_c_leaves_nothing_running_and_nothing_behind(installed: Path, newcomer: Newcomer) -> None:
    demo = await asyncio.create_subprocess_exec(
        installed,
        "demo",
        cwd=newcomer.folder,
        env=newcomer.environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert demo.stdout is not None
    assert demo.stderr is not None
    try:
        async with asyncio.timeout(90):
            while b"http://127.0.0.1:" not in (line := await demo.stdout.readline()):
                assert line or demo.returncode is None, await demo.stderr.read()
        assert len(newcomer.leftovers()) > 3, "PBX, phone and files are there while it runs"
        os.killpg(demo.pid, signal.SIGINT)  # as a terminal does: to every process of the group
        async with asyncio.timeout(30):
            await demo.wait()
    finally:
        if demo.returncode is None:
            demo.kill()
            await demo.wait()
    complaints = (await demo.stderr.read()).decode()
    assert "Traceback" not in complaints
    assert demo.returncode == 0, complaints
    assert newcomer.leftovers() == []
