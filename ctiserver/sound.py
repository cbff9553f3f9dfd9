"""Sound as numbers: 16-bit mono WAV, trimmed and resampled, for prompts and announcements."""

from __future__ import annotations

import math
import wave
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from ctiserver.errors import CtiError

# numpy is imported where samples are computed: to look at a file's length, as `check` does, takes none of its 0.1 s.
if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Samples = NDArray[np.int16]

_HALF_TAPS = 16
_TRIM_BELOW = 200  #: of 32767; espeak-ng's own silence is exact zero
_KEEP_S = 0.04
_WAV_HEADER_BYTES = 44
#: New samples that are worked out together. All of a prompt's took 20 to 50 MB, which each thread's heap then kept.
_AT_ONCE = 2048


class NoSound(CtiError):
    """A file is no 16-bit mono WAV, or holds nothing but silence."""


@dataclass(frozen=True, slots=True, eq=False)
class Sound:
    """Mono samples of 16 bits."""

    rate: int  #: samples a second
    samples: Samples

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return len(self.samples) / self.rate

    @property
    def level(self) -> float:
        """Root mean square, 0 … 1."""
        import numpy as np  # noqa: PLC0415

        if not len(self.samples):
            return 0.0
        return float(np.sqrt(np.mean(np.square(self.samples.astype(np.float64))))) / 32768

    def trimmed(self) -> Sound:
        """Without the silence around it, but for 40 ms. Raises NoSound where nothing is left."""
        import numpy as np  # noqa: PLC0415

        loud = np.flatnonzero(np.abs(self.samples.astype(np.int32)) > _TRIM_BELOW)
        if not len(loud):
            raise NoSound("the engine spoke only silence")
        keep = int(_KEEP_S * self.rate)
        return Sound(self.rate, self.samples[max(0, int(loud[0]) - keep) : int(loud[-1]) + keep])

    def resampled(self, rate: int) -> Sound:
        """At another rate, low-pass filtered by a windowed sinc of 33 taps at the lower rate."""
        import numpy as np  # noqa: PLC0415

        if rate == self.rate:
            return self
        divisor = math.gcd(rate, self.rate)
        up, down = rate // divisor, self.rate // divisor
        phases, reach = _phases(up, down)
        padded = np.pad(self.samples.astype(np.float64), (reach, reach + 1))
        windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1)
        made = np.empty(len(self.samples) * up // down, np.int16)
        for begin in range(0, len(made), _AT_ONCE):
            part = made[begin : begin + _AT_ONCE]
            whole, phase = np.divmod(np.arange(begin, begin + len(part)) * down, up)
            values = np.einsum("ij,ij->i", windows[whole], phases[phase])
            part[:] = np.clip(np.rint(values), -32768, 32767)
        return Sound(rate, made)


@lru_cache(maxsize=16)
def _phases(up: int, down: int) -> tuple[NDArray[np.float64], int]:
    """One row of filter taps for each position that a new sample can have between two old ones, and their reach."""
    import numpy as np  # noqa: PLC0415

    cutoff = min(1.0, up / down) * 0.95
    reach = math.ceil(_HALF_TAPS / cutoff)
    x = np.arange(-reach, reach + 1) - np.arange(up)[:, None] / up
    taps = cutoff * np.sinc(x * cutoff) * (0.5 + 0.5 * np.cos(np.pi * np.clip(x / (reach + 1), -1, 1)))
    return taps / taps.sum(axis=1, keepdims=True), reach


def tone(hertz: float, seconds: float, level: int, rate: int) -> Sound:
    """A plain tone; ``level`` is its peak, of 32767."""
    import numpy as np  # noqa: PLC0415

    at = np.arange(int(rate * seconds)) / rate
    return Sound(rate, np.rint(level * np.sin(2 * np.pi * hertz * at)).astype(np.int16))


def read_wav(path: Path) -> Sound:
    """Read a WAV file; of several channels the first. Raises NoSound."""
    import numpy as np  # noqa: PLC0415

    try:
        with wave.open(str(path), "rb") as file:
            if file.getsampwidth() != 2:
                raise NoSound(f"{path} has {8 * file.getsampwidth()} bits a sample; 16 are needed")
            # Whole samples only: a file whose writer was killed may end in the middle of one.
            data = file.readframes(file.getnframes())
            samples = np.frombuffer(data[: len(data) // 2 * 2], "<i2").astype(np.int16)
            return Sound(file.getframerate(), samples[:: file.getnchannels()])
    except (wave.Error, EOFError, OSError) as error:
        raise NoSound(f"{path} is not a WAV file: {error}") from None


def write_wav(path: Path, sound: Sound) -> None:
    """Write a WAV file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.part")
    with wave.open(str(partial), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sound.rate)
        file.writeframes(sound.samples.astype("<i2").tobytes())
    partial.replace(path)


def seconds_of(path: Path) -> float:
    """How long a file that :func:`write_wav` wrote lasts, by its size alone; 0 where it is not there."""
    rate = 16000 if path.suffix == ".wav16" else 8000
    try:
        return max(0, path.stat().st_size - _WAV_HEADER_BYTES) / 2 / rate
    except OSError:
        return 0.0
