"""What callers hear when the server is not there to speak: rendered once into the PBX's own folder.

Spoken by the espeak-ng that lies beside Asterisk. Where there is none, the fallback works in silence, since a missing
announcement must never keep a caller out of a queue.
"""

from __future__ import annotations

import array
import asyncio
import sys
import wave
from pathlib import Path

from ctiserver.errors import UserFault
from ctiserver.privatepbx.tree import Programs
from ctiserver.resources import shipped
from ctiserver.site import Texts
from ctiserver.strict_yaml import Written, load, parse

RATE_HZ = 8000  #: what Asterisk's .wav is
_VOICES = {"zh-CN": "cmn", "en": "en-us"}
_WORDS_PER_MINUTE = 150
_TIMEOUT_S = 30.0


class Announcements(Written):
    """announcements.yaml"""

    hold: Texts
    message: Texts
    goodbye: Texts


async def render(programs: Programs, to: Path) -> None:
    """Speak each announcement into ``to/<language>/<name>.wav``, unless it is there."""
    if "espeak-ng" not in programs.commands:
        return
    texts = parse(load(shipped("dialplan", "announcements.yaml")), Announcements)
    for name, by_language in texts.model_dump().items():
        for language, text in by_language.items():
            path = to / language / f"{name}.wav"
            if path.exists():
                continue
            path.parent.mkdir(exist_ok=True)
            spoken = path.with_suffix(".spoken")
            await _speak(programs, _VOICES[language], text, spoken)
            _to_telephone(spoken, path)
            spoken.unlink()


async def _speak(programs: Programs, voice: str, text: str, to: Path) -> None:
    command = [*programs.command("espeak-ng"), "-v", voice, "-s", str(_WORDS_PER_MINUTE), "-w", str(to), "--", text]
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise UserFault(
            f"espeak-ng failed: {said.decode('utf-8', 'replace').strip()[:200]}", where=command[0], fix="Fetch it anew"
        )


def _to_telephone(spoken: Path, to: Path) -> None:
    """Mono 16-bit at whatever rate to mono 16-bit at 8 kHz: each sample is the mean of those that it stands for.

    The mean is a gentle low-pass, enough for speech that has little above 4 kHz.
    """
    with wave.open(str(spoken)) as source:
        rate = source.getframerate()
        samples = array.array("h", source.readframes(source.getnframes()))
    if sys.byteorder == "big":
        samples.byteswap()
    fresh = array.array("h")
    for index in range(len(samples) * RATE_HZ // rate):
        first, last = index * rate // RATE_HZ, (index + 1) * rate // RATE_HZ
        part = samples[first : max(last, first + 1)]
        fresh.append(sum(part) // len(part))
    if sys.byteorder == "big":
        fresh.byteswap()
    with wave.open(str(to.with_suffix(".new")), "wb") as target:
        target.setparams((1, 2, RATE_HZ, len(fresh), "NONE", ""))
        target.writeframes(fresh.tobytes())
    to.with_suffix(".new").rename(to)
