"""The fallback's announcements as files for a private PBX, made once and kept in the cache.

The package ships them spoken; where one is missing, the espeak-ng that lies beside Asterisk speaks it. Where neither
works the fallback beeps, since a missing announcement must never keep a caller out of a queue.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import shutil
import tempfile
from pathlib import Path

import structlog

from ctiserver.errors import UserFault
from ctiserver.lab.privatepbx.cache import cache_root, make_cache
from ctiserver.lab.privatepbx.tree import Programs
from ctiserver.resources import shipped
from ctiserver.settings import PromptSettings
from ctiserver.site.fallback_texts import announced
from ctiserver.sound import NoSound, read_wav, write_wav

log = structlog.get_logger(__name__)

RATE_HZ = 8000  #: what Asterisk's .wav is
#: The voice and rate of what is shipped.
_SETTINGS = PromptSettings()
_TIMEOUT_S = 30.0


async def announcements(programs: Programs, *, cache: Path | None = None, spoken: Path | None = None) -> Path:
    """The folder with ``<language>/<name>.wav`` for each announcement, from the cache or freshly made.

    Each is the one that ctiserver ships spoken (``spoken``: another folder of such); else the tree's espeak-ng speaks
    it. One that neither gives is left out and logged: the dialplan then plays a beep.
    """
    spoken = spoken or shipped("ivr_flows") / "prompts"
    sources = [(language, name, text, _shipped_file(spoken, language, text)) for language, name, text in announced()]
    parts = [(*one[:3], one[3] is not None, "espeak-ng" in programs.commands) for one in sources]
    key = hashlib.sha256(repr((parts, _SETTINGS, RATE_HZ)).encode()).hexdigest()[:16]
    cache = cache or cache_root()
    target = cache / f"announcements-{key}"
    if target.is_dir():
        return target
    make_cache(cache)
    fresh = Path(tempfile.mkdtemp(prefix=f"{target.name}.", suffix=".part", dir=cache))
    try:
        left_out = await _fill(fresh, sources, programs)
        if left_out:  # not kept: the next start may find an engine that works
            log.warning("announcements_not_spoken", names=left_out, fix="callers hear a beep instead")
            target = Path(tempfile.mkdtemp(prefix="announcements-incomplete-", dir=cache))
            target.rmdir()
        with contextlib.suppress(OSError):  # another process was quicker, with the same files
            fresh.rename(target)  # noqa: ASYNC240 - one rename
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return target


async def _fill(fresh: Path, sources: list[tuple[str, str, str, Path | None]], programs: Programs) -> list[str]:
    """Write every announcement; returns those that nothing could speak."""
    left_out: list[str] = []
    reason = "" if "espeak-ng" in programs.commands else "no espeak-ng"
    for language, name, text, file in sources:
        (fresh / language).mkdir(exist_ok=True)
        to = fresh / language / f"{name}.wav"
        if file is not None:
            shutil.copyfile(file, to)
            continue
        if not reason:
            reason = await _spoken(programs, language, text, fresh / "raw", to)
        (fresh / "raw").unlink(missing_ok=True)
        if reason:
            left_out.append(f"{language}/{name}: {reason}")
    return left_out


async def _spoken(programs: Programs, language: str, text: str, raw: Path, to: Path) -> str:
    """Have the tree's espeak-ng speak; returns why it did not."""
    try:
        await _speak(programs, _SETTINGS.voice(language), text, raw)
        write_wav(to, read_wav(raw).trimmed().resampled(RATE_HZ))
    except (UserFault, NoSound, OSError, TimeoutError) as error:
        return str(error)
    return ""


def _shipped_file(spoken: Path, language: str, text: str) -> Path | None:
    file = spoken / language / f"{_SETTINGS.file_name(language, text)}.wav"
    return file if file.exists() else None


async def _speak(programs: Programs, voice: str, text: str, to: Path) -> None:
    command = [
        *programs.command("espeak-ng"),
        "-v",
        voice,
        "-s",
        str(_SETTINGS.words_per_minute),
        "-w",
        str(to),
        "--",
        text,
    ]
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
            f"espeak-ng failed: {said.decode('utf-8', 'replace').strip()[:200]}", where=command[0], fix="Fetch it again"
        )
