"""``python espeak.py VOICE WORDS_PER_MINUTE OUT < text``: the espeak-ng of the wheel ``espeakng-loader``.

The next engine where no ``espeak-ng`` is installed. A server runs it as a process of its own, since the C library keeps
global state; building the package calls :func:`speak` in worker processes.
"""

from __future__ import annotations

import ctypes
import importlib.util
import sys
import wave

_SYNCHRONOUS = 2  # AUDIO_OUTPUT_SYNCHRONOUS: samples come by the callback while espeak_Synth runs
_RATE_PARAMETER = 1
_UTF8 = 1


def available() -> bool:
    """Whether the wheel is installed."""
    return importlib.util.find_spec("espeakng_loader") is not None


def speak(text: str, voice: str, words_per_minute: int, out: str) -> None:
    """Speak ``text`` into the WAV file ``out``. Raises RuntimeError where the library refuses."""
    import espeakng_loader  # type: ignore[import-not-found,import-untyped,unused-ignore]  # noqa: PLC0415

    library = ctypes.CDLL(espeakng_loader.get_library_path())
    rate = library.espeak_Initialize(_SYNCHRONOUS, 0, espeakng_loader.get_data_path().encode(), 0)
    if rate <= 0 or library.espeak_SetVoiceByName(voice.encode()) != 0:
        raise RuntimeError(f"espeak-ng has no voice {voice}")
    chunks: list[bytes] = []
    callback_type = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)

    def collect(samples: ctypes._Pointer[ctypes.c_short], count: int, _: int | None) -> int:
        if samples and count > 0:
            chunks.append(ctypes.string_at(samples, count * 2))
        return 0

    callback = callback_type(collect)
    library.espeak_SetSynthCallback(callback)
    library.espeak_SetParameter(_RATE_PARAMETER, words_per_minute, 0)
    data = text.encode() + b"\0"
    if library.espeak_Synth(data, ctypes.c_size_t(len(data)), 0, 1, 0, _UTF8, None, None) != 0:
        raise RuntimeError("espeak-ng could not speak the text")
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(b"".join(chunks))


if __name__ == "__main__":
    speak(sys.stdin.buffer.read().decode(), sys.argv[1], int(sys.argv[2]), sys.argv[3])
