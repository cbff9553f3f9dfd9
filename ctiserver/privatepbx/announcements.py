"""What callers hear when the server is not there to speak: rendered once into the cache.

Spoken by the espeak-ng that lies beside Asterisk. Where there is none, the fallback works in silence, since a missing
announcement must never keep a caller out of a queue.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ctiserver.errors import UserFault
from ctiserver.privatepbx.debian import cache_root, make_cache
from ctiserver.privatepbx.tree import Programs
from ctiserver.resources import shipped
from ctiserver.site import Texts
from ctiserver.sound import read_wav, write_wav
from ctiserver.strict_yaml import Written, load, parse

RATE_HZ = 8000  #: what Asterisk's .wav is
_VOICES = {"zh-CN": "cmn-latn-pinyin", "en": "en-us"}
_WORDS_PER_MINUTE = 150
_TIMEOUT_S = 30.0


class Announcements(Written):
    """announcements.yaml"""

    hold: Texts
    message: Texts
    accept: Texts  #: ``{key}`` stands for a digit
    goodbye: Texts


def announced() -> list[tuple[str, str, str]]:
    """(language, name, text) of every file that the fallback plays."""
    return list(_texts(parse(load(shipped("dialplan", "announcements.yaml")), Announcements)))


async def announcements(programs: Programs, *, cache: Path | None = None) -> Path:
    """The folder with ``<language>/<name>.wav`` for each announcement, from the cache or freshly spoken.

    It is empty where there is no espeak-ng to speak them.
    """
    spoken = announced() if "espeak-ng" in programs.commands else []
    key = hashlib.sha256(repr((spoken, _VOICES, _WORDS_PER_MINUTE, RATE_HZ)).encode()).hexdigest()[:16]
    cache = cache or cache_root()
    target = cache / f"announcements-{key}"
    if target.is_dir():
        return target
    make_cache(cache)
    fresh = Path(tempfile.mkdtemp(prefix=f"{target.name}.", suffix=".part", dir=cache))
    try:
        for language, name, text in spoken:
            (fresh / language).mkdir(exist_ok=True)
            raw = fresh / "raw"
            await _speak(programs, _VOICES[language], text, raw)
            write_wav(fresh / language / f"{name}.wav", read_wav(raw).trimmed().resampled(RATE_HZ))
            raw.unlink()
        with contextlib.suppress(OSError):  # another process was quicker, with the same files
            fresh.rename(target)  # noqa: ASYNC240 - one rename
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return target


def _texts(written: Announcements) -> Iterator[tuple[str, str, str]]:
    for name, by_language in written.model_dump().items():
        for language, text in by_language.items():
            if "{key}" in text:
                yield from ((language, f"{name}-{key}", text.replace("{key}", str(key))) for key in range(10))
            else:
                yield language, name, text


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
