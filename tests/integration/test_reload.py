"""Editing a flow while the server runs: taken if it checks, refused with its place if it does not."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ctiserver.lab.privatepbx.lifecycle import PrivatePbx
from tests.support.installation import Installation

pytestmark = pytest.mark.pbx
FLOW = "flows/front_desk.flow.yaml"


@pytest.fixture
def site(tmp_path: Path, session_pbx: PrivatePbx) -> Installation:
    return Installation(tmp_path / "site", session_pbx)


@pytest.fixture
def server(site: Installation) -> Iterator[subprocess.Popen[str]]:
    serving = subprocess.Popen(
        [sys.executable, "-m", "ctiserver", "serve", "--config", str(site.folder / "ctiserver.yaml")],
        env=site.environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert serving.stderr is not None
    for line in serving.stderr:
        if "the console is at" in line:
            break
    yield serving
    serving.send_signal(signal.SIGTERM)
    serving.communicate(timeout=20)
    assert serving.returncode == 0
    assert not (site.folder / "data/server.json").exists()


def reload(site: Installation) -> subprocess.CompletedProcess[str]:
    return site.run("reload", "--config", str(site.folder / "ctiserver.yaml"))


def test_a_flow_is_taken_anew_when_it_checks_and_only_then(site: Installation, server: subprocess.Popen[str]) -> None:
    assert reload(site).stdout == "changed: nothing\n"

    site.edit(FLOW, 'version: "1.0.0"', 'version: "1.0.1"')
    assert reload(site).stdout == "changed: front_desk\n"

    site.edit(FLOW, "go: opening", "go: openning")
    refused = reload(site)
    assert refused.returncode == 2
    assert "front_desk.flow.yaml:" in refused.stderr
    assert "did you mean 'opening'" in refused.stderr

    site.edit(FLOW, "go: openning", "go: opening")
    assert reload(site).stdout == "changed: nothing\n"
    kept = list((site.folder / "data/flows/front_desk").glob("*.yaml"))
    assert len(kept) == 2, "both versions that calls may have begun with are kept"
    assert server.poll() is None


def test_a_second_server_on_the_same_folder_is_refused(site: Installation, server: subprocess.Popen[str]) -> None:
    assert "serves this folder already" in site.refused()
    assert server.poll() is None


def test_nobody_there_to_reload(site: Installation) -> None:
    done = reload(site)
    assert done.returncode == 2
    assert "no ctiserver serves this folder" in done.stderr
