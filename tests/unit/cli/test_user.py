"""``ctiserver user``: accounts by the command line, as an admin types it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ctiserver.cli import cli
from ctiserver.resources import shipped


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A site of its own."""
    shutil.copytree(shipped("config"), tmp_path / "site")
    return tmp_path / "site" / "ctiserver.yaml"


def _run(config: Path, *arguments: str, password: str = "long enough\n") -> Result:
    return CliRunner().invoke(cli, ["user", *arguments, "--config", str(config)], input=password)


def test_an_agent_is_added_shown_and_given_a_new_password(config: Path) -> None:
    added = _run(
        config, "add", "agent1", "--role", "agent", "--name", "王芳", "--extension", "101", "--skill", "repair",
        "--password-stdin",
    )  # fmt: skip
    assert (added.exit_code, added.output) == (0, "agent1 may log in now as agent\n")
    _run(config, "add", "tech1", "--role", "technician", "--language", "en", "--password-stdin")
    shown = _run(config, "list").output
    assert "PJSIP/agent1" in shown
    assert "王芳" in shown
    assert "technician" in shown
    changed = _run(config, "passwd", "agent1", "--password-stdin", password="another one\n")
    assert (changed.exit_code, changed.output) == (0, "agent1 has a new password, and must log in again\n")


def test_the_password_is_asked_for_twice_and_not_shown(config: Path) -> None:
    added = _run(config, "add", "boss", "--role", "supervisor", password="long enough\nlong enough\n")
    assert added.exit_code == 0
    assert "long enough" not in added.output


@pytest.mark.parametrize(
    ("arguments", "password", "words"),
    [
        ("add agent1 --role agent", "short", "a password has 8 to 256 characters, this one 5"),
        ("add Böse --role agent", "long enough", "'Böse' can't be a log-in name"),
        ("add a --role king", "long enough", "'king' is not one of"),
        ("add a --role agent --extension 1", "long enough", "extension '1'"),
        ("add a --role agent --extension 101 --interface PJSIP/a&x", "long enough", "can't be used"),
        ("passwd nobody", "long enough", "there is no account nobody"),
    ],
)
def test_what_can_not_be_is_one_sentence_and_status_2(
    config: Path, tmp_path: Path, arguments: str, password: str, words: str
) -> None:
    said = subprocess.run(
        [sys.executable, "-m", "ctiserver", "user", *arguments.split(), "--password-stdin", "--config", str(config)],
        input=f"{password}\n",
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert said.returncode == 2
    assert words in said.stderr
    assert "Traceback" not in said.stderr
    assert said.stdout == ""


def test_what_work_orders_ask_for_is_written_down_and_changed(config: Path) -> None:
    _run(
        config, "add", "tech1", "--role", "technician", "--department", "north", "--calendar", "service_desk",
        "--password-stdin",
    )  # fmt: skip
    changed = _run(config, "change", "tech1", "--skill", "gas", "--region", "浦东", "--calendar", "")
    assert (changed.exit_code, changed.output) == (0, "tech1 is technician\n")
    refused = _run(config, "change", "tech1", "--calendar", "servcie_desk")
    assert refused.exit_code != 0
    assert "no calendar is named servcie_desk" in str(refused.output) + str(refused.exception)
