"""Every shipped process passes the tests beside it, which go every way that it knows."""

import asyncio
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from ctiserver.cli.process import command
from ctiserver.features.dispatch.definitions import definition_files
from ctiserver.resources import shipped
from ctiserver.store.database import Database
from tests.support.rows import a_user

SHIPPED = definition_files(shipped("config"))


def run(*arguments: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(command, [str(argument) for argument in arguments], catch_exceptions=True)
    fault = "" if isinstance(result.exception, SystemExit) else str(result.exception or "")
    return result.exit_code, result.output + fault


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_process_passes_its_tests_on_every_way(path: Path) -> None:
    status, output = run("test", path)
    assert status == 0, output
    ((gone, ways),) = re.findall(r"(\d+) of (\d+) ways gone", output)
    assert gone == ways, output


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_process_is_drawn(path: Path) -> None:
    status, mermaid = run("draw", path, "--format", "mermaid")
    assert (status, mermaid.splitlines()[0]) == (0, "flowchart TD")
    status, svg = run("draw", path)
    assert status == 0
    boxes = [element for element in ElementTree.fromstring(svg).iter() if element.tag.endswith("}g")]
    assert len(boxes) == sum(1 for line in mermaid.splitlines() if "<small>" in line)
    status, bpmn = run("draw", path, "--format", "bpmn")
    assert status == 0
    root = ElementTree.fromstring(bpmn)
    ids = {element.get("id") for element in root.iter()}
    ways = [element for element in root.iter() if element.tag.endswith("sequenceFlow")]
    assert len(ways) >= 4
    for way in ways:
        assert {way.get("sourceRef"), way.get("targetRef")} <= ids


def test_the_site_is_checked_as_a_whole() -> None:
    status, output = run("check")
    assert (status, output) == (0, f"{len(SHIPPED)} processes checked: no way strands a record.\n")


async def test_roles_that_nobody_has_are_warned_of_where_there_are_people(tmp_path: Path) -> None:
    (tmp_path / "ctiserver.yaml").write_text(f"data_dir: data\nconfig_dir: {shipped('config')}\n", encoding="utf-8")
    (tmp_path / "data").mkdir()
    arguments = ("check", "--config", tmp_path / "ctiserver.yaml", shipped("config", "processes", "repair.yaml"))
    assert "PF-035" not in (await asyncio.to_thread(run, *arguments))[1]
    url = f"sqlite:///{tmp_path}/data/ctiserver.sqlite"
    async with Database.open(url, upgrade=True) as database, database.unit_of_work() as uow:
        await uow.users.add(a_user("tina", role="technician"))
    status, output = await asyncio.to_thread(run, *arguments)
    assert status == 0
    assert "warning PF-035: nobody has the role storekeeper" in output
    assert "technician" not in output


def test_a_flow_that_is_not_there_is_told(tmp_path: Path) -> None:
    path = tmp_path / "repair.yaml"
    path.write_text(shipped("config", "processes", "repair.yaml").read_text().replace("satisfaction", "satisfation"))
    status, output = run("check", path)
    assert (status, "PF-032: no flow is named 'satisfation'" in output) == (2, True)


def test_a_bad_definition_is_told_with_its_place(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(
        shipped("config", "processes", "repair.yaml").read_text().replace("done: follow_up", "done: folow_up")
    )
    status, output = run("check", bad)
    assert status == 2
    assert "bad.yaml:25:13: error PF-010: no step is named 'folow_up' (did you mean 'follow_up'?)" in output


def test_a_test_that_does_not_hold_fails_and_says_why(tmp_path: Path) -> None:
    path = tmp_path / "repair.yaml"
    path.write_text(shipped("config", "processes", "repair.yaml").read_text())
    status, output = run("test", path)
    assert (status, "has no tests beside it" in output) == (1, True)
    beside = tmp_path / "repair.test.yaml"
    beside.write_text("""\
tests:
  - name: wrong in every way
    clock: "2026-11-23T10:00+08:00"
    steps:
      - answer: {dispatch: done}
    then: {closed: resolved, open: [dispatch], planned: [dispatch], orders: {dispatch: 2}, told: [owner], late: [x],
      priority: 1, role: {follow_up: cashier}}
  - name: what can't be
    clock: "2026-11-23T10:00+08:00"
    steps:
      - answer: {follow_up: satisfied}
    then: {}
  - name: an unknown answer
    clock: "2026-11-23T10:00+08:00"
    steps:
      - answer: {dispatch: dnoe}
    then: {}
""")
    status, output = run("test", path)
    assert status == 1
    for line in (
        "closed: not, expected resolved",
        "open: ['follow_up'], expected ['dispatch']",
        "dispatch is not planned for later",
        "orders dispatch: 1, expected 2",
        "owner was told nothing",
        "x was not late",
        "priority: raised by 0, expected 1",
        "follow_up is with server, expected cashier",
        "step 1: no order follow_up is open; open: dispatch",
        "step 1: dispatch can't come to dnoe",
        "no test goes dispatch.unsafe past its bound",
    ):
        assert line in output, line


def test_the_schema_is_json() -> None:
    status, output = run("schema")
    assert status == 0
    assert json.loads(output)["title"] == "ProcessFile"
