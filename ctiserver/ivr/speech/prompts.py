"""Prompts as files: found, spoken ahead by an engine, never a reason for silence.

A text is spoken once and kept under a hash of engine, voice, rate and text, at 16 kHz (``.wav16``) and 8 kHz
(``.wav``): Asterisk, given the name without its extension, plays what suits the channel. Looked for in this
order: a recording by name, the site's own engine, the default engine, what ctiserver shipped.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from ctiserver.errors import CtiError, UserFault
from ctiserver.inside import OutsideFolder, inside
from ctiserver.ivr.language.requests import Phrase, Said
from ctiserver.ivr.language.sentences import Sentence, in_language
from ctiserver.ivr.speech import espeak
from ctiserver.ivr.speech.values import words
from ctiserver.settings import DEFAULT_ENGINE, PromptSettings
from ctiserver.sound import NoSound, read_wav, seconds_of, tone, write_wav

log = structlog.get_logger(__name__)

SUFFIXES = (".wav16", ".wav")  #: 16 kHz and 8 kHz
#: How a machine gets a speech engine.
GET_A_VOICE = "pip install 'ctiserver[voice]' (or: apt install espeak-ng)"
_WORKERS = 4
#: Longer texts are not prompts.
MAX_TEXT = 2000
_FILLED = re.compile(r"\{([A-Za-z_]+)\}")
_VALUES = ("text", "language", "voice", "rate", "out")
_HAS_WORD = re.compile(r"\w")
#: What is played where nothing has a sound: half a second that is heard over a telephone, and is not a ringing tone.
_TONE_HZ, _TONE_S, _TONE_LEVEL = 850, 0.5, 6000
#: Asterisk's own, where not even a tone of ours can be written.
_BEEP = "beep"


class NotSpoken(CtiError):
    """The engine did not speak a text."""


@dataclass(frozen=True, slots=True)
class Text:
    """A text that is to be spoken in a language."""

    language: str
    text: str


@dataclass(frozen=True, slots=True)
class PromptFile:
    """A file as Asterisk is told of it (without extension), and how long it lasts."""

    path: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Engine:
    """Who speaks: a command; ``{text}``, ``{language}``, ``{voice}``, ``{rate}`` and ``{out}`` are filled in."""

    name: str
    command: tuple[str, ...]
    stdin: bool = False  #: the text goes to standard input

    async def speak(self, text: Text, voice: str, rate: int, out: Path, timeout_s: float) -> None:
        """Speak ``text`` into ``out``. Raises NotSpoken."""
        values = {"text": text.text, "language": text.language, "voice": voice, "rate": str(rate), "out": str(out)}
        command = [_filled(part, values) for part in self.command]
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                env={**os.environ, "LC_ALL": "C.UTF-8"},  # espeak-ng garbles Chinese in the C locale
            )
        except OSError as error:
            raise NotSpoken(f"{command[0]} can't be started: {error.strerror}") from None
        try:
            async with asyncio.timeout(timeout_s):
                _, complaint = await process.communicate(text.text.encode() if self.stdin else None)
        except TimeoutError:
            raise NotSpoken(f"{self.name} did not speak within {timeout_s:g} s") from None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if process.returncode != 0:
            last = complaint.decode("utf-8", "replace").strip().splitlines()[-1:] or ["no message"]
            raise NotSpoken(f"{self.name} failed: {last[0][:200]}")


def _filled(part: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        part = part.replace(f"{{{name}}}", value)
    return part


def engines(settings: PromptSettings) -> tuple[Engine, ...]:
    """The engines of this machine, best first: the site's command, an installed espeak-ng, the wheel's."""
    found: list[Engine] = []
    if settings.command:
        found.append(Engine(Path(settings.command[0]).name, settings.command))
    if shutil.which("espeak-ng"):
        installed = ("espeak-ng", "-v", "{voice}", "-s", "{rate}", "-w", "{out}", "--stdin")
        found.append(Engine(DEFAULT_ENGINE, installed, stdin=True))
    if espeak.available():
        bundled = (sys.executable, espeak.__file__, "{voice}", "{rate}", "{out}")
        found.append(Engine(DEFAULT_ENGINE, bundled, stdin=True))
    return tuple(found)


@dataclass(slots=True)
class Shelf:
    """Where prompts lie. ``folder`` is what Asterisk reads as ``asterisk_dir``; ``shipped`` fills its gaps."""

    settings: PromptSettings
    folder: Path
    recordings: Path | None = None  #: <language>/<name>.wav and the like, by the site's people
    shipped: Path | None = None
    spoken_by: Counter[str] = field(default_factory=Counter)  #: how many texts each engine has spoken into it
    _files: dict[tuple[str, str], PromptFile] = field(default_factory=dict)

    def file(self, text: Text) -> PromptFile | None:
        """The file that speaks ``text``, None if nobody has spoken it yet."""
        key = (text.language, text.text)
        if key not in self._files:
            found = self._find(text)
            if found is None:
                return None
            self._files[key] = found
        return self._files[key]

    def recording(self, language: str, name: str) -> PromptFile | None:
        """A recording by its name, in any format that Asterisk reads."""
        if self.recordings is None:
            return None
        try:
            inside(self.recordings, f"{language}/{name}")
        except OutsideFolder:
            return None
        base = self.recordings / language / name
        found = sorted(base.parent.glob(f"{base.name}.*")) if base.parent.is_dir() else []
        if not found:
            return None
        wav = next((path for path in found if path.suffix in SUFFIXES), None)
        return PromptFile(str(base), seconds_of(wav) if wav is not None else 60.0)

    def unspoken(self, phrase: Phrase) -> list[Text]:
        """The texts of a phrase that no file speaks yet; none where a recording takes their place."""
        if phrase.file and self.recording(phrase.language, phrase.file) is not None:
            return []
        return [text for text in texts_of(phrase) if self.file(text) is None]

    def heard(self, phrase: Phrase, instead: Sentence) -> list[PromptFile]:
        """The files that a caller hears for a phrase: never none, unless the phrase says nothing.

        Where texts have no sound, the nearest that has is played: the same text by the shipped voice; for a phrase
        that has none at all, ``instead``; else a tone in the text's place.
        """
        recording = self.recording(phrase.language, phrase.file) if phrase.file else None
        if recording is not None:
            return [recording]
        found = [self._nearest(text) for text in texts_of(phrase)]
        if found and not any(found):
            return [self._nearest(Text(*in_language(instead, phrase.language))) or self._tone()]
        files: list[PromptFile] = []
        for file in found:
            file = file or self._tone()
            if not files or files[-1] != file:
                files.append(file)
        return files

    def _nearest(self, text: Text) -> PromptFile | None:
        found = self.file(text)
        if found is None and self.shipped is not None:
            as_shipped = PromptSettings(asterisk_dir=self.settings.asterisk_dir)
            found = Shelf(as_shipped, self.folder, shipped=self.shipped).file(text)
        return found

    def _tone(self) -> PromptFile:
        base = self.folder / "tone"
        try:
            for suffix, rate in zip(SUFFIXES, (16000, 8000), strict=True):
                if not base.with_suffix(suffix).exists():
                    write_wav(base.with_suffix(suffix), tone(_TONE_HZ, _TONE_S, _TONE_LEVEL, rate))
        except OSError:
            return PromptFile(_BEEP, _TONE_S)
        return PromptFile(str(self._seen_by_asterisk() / "tone"), _TONE_S)

    def _seen_by_asterisk(self) -> Path:
        return Path(self.settings.asterisk_dir) if self.settings.asterisk_dir else self.folder.absolute()

    def missing(self, texts: Iterable[Text]) -> list[Text]:
        """Those of ``texts`` that nobody has spoken yet, each once. It looks at files, and copies what was shipped."""
        return [text for text in dict.fromkeys(texts) if self.file(text) is None]

    async def lacking(self, texts: Sequence[Text]) -> list[Text]:
        """As :meth:`missing`, in a thread: a site says hundreds of texts, and meanwhile calls go on."""
        return await asyncio.to_thread(self.missing, texts)

    async def render(
        self,
        texts: Sequence[Text],
        progress: Callable[[Text], None] | None = None,
        executor: Executor | None = None,
    ) -> dict[Text, str]:
        """Speak what is missing, by the first engine that can; gives the texts that none could speak, and why.

        ``executor`` does the arithmetic on samples: a pool of processes where there is much of it.
        """
        failed: dict[Text, str] = {}
        waiting = iter(await self.lacking(texts))

        async def work() -> None:
            for text in waiting:
                try:
                    await self._speak(text, executor)
                except NotSpoken as reason:
                    failed[text] = str(reason)
                if progress is not None:
                    progress(text)

        async with asyncio.TaskGroup() as group:
            for _ in range(_WORKERS):
                group.create_task(work(), name="render-prompts")
        return failed

    async def _speak(self, text: Text, executor: Executor | None) -> None:
        if len(text.text) > MAX_TEXT or "\0" in text.text:
            raise NotSpoken(f"a text of more than {MAX_TEXT} characters is not a prompt")
        reasons: list[str] = []
        for engine in engines(self.settings):
            base = self._own(text, engine.name)
            with tempfile.TemporaryDirectory(prefix="ctiserver-prompt-") as scratch:
                raw = Path(scratch) / "spoken.wav"
                try:
                    await engine.speak(
                        text, self._voice(text), self.settings.words_per_minute, raw, self.settings.timeout_s
                    )
                    await asyncio.get_running_loop().run_in_executor(executor, _store, raw, base)
                except (NotSpoken, NoSound) as error:
                    reasons.append(str(error))
                    continue
            self._files.pop((text.language, text.text), None)
            self.spoken_by[engine.name] += 1
            return
        raise NotSpoken("; ".join(reasons) or f"no speech engine is installed; run: {GET_A_VOICE}")

    def speak_bundled(self, text: Text) -> str:
        """Speak by the wheel's espeak-ng, in this very process: quicker for hundreds. Gives why not, "" if it did."""
        base = self._own(text, DEFAULT_ENGINE)
        with tempfile.TemporaryDirectory(prefix="ctiserver-prompt-") as scratch:
            raw = Path(scratch) / "spoken.wav"
            try:
                espeak.speak(text.text, self._voice(text), self.settings.words_per_minute, str(raw))
                _store(raw, base)
            except (RuntimeError, NoSound) as error:
                return str(error)
        return ""

    def _find(self, text: Text) -> PromptFile | None:
        names = [Path(self.settings.command[0]).name] if self.settings.command else []
        for engine in (*names, DEFAULT_ENGINE):
            key = self.settings.file_name(text.language, text.text, engine)
            own = self.folder / text.language / key
            if not own.with_suffix(".wav").exists() and self.shipped is not None:
                self._adopt(self.shipped / text.language / key, own)
            if own.with_suffix(".wav").exists():
                path = self._seen_by_asterisk() / text.language / key
                return PromptFile(str(path), seconds_of(own.with_suffix(".wav")))
        return None

    def _own(self, text: Text, engine: str) -> Path:
        return self.folder / text.language / self.settings.file_name(text.language, text.text, engine)

    def _adopt(self, shipped: Path, own: Path) -> None:
        """Copy what ctiserver shipped to where Asterisk reads."""
        for suffix in SUFFIXES:
            source = shipped.with_suffix(suffix)
            if source.exists():
                _make_readable(own.parent)
                # a name of its own: two threads may adopt the same file, and each replaces it whole
                with tempfile.NamedTemporaryFile(dir=own.parent, suffix=".part", delete=False) as partial:
                    partial.write(source.read_bytes())
                Path(partial.name).chmod(0o644)  # Asterisk is somebody else
                Path(partial.name).replace(own.with_suffix(suffix))

    def _voice(self, text: Text) -> str:
        return self.settings.voice(text.language)


