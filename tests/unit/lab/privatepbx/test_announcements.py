from __future__ import annotations

import sys
import wave
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from ctiserver.lab.privatepbx.announcements import announcements
from ctiserver.lab.privatepbx.tree import Programs
from ctiserver.resources import shipped
from ctiserver.sound import read_wav, seconds_of

# Writes one second of a tone, or nothing, where espeak-ng would write speech; notes what it was to say.
_SPEAKER = f"""#!{sys.executable} -IS
import os, sys, wave
with open(os.path.join(os.path.dirname(__file__), "said"), "a") as said:
    said.write(sys.argv[-1] + "\\n")
with wave.open(sys.argv[sys.argv.index("-w") + 1], "wb") as out:
    out.setparams((1, 2, 22050, 0, "NONE", ""))
    out.writeframes((25 * {(-8000).to_bytes(2, "little", signed=True)} + 25 * {(8000).to_bytes(2, "little")}) * 441)
"""


_NAMES = {"hold", "message", "goodbye", *(f"accept-{key}" for key in range(10))}


def _programs(folder: Path, script: str | None) -> Programs:
    commands: dict[str, tuple[str, ...]] = {}
    if script is not None:
        path = folder / "espeak-ng"
        path.write_text(script, encoding="utf-8")
        path.chmod(0o755)
        commands["espeak-ng"] = (str(path),)
    return Programs(commands, folder, folder, folder)


async def test_each_text_is_spoken_once_in_each_language_at_telephone_rate(tmp_path: Path) -> None:
    programs = _programs(tmp_path, _SPEAKER)
    folder = await announcements(programs, cache=tmp_path / "cache", spoken=tmp_path)
    for language in ("zh-CN", "en"):
        assert {path.stem for path in (folder / language).glob("*.wav")} == _NAMES
    with wave.open(str(folder / "en/hold.wav")) as sound:
        assert (sound.getnchannels(), sound.getsampwidth(), sound.getframerate()) == (1, 2, 8000)
        assert sound.getnframes() / 8000 == pytest.approx(1.0, abs=0.1)
    said = (tmp_path / "said").read_text(encoding="utf-8").splitlines()
    assert len(said) == 2 * len(_NAMES)
    assert not [text for text in said if "{" in text]
    assert await announcements(programs, cache=tmp_path / "cache", spoken=tmp_path) == folder
    assert len((tmp_path / "said").read_text(encoding="utf-8").splitlines()) == len(said)


async def test_what_is_shipped_needs_no_speaker(tmp_path: Path) -> None:
    folder = await announcements(_programs(tmp_path, None), cache=tmp_path / "cache")
    for language in ("zh-CN", "en"):
        for name in _NAMES:
            assert seconds_of(folder / language / f"{name}.wav") > 0.5
            assert read_wav(folder / language / f"{name}.wav").rate == 8000


@pytest.mark.parametrize(
    "speaker", [None, "#!/bin/sh\necho 'no voice'; exit 1\n", "#!/nowhere/libpcaudio\n", "#!/bin/sh\ntouch $5\n"]
)
async def test_a_speaker_that_does_not_work_keeps_no_pbx_from_starting(tmp_path: Path, speaker: str | None) -> None:
    programs, cache = _programs(tmp_path, speaker), tmp_path / "cache"
    with capture_logs() as logs:
        folder = await announcements(programs, cache=cache, spoken=tmp_path)
    assert list(folder.rglob("*.wav")) == []
    assert [log["event"] for log in logs] == ["announcements_not_spoken"]
    assert len(logs[0]["names"]) == 2 * len(_NAMES)
    # and the next start tries again
    assert list((await announcements(_programs(tmp_path, _SPEAKER), cache=cache, spoken=tmp_path)).rglob("*.wav"))


def test_every_announcement_that_the_dialplan_plays_is_written() -> None:
    dialplan = "".join(shipped("dialplan", name).read_text(encoding="utf-8") for name in ("cti.conf", "fallback.conf"))
    written = shipped("dialplan", "announcements.yaml").read_text(encoding="utf-8")
    for name in ("message", "goodbye"):
        assert f"cti-announce,s,1({name})" in dialplan
        assert f"\n{name}:" in written
    assert "musicclass)=cti-hold" in dialplan
    assert "\nhold:" in written
    assert "accept-${ARG1}" in dialplan
