"""Prompts as files: found, spoken ahead by an engine, never a reason for silence.

A text is spoken once and kept under a hash of engine, voice, rate and text, at 16 kHz (``.wav16``) and 8 kHz
(``.wav``): Asterisk, given the name without its extension, plays what suits the channel. Looked for in this
order: a recording by name, the site's own engine, the default engine, what ctiserver shipped.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from ctiserver.errors import CtiError, UserFault
from ctiserver.ivr import espeak
from ctiserver.ivr.loader import Flow
from ctiserver.ivr.nodes.leaving import Queue, fixed_phrases
from ctiserver.ivr.nodes.speaking import Say
from ctiserver.ivr.requests import Phrase, Said
from ctiserver.ivr.speech import vocabulary, words
from ctiserver.ivr.visit import OFFER
from ctiserver.ivr.written import written_in
from ctiserver.model.expression import Template
from ctiserver.settings import PromptSettings
from ctiserver.site import Site
from ctiserver.sound import NoSound, read_wav, seconds_of, write_wav

log = structlog.get_logger(__name__)

SUFFIXES = (".wav16", ".wav")  #: 16 kHz and 8 kHz
#: The key of files that the default engine speaks, whichever espeak-ng it is.
DEFAULT_ENGINE = "espeak-ng"
_WORKERS = 4
#: Longer texts are no prompts.
MAX_TEXT = 2000


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
        base = self.recordings / language / name
        found = sorted(base.parent.glob(f"{base.name}.*")) if base.parent.is_dir() else []
        if not found:
            return None
        wav = next((path for path in found if path.suffix in SUFFIXES), None)
        return PromptFile(str(base), seconds_of(wav) if wav is not None else 60.0)

    def phrase(self, phrase: Phrase) -> tuple[list[PromptFile], list[Text]]:
        """The files that speak a phrase in order, and the texts in it that nobody has spoken yet."""
        recording = self.recording(phrase.language, phrase.file) if phrase.file else None
        if recording is not None:
            return [recording], []
        files, missing = [], []
        for text in texts_of(phrase):
            found = self.file(text)
            if found is None:
                missing.append(text)
            else:
                files.append(found)
        return files, missing

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
            raise NotSpoken(f"a text of more than {MAX_TEXT} characters is no prompt")
        reasons: list[str] = []
        for engine in engines(self.settings):
            base = self.folder / text.language / self._key(text, engine.name)
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
            return
        raise NotSpoken("; ".join(reasons) or "no engine is installed")

    def speak_bundled(self, text: Text) -> str:
        """Speak by the wheel's espeak-ng, in this very process: quicker for hundreds. Gives why not, "" if it did."""
        base = self.folder / text.language / self._key(text, DEFAULT_ENGINE)
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
            key = self._key(text, engine)
            own = self.folder / text.language / key
            if not own.with_suffix(".wav").exists() and self.shipped is not None:
                self._adopt(self.shipped / text.language / key, own)
            if own.with_suffix(".wav").exists():
                seen = Path(self.settings.asterisk_dir) if self.settings.asterisk_dir else self.folder.absolute()
                return PromptFile(str(seen / text.language / key), seconds_of(own.with_suffix(".wav")))
        return None

    def _adopt(self, shipped: Path, own: Path) -> None:
        """Copy what ctiserver shipped to where Asterisk reads."""
        for suffix in SUFFIXES:
            source = shipped.with_suffix(suffix)
            if source.exists():
                own.parent.mkdir(parents=True, exist_ok=True)
                # a name of its own: two threads may adopt the same file, and each replaces it whole
                with tempfile.NamedTemporaryFile(dir=own.parent, suffix=".part", delete=False) as partial:
                    partial.write(source.read_bytes())
                Path(partial.name).chmod(0o644)  # Asterisk is somebody else
                Path(partial.name).replace(own.with_suffix(suffix))

    def _voice(self, text: Text) -> str:
        return self.settings.voices.get(text.language, text.language)

    def _key(self, text: Text, engine: str) -> str:
        parts = (engine, self._voice(text), str(self.settings.words_per_minute), text.text)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]


def _store(raw: Path, base: Path) -> None:
    wide = read_wav(raw).trimmed().resampled(16000)
    write_wav(base.with_suffix(".wav16"), wide)
    write_wav(base.with_suffix(".wav"), wide.resampled(8000))


def texts_of(phrase: Phrase) -> list[Text]:
    """The texts that a phrase is spoken with, in order."""
    found: list[Text] = []
    for piece in phrase.pieces:
        spoken = words(phrase.language, piece) if isinstance(piece, Said) else (tidy(piece),)
        found += [Text(phrase.language, text) for text in spoken if text]
    return found


def tidy(text: str) -> str:
    """A piece of a prompt as it is spoken: without the punctuation that cutting a template left at its ends."""
    return text.strip(" ,，、;；")


def texts_of_flow(flow: Flow) -> list[Text]:
    """Everything that a flow can say, as far as it is known before the call."""
    found: list[Text] = []
    values = False
    for node in flow.nodes.values():
        values = values or isinstance(node, Say) or (isinstance(node, Queue) and "position" in node.every.values())
        for place, template in written_in(node, Template):
            language = str(place[-1])
            if language == "file":
                continue
            assert isinstance(template, Template)
            found += [Text(language, tidy(piece)) for piece in template.pieces if isinstance(piece, str)]
            values = values or not template.fixed
    for language in flow.file.languages:
        own = (*fixed_phrases().get(language, ()), *((OFFER[language],) if language in OFFER else ()))
        found += [Text(language, tidy(text)) for text in own]
        if values:
            found += [Text(language, word) for word in vocabulary(language)]
    return [text for text in dict.fromkeys(found) if text.text]


def texts_of_site(site: Site) -> list[Text]:
    """What callers hear that is written outside flows: that a queue records them."""
    told = (text for queue in site.queues.values() for text in queue.record.announce.items())
    return [Text(language, tidy(text)) for language, text in dict.fromkeys(told) if tidy(text)]


def engine_or_fault(settings: PromptSettings) -> Engine:
    """The first engine. Raises UserFault where there is none."""
    found = engines(settings)
    if not found:
        raise UserFault(
            "no text-to-speech engine is installed",
            where="prompts.command",
            fix="Install espeak-ng (apt install espeak-ng, or pip install espeakng-loader), or name a command",
        )
    return found[0]