def _store(raw: Path, base: Path) -> None:
    wide = read_wav(raw).trimmed().resampled(16000)
    _make_readable(base.parent)
    for suffix, sound in ((".wav16", wide), (".wav", wide.resampled(8000))):
        write_wav(base.with_suffix(suffix), sound)
        base.with_suffix(suffix).chmod(0o644)


def _make_readable(folder: Path) -> None:
    """Make the folder of a language, and the one above it, for Asterisk as well: a unit's umask keeps others out."""
    for made in (folder.parent, folder):
        if not made.exists():
            made.mkdir(parents=True, exist_ok=True)
            made.chmod(0o755)


def texts_of(phrase: Phrase) -> list[Text]:
    """The texts that a phrase is spoken with, in order."""
    found: list[Text] = []
    for piece in phrase.pieces:
        spoken = words(phrase.language, piece) if isinstance(piece, Said) else (tidy(piece),)
        found += [Text(phrase.language, text) for text in spoken if text]
    return found


def tidy(text: str) -> str:
    """A piece of a prompt as it is spoken: without the punctuation that cutting a template left at its ends.

    Empty where nothing but punctuation is left, which no engine can speak.
    """
    return text.strip(" ,，、;；") if _HAS_WORD.search(text) else ""


def command_problems(settings: PromptSettings) -> list[tuple[str, str]]:
    """(what, fix) of everything in ``prompts.command`` that can be seen to be wrong before it speaks."""
    if not settings.command:
        return []
    found = []
    if shutil.which(settings.command[0]) is None:
        fix = "install it, or name it by its whole path; until then espeak-ng speaks"
        found.append((f"there is no program {settings.command[0]!r} here", fix))
    for name in dict.fromkeys(_FILLED.findall(" ".join(settings.command))):
        if name not in _VALUES:
            known = ", ".join(f"{{{value}}}" for value in _VALUES)
            found.append((f"{{{name}}} is not filled in", f"use {known}"))
    if "{out}" not in " ".join(settings.command):
        found.append(("nothing names the file to write", "add {out}"))
    return found


def engine_or_fault(settings: PromptSettings) -> Engine:
    """The first engine. Raises UserFault where there is none."""
    found = engines(settings)
    if not found:
        raise UserFault(
            "no text-to-speech engine is installed",
            where="prompts.command",
            fix=f"Run: {GET_A_VOICE}; or name a command",
        )
    return found[0]
