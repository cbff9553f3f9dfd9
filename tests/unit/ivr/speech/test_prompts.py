import math
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from ctiserver.errors import FileFault, UserFault
from ctiserver.ivr.language.requests import Phrase, Said
from ctiserver.ivr.language.sentences import GOODBYE, NOT_PLAYED
from ctiserver.ivr.speech import espeak, prompts
from ctiserver.ivr.speech.prompts import (
    Engine,
    NotSpoken,
    PromptFile,
    Shelf,
    Text,
    command_problems,
    engine_or_fault,
    texts_of,
)
from ctiserver.ivr.speech.texts import said_by_flow
from ctiserver.model.expression.expression import Money
from ctiserver.resources import shipped
from ctiserver.settings import PromptSettings
from ctiserver.sound import NoSound, Sound, read_wav, seconds_of, write_wav
from tests.support.flows import flow_of

CHINESE = Text("zh-CN", "报修请按一，其他业务请按二")
ENGLISH = Text("en", "For repairs, press one.")
TONE = "import sys,wave\nw=wave.open(sys.argv[1],'wb');w.setnchannels(1);w.setsampwidth(2);w.setframerate(22050);w.writeframes(b'\\x00\\x20\\x00\\xe0'*11025);w.close()"


def tone(hertz: float, rate: int, seconds: float = 0.5) -> Sound:
    at = np.arange(int(rate * seconds)) / rate
    return Sound(rate, (9000 * np.sin(2 * math.pi * hertz * at)).astype(np.int16))


def crossings(sound: Sound) -> float:
    """The pitch of a tone, by counting."""
    changes = int(np.count_nonzero(np.diff(np.signbit(sound.samples))))
    return changes / 2 / sound.seconds


@pytest.mark.parametrize("rate", [16000, 8000])
def test_resampling_keeps_pitch_length_and_level(rate: int) -> None:
    before = tone(440, 22050)
    after = before.resampled(rate)
    assert after.rate == rate
    assert after.seconds == pytest.approx(before.seconds, abs=0.001)
    assert crossings(after) == pytest.approx(440, abs=3)
    assert after.level == pytest.approx(before.level, rel=0.02)


def test_what_telephones_can_t_carry_is_not_folded_back() -> None:
    assert tone(6500, 22050).resampled(8000).level < 0.02 * tone(6500, 22050).level


def test_silence_around_is_cut_and_silence_alone_is_refused() -> None:
    quiet = np.zeros(8000, np.int16)
    cut = Sound(8000, np.concatenate([quiet, tone(440, 8000).samples, quiet])).trimmed()
    assert 0.5 <= cut.seconds <= 0.6
    with pytest.raises(NoSound):
        Sound(8000, quiet).trimmed()


def test_files_are_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "de" / "x.wav16"
    write_wav(path, tone(440, 16000))
    assert read_wav(path).rate == 16000
    assert seconds_of(path) == pytest.approx(0.5)
    assert list(path.parent.iterdir()) == [path]
    (tmp_path / "bad.wav").write_bytes(b"no sound")
    with pytest.raises(NoSound):
        read_wav(tmp_path / "bad.wav")


async def test_both_languages_are_spoken_intelligibly_long(tmp_path: Path) -> None:
    shelf = Shelf(PromptSettings(), tmp_path)
    assert await shelf.render([CHINESE, ENGLISH]) == {}
    for text, syllables in ((CHINESE, 12), (ENGLISH, 6)):
        file = shelf.file(text)
        assert file is not None
        wide, narrow = (read_wav(Path(f"{file.path}{suffix}")) for suffix in (".wav16", ".wav"))
        assert (wide.rate, narrow.rate) == (16000, 8000)
        # Mandarin that is spelled out in English letters takes twice as long: a voice that can't read it is noticed
        assert 0.12 * syllables < wide.seconds < 0.45 * syllables
        assert wide.level > 0.03
        assert narrow.level > 0.03


async def test_a_text_is_spoken_once(tmp_path: Path) -> None:
    spoken: list[Text] = []
    shelf = Shelf(PromptSettings(), tmp_path)
    await shelf.render([ENGLISH, ENGLISH], spoken.append)
    await Shelf(PromptSettings(), tmp_path).render([ENGLISH], spoken.append)
    assert spoken == [ENGLISH]
    slower = Shelf(PromptSettings(words_per_minute=100), tmp_path)
    assert slower.missing([ENGLISH]) == [ENGLISH]  # another rate is another file


