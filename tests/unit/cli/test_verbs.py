"""Every verb is there, and asking what there is costs no verb's imports."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from ctiserver.cli import cli


def _verbs() -> list[str]:
    with cli.make_context("ctiserver", [], resilient_parsing=True) as context:
        return cli.list_commands(context)


def test_each_verb_is_listed_with_what_it_is_for() -> None:
    said = CliRunner().invoke(cli, ["--help"], terminal_width=200)
    assert said.exit_code == 0
    rows = dict(line.split(maxsplit=1) for line in said.output.partition("Commands:\n")[2].splitlines())
    assert list(rows) == _verbs()
    assert {"serve", "demo", "check", "flow", "drill"} <= set(rows)
    assert [verb for verb, purpose in rows.items() if not (purpose[:1].isupper() and purpose.endswith("."))] == []


@pytest.mark.parametrize("verb", _verbs())
def test_each_verb_has_help(verb: str) -> None:
    said = CliRunner().invoke(cli, [verb, "--help"], terminal_width=200)
    assert (said.exit_code, said.exception) == (0, None)
    assert "Usage: " in said.output


@pytest.mark.parametrize(
    ("verb", "needless"),
    [(["check"], ("numpy", "sqlalchemy", "aiohttp")), (["flow", "check"], ("numpy", "sqlalchemy", "aiohttp"))],
)
def test_what_a_verb_does_not_need_is_not_imported(verb: list[str], needless: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "ctiserver", *verb], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "pydantic" in imported  # it was looked at what is imported
    assert imported.isdisjoint(needless)


def test_garbage_is_looked_for_once_the_verb_is_imported() -> None:
    program = "import gc; from ctiserver.cli import main; main(); print(gc.isenabled(), gc.get_freeze_count() > 10_000)"
    done = subprocess.run([sys.executable, "-c", program, "check"], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "True True", done.stderr


def test_asking_what_there_is_imports_no_verb() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "ctiserver", "--help"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0
    assert "ctiserver.cli" in done.stderr
    for heavy in ("ctiserver.cli.serve", "sqlalchemy", "aiohttp"):
        assert heavy not in done.stderr, heavy


@pytest.mark.parametrize(
    ("web", "warned"),
    [
        ("{public_url: https://desk.example.com}", True),
        ("{public_url: https://desk.example.com, trusted_proxies: [127.0.0.1/32]}", False),
        ("{public_url: http://desk.example.com}", False),
    ],
)
def test_check_warns_of_a_proxy_that_no_setting_names(tmp_path: Path, web: str, warned: bool) -> None:
    settings = tmp_path / "ctiserver.yaml"
    settings.write_text(f"web: {web}\n", encoding="utf-8")
    checked = CliRunner().invoke(cli, ["check", "--config", str(settings)])
    assert checked.exit_code == 0, checked.output
    assert (f"{settings}:1:19: warning CT-072: browsers come by https" in checked.output) == warned
