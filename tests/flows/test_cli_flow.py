"""The commands about flows, as an admin types them."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ctiserver.cli import main
from ctiserver.model.calls.call_entry import CallEntry, PathStep
from ctiserver.model.ids import PbxName, Uniqueid, call_id
from ctiserver.resources import shipped
from ctiserver.store.database import Database


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Exit status, and all that was printed."""
    status = 0
    try:
        main(arguments)
    except SystemExit as end:
        status = int(end.code or 0)
    printed = capsys.readouterr()
    return status, printed.out + printed.err


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    path = tmp_path / "front_desk.flow.yaml"
    text = shipped("ivr_flows", "front_desk.flow.yaml").read_text(encoding="utf-8")
    path.write_text(text.replace("queue: repair\n", "queue: repare\n"), encoding="utf-8")
    return path


def test_shipped_flows_are_right_and_their_worst_way_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    status, text = run(capsys, "flow", "check")
    assert status == 0
    assert "worst way to a person or the end" in text
    assert "0 errors" in text


def test_a_broken_flow_is_status_2_with_place_code_and_suggestion(
    capsys: pytest.CaptureFixture[str], broken: Path
) -> None:
    status, text = run(capsys, "flow", "check", str(broken))
    assert status == 2
    assert "front_desk.flow.yaml:61:12: error CF-019: there is no queue 'repare' (did you mean 'repair'?)" in text
    status, text = run(capsys, "flow", "check", "--format", "json", str(broken))
    assert status == 2
    (problem,) = json.loads(text)
    assert (problem["code"], problem["severity"], problem["line"]) == ("CF-019", "error", 61)
    for verb in ("test", "try"):
        status, text = run(capsys, "flow", verb, str(broken))
        assert status == 2
        assert "CF-019" in text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("flow", "check", "/nowhere.flow.yaml"), "can't be read"),
        (("flow", "new", "Not A Name"), "can't name a flow"),
        (("hours", "explain", "service_desk", "tomorrow"), "is not a valid time"),
        (("hours", "explain", "service_dsk", "2026-10-10T09:00"), "did you mean 'service_desk'?"),
    ],
)
def test_what_can_t_be_done_is_one_sentence(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], says: str
) -> None:
    status, text = run(capsys, *arguments)
    assert status == 2
    assert says in text
    assert "Traceback" not in text