async def test_the_site_s_own_engine_comes_first_and_its_failure_is_not_silence(tmp_path: Path) -> None:
    own = PromptSettings(command=(sys.executable, "-c", TONE, "{out}"))
    shelf = Shelf(own, tmp_path / "a")
    assert await shelf.render([ENGLISH]) == {}
    file = shelf.file(ENGLISH)
    assert file is not None
    assert file.seconds == pytest.approx(1.0, abs=0.1)  # the command's tone, not a voice
    broken = Shelf(PromptSettings(command=("/nowhere/tts", "{text}", "{out}")), tmp_path / "b")
    assert await broken.render([ENGLISH]) == {}  # espeak-ng spoke it
    assert broken.file(ENGLISH) is not None


async def test_what_ctiserver_shipped_fills_the_gaps(tmp_path: Path) -> None:
    shipped = Shelf(PromptSettings(), tmp_path / "shipped")
    await shipped.render([ENGLISH])
    shelf = Shelf(PromptSettings(asterisk_dir="/as/asterisk/sees"), tmp_path / "own", shipped=tmp_path / "shipped")
    file = shelf.file(ENGLISH)
    assert file is not None
    assert file.path.startswith("/as/asterisk/sees/en/")
    assert len(list((tmp_path / "own" / "en").iterdir())) == 2


async def test_an_engine_that_hangs_is_ended(tmp_path: Path) -> None:
    engine = Engine("slow", (sys.executable, "-c", "import time; time.sleep(60)"))
    with pytest.raises(NotSpoken, match="did not speak within"):
        await engine.speak(ENGLISH, "en", 150, tmp_path / "x.wav", 0.2)
    with pytest.raises(NotSpoken, match="boom"):
        await Engine("bad", (sys.executable, "-c", "raise SystemExit('boom')")).speak(
            ENGLISH, "en", 150, tmp_path / "x", 5
        )


async def test_without_any_engine_the_reason_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompts.shutil, "which", lambda _: None)
    monkeypatch.setattr(espeak, "available", lambda: False)
    assert await Shelf(PromptSettings(), tmp_path).render([ENGLISH]) == {
        ENGLISH: f"no speech engine is installed; run: {prompts.GET_A_VOICE}"
    }
    with pytest.raises(UserFault, match="espeak-ng"):
        engine_or_fault(PromptSettings())


def test_the_bundled_voice_speaks_without_any_system_package(tmp_path: Path) -> None:
    shelf = Shelf(PromptSettings(), tmp_path)
    assert shelf.speak_bundled(CHINESE) == ""
    assert shelf.file(CHINESE) is not None


def test_a_recording_wins(tmp_path: Path) -> None:
    write_wav(tmp_path / "recorded" / "en" / "welcome.wav", tone(440, 8000))
    shelf = Shelf(PromptSettings(), tmp_path / "spoken", recordings=tmp_path / "recorded")
    recorded, other = Phrase("en", ("Hello",), "welcome"), Phrase("en", ("Hello",), "other")
    assert [Path(file.path).name for file in shelf.heard(recorded, NOT_PLAYED)] == ["welcome"]
    assert shelf.unspoken(recorded) == []
    assert shelf.unspoken(other) == [Text("en", "Hello")]


def _names(shelf: Shelf, files: list[PromptFile]) -> list[str]:
    """Which text each file speaks, of those that these tests use; else the file's own name."""
    texts = {
        shelf.settings.file_name(language, text): text
        for one in (NOT_PLAYED, GOODBYE)
        for language, text in one.items()
    }
    return [texts.get(Path(file.path).name, Path(file.path).name) for file in files]


def test_a_phrase_without_sound_is_the_nearest_that_has_one(tmp_path: Path) -> None:
    shelf = Shelf(PromptSettings(), tmp_path / "own", shipped=shipped("ivr_flows") / "prompts")
    for language in ("zh-CN", "en"):
        heard = shelf.heard(Phrase(language, ("Nobody has spoken this",)), GOODBYE)
        assert _names(shelf, heard) == [GOODBYE[language]]
    assert _names(shelf, shelf.heard(Phrase("fr", ("Bonjour",)), GOODBYE)) == [GOODBYE["en"]]
    assert shelf.heard(Phrase("en", ()), GOODBYE) == []  # says nothing, as where a name is empty


