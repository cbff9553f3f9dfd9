"""Sound as numbers: what is resampled stays what it was, and what can't be heard later is gone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ctiserver.sound import NoSound, Sound, read_wav, seconds_of, write_wav


def tone(frequency_hz: float, rate: int, seconds: float = 0.5) -> Sound:
    wave = 10_000 * np.sin(2 * np.pi * frequency_hz * np.arange(int(rate * seconds)) / rate)
    return Sound(rate, wave.astype(np.int16))


def pitch_hz(sound: Sound) -> float:
    spectrum = np.abs(np.fft.rfft(sound.samples))
    return float(np.argmax(spectrum)) / sound.seconds


@pytest.mark.parametrize("rate", [8000, 16000])
def test_a_tone_keeps_pitch_length_and_level(rate: int) -> None:
    spoken = tone(1000, 22050)
    heard = spoken.resampled(rate)
    assert pitch_hz(heard) == pytest.approx(1000, abs=4)
    assert heard.seconds == pytest.approx(spoken.seconds, abs=0.001)
    assert heard.level == pytest.approx(spoken.level, rel=0.02)


def test_what_the_lower_rate_has_no_room_for_is_filtered_out_not_folded_back() -> None:
    assert tone(6000, 22050).resampled(8000).level < 0.02 * tone(6000, 22050).level


def test_silence_around_is_cut_but_for_40_ms() -> None:
    speech = tone(500, 8000)
    around = Sound(8000, np.concatenate([np.zeros(8000, np.int16), speech.samples, np.zeros(8000, np.int16)]))
    assert around.trimmed().seconds == pytest.approx(speech.seconds + 0.08, abs=0.01)
    with pytest.raises(NoSound, match="only silence"):
        Sound(8000, np.zeros(800, np.int16)).trimmed()


def test_files_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    write_wav(path, tone(440, 8000))
    assert np.array_equal(read_wav(path).samples, tone(440, 8000).samples)
    assert seconds_of(path) == pytest.approx(0.5)
    assert seconds_of(tmp_path / "missing.wav") == 0
    (tmp_path / "bad.wav").write_bytes(b"RIFF")
    with pytest.raises(NoSound, match="not a WAV"):
        read_wav(tmp_path / "bad.wav")