def test_new_flows_are_right_and_never_overwrite(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(capsys, "flow", "new", "hotline", "--folder", str(tmp_path))[0] == 0
    assert run(capsys, "flow", "check", str(tmp_path))[0] == 0
    assert run(capsys, "flow", "test", str(tmp_path))[0] == 0
    status, text = run(capsys, "flow", "test", "--cover", "100", str(tmp_path))
    assert status == 2
    assert "not covered: operator → timeout" in text
    status, text = run(capsys, "flow", "new", "hotline", "--folder", str(tmp_path))
    assert status == 2
    assert "is there already" in text


def test_pictures(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    flow = str(shipped("ivr_flows", "aftersales.flow.yaml"))
    out = tmp_path / "flow.svg"
    assert run(capsys, "flow", "draw", flow, "--out", str(out))[0] == 0
    picture = out.read_text(encoding="utf-8")
    assert picture.startswith("<svg")
    assert picture.count("<rect") == 21  # twenty nodes on a sheet
    _, text = run(capsys, "flow", "draw", flow, "--format", "mermaid")
    assert "ask_serial -->|" in text


def test_the_schema_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    status, text = run(capsys, "flow", "schema")
    assert status == 0
    assert "aftersales" not in text
    assert json.loads(text)["properties"]["schema"]["const"] == "callflow/1"


def test_a_call_by_keyboard(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import io

    run(capsys, "flow", "new", "hotline", "--folder", str(tmp_path))
    monkeypatch.setattr("sys.stdin", io.StringIO("2\nok\n"))
    status, text = run(capsys, "flow", "try", "--language", "en", str(tmp_path / "hotline.flow.yaml"))
    assert status == 0
    assert "Please leave a message" in text
    assert "the call is over: goodbye" in text


@pytest.mark.parametrize(
    ("clock", "heard"),
    [("2026-11-23T10:00", "[welcome]"), ("2026-11-23T23:00", "[message]"), ("late", "is not a valid time")],
)
def test_a_flow_is_tried_at_a_time_of_the_day(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, clock: str, heard: str
) -> None:
    import io

    run(capsys, "flow", "new", "hotline", "--folder", str(tmp_path))
    flow = tmp_path / "hotline.flow.yaml"
    hours = (
        "nodes:\n  opening:\n    kind: hours\n    calendar: service_desk\n    on: {open: welcome, closed: message}\n"
    )
    text = flow.read_text(encoding="utf-8").replace("start: welcome", "start: opening").replace("nodes:\n", hours, 1)
    flow.write_text(text, encoding="utf-8")
    monkeypatch.setattr("sys.stdin", io.StringIO("h\n"))
    status, said = run(capsys, "flow", "try", "--clock", clock, str(flow))
    assert status == (2 if clock == "late" else 0)
    assert heard in said


def test_prompts_are_rendered_once(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    run(capsys, "flow", "new", "hotline", "--folder", str(tmp_path))
    config = tmp_path / "ctiserver.yaml"
    config.write_text("flows_dir: .\n", encoding="utf-8")
    for name in ("queues.yaml", "record_types.yaml", "dispositions.yaml"):
        (tmp_path / name).write_text(shipped("config", name).read_text(encoding="utf-8"), encoding="utf-8")
    arguments = ("prompts", "render", "--config", str(config), "--out", str(tmp_path / "spoken"), "--language", "zh-CN")
    status, text = run(capsys, *arguments)
    assert status == 0, text
    assert "spoke" in text
    status, text = run(capsys, *arguments)
    assert status == 0
    assert "are spoken already" in text


async def test_real_calls_are_led_through_a_draft(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    draft = shipped("ivr_flows", "front_desk.flow.yaml").read_text(encoding="utf-8")
    (tmp_path / "draft.flow.yaml").write_text(
        draft.replace('version: "1.0.0"', 'version: "2"').replace("queue: repair\n", "queue: operators\n"),
        encoding="utf-8",
    )
    (tmp_path / "ctiserver.yaml").write_text(f"data_dir: data\nconfig_dir: {shipped('config')}\n", encoding="utf-8")
    (tmp_path / "data").mkdir()
    now = datetime.now(UTC)
    ways = (("language 2", "opening open", "service 1", "open_repair ok", "repair_greeting ok"), ("language hangup",))
    async with Database.open(f"sqlite:///{tmp_path}/data/ctiserver.sqlite", upgrade=True) as database:
        for number, way in enumerate(ways):
            call = call_id(PbxName("main"), Uniqueid(f"179539920{number}.1"))
            async with database.unit_of_work() as uow:
                await uow.calls.save(CallEntry(id=call, pbx=PbxName("main"), direction="inbound", started_at=now))
                for seq, (node, outcome) in enumerate((step.split() for step in way), 1):
                    step = PathStep(
                        call_id=call, seq=seq, at=now, flow="front_desk", version="1.0.0", node=node, outcome=outcome
                    )
                    await uow.calls.add_step(step)
    arguments = ("flow", "replay", "--against", str(tmp_path / "draft.flow.yaml"), "--since", "1d")
    status, text = await asyncio.to_thread(run, capsys, *arguments, "--config", str(tmp_path / "ctiserver.yaml"))
    assert status == 0, text
    assert "2 calls of front_desk, led through version 2: 1 end as before, 1 differently, 0 unknown." in text
    assert "queue repair → queue operators" in text
    for wrong, says in ((("--since", "soon"), "Write it like 7d"), (("--against", "/nowhere.yaml"), "is not a file")):
        status, text = await asyncio.to_thread(run, capsys, *arguments, *wrong)
        assert (status, says in text) == (2, True), text
