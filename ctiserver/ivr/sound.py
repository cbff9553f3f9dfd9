"""Sound as numbers: 16-bit mono WAV, resampled and trimmed, without any library that a fresh machine may lack."""

from __future__ import annotations

import math
import sys
import wave
from array import array
from dataclasses import dataclass
from functools import lru_cache
from operator import mul
from pathlib import Path

from ctiserver.errors import CtiError

_HALF_TAPS = 5
_TRIM_BELOW = 200  #: of 32767; espeak-ng's own silence is exact zero
_KEEP_S = 0.04


class NoSound(CtiError):
    """A file is no 16-bit mono WAV, or holds nothing but silence."""


@dataclass(frozen=True, slots=True)
class Sound:
    """Mono samples of 16 bits."""

    rate: int
    samples: array[int]

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return len(self.samples) / self.rate

    @property
    def level(self) -> float:
        """Root mean square, 0 … 1."""
        if not self.samples:
            return 0.0
        return math.sqrt(sum(map(mul, self.samples, self.samples)) / len(self.samples)) / 32768

    def trimmed(self) -> Sound:
        """Without the silence around it, but for 40 ms. Raises NoSound where nothing is left."""
        loud = [index for index, sample in enumerate(self.samples) if abs(sample) > _TRIM_BELOW]
        if not loud:
            raise NoSound("the engine spoke only silence")
        keep = int(_KEEP_S * self.rate)
        return Sound(self.rate, self.samples[max(0, loud[0] - keep) : loud[-1] + keep])

    def halved(self) -> Sound:
        """At half the rate, by a half-band filter: far quicker than :meth:`resampled`, every other tap being zero."""
        padded = array("h", [0] * 5) + self.samples + array("h", [0] * 6)
        centre, one, three, five = _HALF_BAND
        pick = [padded[start : len(padded) - 10 + start : 2] for start in (5, 4, 6, 2, 8, 0, 10)]
        values = [
            int(centre * x + one * (a + b) + three * (c + d) + five * (e + f))
            for x, a, b, c, d, e, f in zip(*pick, strict=False)
        ]
        return Sound(self.rate // 2, array("h", [max(-32768, min(32767, value)) for value in values]))

    def resampled(self, rate: int) -> Sound:
        """At another rate, low-pass filtered by a windowed sinc of 11 taps at the lower rate."""
        if rate == self.rate:
            return self
        divisor = math.gcd(rate, self.rate)
        up, down = rate // divisor, self.rate // divisor
        cutoff = min(1.0, rate / self.rate) * 0.95
        reach = math.ceil(_HALF_TAPS / cutoff)
        padded = array("h", [0] * reach) + self.samples + array("h", [0] * (reach + 1))
        phases = [_taps(phase / up, cutoff, reach) for phase in range(up)]
        taps = 2 * reach + 1
        steps = (divmod(number * down, up) for number in range(len(self.samples) * up // down))
        values = [int(sum(map(mul, padded[whole : whole + taps], phases[phase]))) for whole, phase in steps]
        return Sound(rate, array("h", [max(-32768, min(32767, value)) for value in values]))


def _half_band() -> tuple[float, float, float, float]:
    """The centre tap and those at 1, 3 and 5 of a Hann-windowed half-band low-pass."""
    taps = [math.sin(math.pi * n / 2) / (math.pi * n) * (0.5 + 0.5 * math.cos(math.pi * n / 6)) for n in (1, 3, 5)]
    total = 0.5 + 2 * sum(taps)
    return 0.5 / total, taps[0] / total, taps[1] / total, taps[2] / total


_HALF_BAND = _half_band()


@lru_cache(maxsize=4096)
def _taps(shift: float, cutoff: float, reach: int) -> tuple[float, ...]:
    taps = []
    for offset in range(-reach, reach + 1):
        x = offset - shift
        window = 0.5 + 0.5 * math.cos(math.pi * max(-1.0, min(1.0, x / (reach + 1))))
        angle = math.pi * x * cutoff
        taps.append(cutoff * (math.sin(angle) / angle if angle else 1.0) * window)
    total = sum(taps)
    return tuple(tap / total for tap in taps)


def read_wav(path: Path) -> Sound:
    """Read a WAV file; of several channels the first. Raises NoSound."""
    try:
        with wave.open(str(path), "rb") as file:
            if file.getsampwidth() != 2:
                raise NoSound(f"{path} has {8 * file.getsampwidth()} bits a sample; 16 are needed")
            samples = array("h", file.readframes(file.getnframes()))
            channels, rate = file.getnchannels(), file.getframerate()
    except (wave.Error, EOFError, OSError) as error:
        raise NoSound(f"{path} is no WAV file: {error}") from None
    if sys.byteorder == "big":
        samples.byteswap()
    return Sound(rate, samples[::channels])


def write_wav(path: Path, sound: Sound) -> None:
    """Write a WAV file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.part")
    samples = sound.samples
    if sys.byteorder == "big":
        samples = array("h", samples)
        samples.byteswap()
    with wave.open(str(partial), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sound.rate)
        file.writeframes(samples.tobytes())
    partial.replace(path)


def seconds_of(path: Path) -> float:
    """How long a file that :func:`write_wav` wrote lasts, by its size alone; 0 where it is not there."""
    rate = 16000 if path.suffix == ".wav16" else 8000
    try:
        return max(0, path.stat().st_size - 44) / 2 / rate
    except OSError:
        return 0.0
