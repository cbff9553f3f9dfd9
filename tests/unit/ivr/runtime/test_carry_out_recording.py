"""Recording as the runner asks the dialplan and the ports for it."""

from __future__ import annotations

from pathlib import Path

from ctiserver.ivr.runtime.masking import is_in_share
from ctiserver.ivr.runtime.ports import MemoryPorts
from ctiserver.model.ids import CallId
from ctiserver.site.files import QueueConfig, Recorded
from tests.support.fake_asterisk import FakeAsterisk
from tests.support.flow_server import flow_server

ASKED = """\
schema: callflow/1
flow: asked
version: "1"
languages: [en]
start: begin
on_error: bye
nodes:
  begin: {kind: audio, do: start, next: secret}
  secret:
    kind: input
    sensitive: true
    prompt: {en: Your number please.}
    max_digits: 2
    min_digits: 2
    on: {ok: open, exhausted: bye}
  open: {kind: play, prompt: {en: Thank you.}, next: bye}
  bye: {kind: hangup, prompt: {en: Goodbye.}}
"""


class Recorder(FakeAsterisk):
    """A PBX whose dialplan records, unless it has nowhere to."""

    folder: bool = True

    def reply(self, words: list[str]) -> str:
        if words[:2] == ["GOSUB", "cti-record"]:
            self.variables["CTI_REC_FILE"] = "day/1.wav" if words[2] == "start" and self.folder else ""
            return "100 result=0 Trying...\n200 result=0 Gosub complete"
        return super().reply(words)

    def order(self) -> list[str]:
        """What was done, in order."""
        return [" ".join(words[:3]) for words in self.commands if words[0] in ("GOSUB", "STREAM", "WAIT")]


def written(folder: Path, text: str = ASKED) -> Path:
    (folder / "site").mkdir()
    (folder / "site/asked.flow.yaml").write_text(text, encoding="utf-8")
    return folder / "site"


async def test_what_is_sensitive_is_masked_of_itself(tmp_path: Path) -> None:
    async with flow_server(tmp_path, flow="asked", flows=written(tmp_path)) as server:
        asterisk = Recorder(keys="12")
        await asterisk.call(server.port)
        assert server.ports.audio == ["start"]
        assert server.ports.hidden == ["hide", "show"]
        assert server.path()[:2] == ["begin ok", "secret ok"]


async def test_where_silence_can_t_be_had_the_recording_ends(tmp_path: Path) -> None:
    text = ASKED.replace("start: begin", "start: secret").replace(
        "  begin: {kind: audio, do: start, next: secret}\n", ""
    )
    ports = MemoryPorts(fails={"control_audio"})
    async with flow_server(tmp_path, flow="asked", flows=written(tmp_path, text), ports=ports) as server:
        asterisk = Recorder(keys="12")
        await asterisk.call(server.port)
        assert asterisk.order()[:2] == ["GOSUB cti-record stop", asterisk.order()[1]]
        assert asterisk.order()[1].startswith("STREAM FILE")
        assert server.path() == ["secret ok", "open ok"]


async def test_a_pbx_that_has_nowhere_to_record_to_is_an_error_of_the_node(tmp_path: Path) -> None:
    async with flow_server(tmp_path, flow="asked", flows=written(tmp_path)) as server:
        asterisk = Recorder()
        asterisk.folder = False
        await asterisk.call(server.port)
        assert server.path() == ["begin error: the PBX records nothing: CTI_REC_DIR is not set there"]


async def test_a_queue_that_records_says_so_once(tmp_path: Path) -> None:
    config = QueueConfig(record=Recorded(calls="always", announce={"en": "This call is recorded."}))
    async with flow_server(tmp_path, queues={"repair": config}) as server:
        first = Recorder(keys="21")
        await first.call(server.port)
        assert first.variables["CTI_RECORD"] == "talk"
        told = len([line for line in first.order() if line.startswith("STREAM")])
        again = Recorder(keys="21", variables={"CTI_REC_FILE": "day/1.wav"})
        await again.call(server.port, uniqueid="1795295765.0")
        assert again.variables["CTI_RECORD"] == "talk"
        assert len([line for line in again.order() if line.startswith("STREAM")]) == told - 1


async def test_a_queue_that_does_not_record(tmp_path: Path) -> None:
    async with flow_server(tmp_path) as server:
        asterisk = Recorder(keys="21")
        await asterisk.call(server.port)
        assert asterisk.variables["CTI_RECORD"] == ""


def test_a_share_of_calls_is_the_same_calls_each_time_and_about_as_many() -> None:
    calls = [CallId(f"01J{number:023d}") for number in range(2000)]
    chosen = [call for call in calls if is_in_share(call, 20)]
    assert 320 < len(chosen) < 480
    assert chosen == [call for call in calls if is_in_share(call, 20)]
    assert not any(is_in_share(call, 0) for call in calls)
    assert all(is_in_share(call, 100) for call in calls)
