"""The README in a minimal Debian 13, the sandbox that keeps it there, and a release whose wheel is tried in one."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.fresh import __main__ as fresh
from tools.fresh.machine import this_machine
from tools.fresh.sandbox import Sandbox
from tools.fresh.systems import named, unpacked

pytestmark = [pytest.mark.clean_system, pytest.mark.timeout(1200)]

_ROOT = Path(__file__).parents[2]
_SYSTEM = "debian-13"


@pytest.fixture(scope="module")
def system() -> Iterator[Sandbox]:
    with unpacked(named([_SYSTEM])[0], "newcomer", this_machine()) as sandbox:
        yield sandbox


def test_the_readmes_commands_work_in_a_minimal_debian_13(capfd: pytest.CaptureFixture[str]) -> None:
    status = fresh.main(["--short", _SYSTEM])
    said = capfd.readouterr()
    assert status == 0, said.out + said.err
    steps = re.findall(rf"(?m)^{_SYSTEM} +(\S.*?)  +", said.out)
    assert steps == [
        "make names what is missing",
        "git clone",
        "install the wheel",
        "init, check",
        "serve, stop",
        "demo",
    ]


class TestTheSandbox:
    def test_nothing_of_this_machine_is_there(self, system: Sandbox) -> None:
        ran = system.run("id -u; pwd; ls -A; command -v python3 espeak-ng || echo none; env", timeout_s=60)
        assert ran.status == 0
        assert [line.text for line in ran.lines][:2] == ["1000", "/home/newcomer"]
        assert "none" in ran.output
        names = {line.text.partition("=")[0] for line in ran.lines if "=" in line.text}
        assert names <= {
            "HOME",
            "USER",
            "PATH",
            "LANG",
            "DEBIAN_FRONTEND",
            "PWD",
            "OLDPWD",
            *system.machine.environment,
        }

    def test_what_a_command_leaves_running_is_told_and_ended(self, system: Sandbox) -> None:
        ran = system.run("tail -f /dev/null > /dev/null 2>&1 & echo started", timeout_s=60)
        assert (ran.status, ran.output, ran.left) == (0, "started", "tail")

    def test_a_command_that_takes_too_long_is_ended_with_its_children(self, system: Sandbox) -> None:
        ran = system.run("tail -f /dev/null & echo started; wait", timeout_s=2)
        assert ran.status == -9
        assert ran.lines[-1].text.startswith("it was ended after ")
        assert system.run("ls -d /proc/[0-9]* | wc -l", timeout_s=60).lines[0].text in ("3", "4", "5")

    def test_mounts_are_gone_with_the_command(self, system: Sandbox) -> None:
        assert system.run("touch /dev/shm/x /tmp/x", timeout_s=60).status == 0
        assert str(system.root) not in Path("/proc/self/mounts").read_text(encoding="utf-8")
        assert system.run("ls /dev/shm /tmp", timeout_s=60).output.split() == ["/dev/shm:", "/tmp:"]

    def test_without_network_there_is_a_loopback_and_no_other(self, system: Sandbox) -> None:
        ran = system.run("cat /proc/net/dev", timeout_s=60, network=False)
        assert re.findall(r"(?m)^ *(\w+):", ran.output) == ["lo"]


def test_a_release_is_built_and_its_wheel_serves_from_the_images_steps(tmp_path: Path) -> None:
    """A release of a copy: the steps of the server's image are carried out with its wheel in a minimal Debian 13."""
    copy = tmp_path / "ctiserver"
    git = ("git", "-C", str(copy))
    subprocess.run(["git", "clone", "-q", str(_ROOT), str(copy)], check=True)
    for key in ("user.name", "user.email"):
        subprocess.run([*git, "config", key, "test"], check=True)
    done = subprocess.run(
        [sys.executable, "-m", "tools.release", "77.0.0"], cwd=copy, capture_output=True, text=True, timeout=1000
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for step in ("the image's steps", "init, check", "serve, stop"):
        assert re.search(rf"(?m)^  {step}: [0-9.]+ s, .*ok$", done.stdout)
    assert {path.name for path in (copy / "dist").iterdir()} == {
        "ctiserver-77.0.0-py3-none-any.whl",
        "ctiserver-77.0.0.tar.gz",
    }
    assert re.search(r"(?m)^## 77\.0\.0 \(\d{4}-\d\d-\d\d\)\n\n### Added\n\n- ", (copy / "CHANGELOG.md").read_text())
    tag = subprocess.run([*git, "describe", "--exact-match"], capture_output=True, text=True, check=True).stdout
    assert tag == "v77.0.0\n"
    assert subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True).stdout == ""