def test_a_site_s_own_voice_that_is_missing_is_the_shipped_voice(tmp_path: Path) -> None:
    faster = PromptSettings(words_per_minute=300)
    shelf = Shelf(faster, tmp_path / "own", shipped=shipped("ivr_flows") / "prompts")
    phrase = Phrase("en", (GOODBYE["en"],))
    assert shelf.unspoken(phrase) == [Text("en", GOODBYE["en"])]  # an engine is to speak it all the same
    as_shipped = PromptSettings().file_name("en", GOODBYE["en"])
    assert [Path(file.path).name for file in shelf.heard(phrase, NOT_PLAYED)] == [as_shipped]


async def test_a_gap_in_a_phrase_is_a_tone(tmp_path: Path) -> None:
    shelf = Shelf(PromptSettings(), tmp_path)
    await shelf.render([ENGLISH])
    heard = shelf.heard(Phrase("en", ("not spoken", "nor this", ENGLISH.text)), NOT_PLAYED)
    assert [Path(file.path).name for file in heard] == ["tone", shelf.settings.file_name("en", ENGLISH.text)]
    for suffix, rate in ((".wav16", 16000), (".wav", 8000)):
        heard_tone = read_wav(Path(f"{heard[0].path}{suffix}"))
        assert (heard_tone.rate, heard_tone.seconds) == (rate, pytest.approx(0.5))
        assert heard_tone.level > 0.1


def test_where_no_file_can_be_written_the_pbx_beeps(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    shelf = Shelf(PromptSettings(), tmp_path / "file")
    assert [file.path for file in shelf.heard(Phrase("en", ("Hello",)), NOT_PLAYED)] == ["beep"]


@pytest.mark.parametrize("text", ["The number is {{ call.ani }}.", "您的号码是{{ call.ani }}。", "{{ call.ani }}..."])
def test_punctuation_that_a_value_leaves_over_is_not_spoken(text: str) -> None:
    flow = flow_of(f"  start: {{kind: play, prompt: {{en: '{text}', zh-CN: '{text}'}}, next: good}}\n")
    assert not [one for one in said_by_flow(flow) if not re.search(r"\w", one.text.text)]


@pytest.mark.parametrize("text", ["。", "...", "—"])
def test_a_prompt_of_punctuation_is_refused(text: str) -> None:
    with pytest.raises(FileFault, match="a prompt has no text"):
        flow_of(f"  start: {{kind: play, prompt: {{en: '{text}'}}, next: good}}\n")


def test_a_command_that_can_t_speak_is_seen(tmp_path: Path) -> None:
    assert command_problems(PromptSettings()) == []
    assert command_problems(PromptSettings(command=(sys.executable, "{text}", "{out}"))) == []
    wrong = PromptSettings(command=("/nowhere/piper", "--say", "{words}"))
    assert [what for what, _ in command_problems(wrong)] == [
        "there is no program '/nowhere/piper' here",
        "{words} is not filled in",
        "nothing names the file to write",
    ]


async def test_it_is_counted_who_spoke(tmp_path: Path) -> None:
    shelf = Shelf(PromptSettings(command=("/nowhere/piper", "{text}", "{out}")), tmp_path)
    assert await shelf.render([ENGLISH]) == {}
    assert shelf.spoken_by == {"espeak-ng": 1}


def test_a_prompt_with_values_is_words_that_exist_ahead_of_the_call() -> None:
    nodes = "  start: {kind: play, prompt: {en: 'A visit costs {{ money(fees.visit) }}.'}, next: good}\n"
    ahead = {one.text for one in said_by_flow(flow_of(nodes))}
    phrase = Phrase("en", ("A visit costs ", Said(Money(__import__("decimal").Decimal("80.00"))), "."))
    assert set(texts_of(phrase)) <= ahead


def test_asterisk_may_read_prompts_whatever_the_umask_is(tmp_path: Path) -> None:
    """The shipped systemd unit has UMask=0077, and Asterisk runs as another user."""
    shelf = Shelf(PromptSettings(), tmp_path / "data" / "prompts", shipped=tmp_path / "shipped")
    adopted, spoken = Text("en", "shipped"), Text("en", "spoken here")
    maker = Shelf(PromptSettings(), tmp_path / "shipped")
    before = os.umask(0o077)
    try:
        assert maker.speak_bundled(adopted) == ""
        assert shelf.file(adopted) is not None
        assert shelf.speak_bundled(spoken) == ""
    finally:
        os.umask(before)
    files = sorted((tmp_path / "data" / "prompts" / "en").iterdir())
    assert len(files) == 4
    assert {oct(path.stat().st_mode & 0o777) for path in files} == {"0o644"}
    assert {oct(path.stat().st_mode & 0o777) for path in (files[0].parent, files[0].parent.parent)} == {"0o755"}
