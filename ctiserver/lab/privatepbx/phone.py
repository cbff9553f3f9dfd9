"""A SIP phone with audio and keys, for the demo and for tests: baresip, one process a phone.

An agent's phone registers; a caller's phone does not, and rings the trunk from whatever number it likes::

    async with SipPhone.agent(programs, pbx, "agent1") as agent, SipPhone.caller(programs, pbx, "139…") as caller:
        await caller.dial("4008001234")
        await agent.ringing()
        await agent.answer()
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import re
import shutil
import sys
import tempfile
import wave
from collections.abc import AsyncIterator
from pathlib import Path

from ctiserver.errors import PeerLost, UserFault
from ctiserver.lab.privatepbx.baresip import (
    HEARD_RATE_HZ,
    SOURCE_RATE_HZ,
    TONE,
    CallFailed,
    Control,
    connect,
    last_words,
    write,
)
from ctiserver.lab.privatepbx.lifecycle import PrivatePbx
from ctiserver.lab.privatepbx.tree import Programs
from ctiserver.pid import Process

START_TIMEOUT_S = 20.0

_USER = re.compile(r"[A-Za-z0-9+_.-]{1,64}")
_NAME = re.compile(r'[^"<>\\\x00-\x1f\x7f]{0,64}')
_KEYS = re.compile(r"[0-9*#A-D]+")
# One codec a phone: baresip 1.1 crashes when the other side changes it in mid-stream.
_SOUND = "audio_codecs={}/8000/1;ptime=20"
_STARTS = 3
_STOP_PATIENCE_S = 3.0
#: Heard audio counts as sound from this mean level on, of 32767; a line with nobody on it stays far below.
SOUND_LEVEL = 200.0
_WAV_HEADER_BYTES = 44
# A key as RFC 4733 sends it lasts 160 ms here; a person's next press comes no sooner.
_KEY_GAP_S = 0.25


class SipPhone:
    """One phone. Make it with :meth:`agent` or :meth:`caller`. Every wait has a deadline and raises TimeoutError."""

    def __init__(self, control: Control, folder: Path, sip_server: str, process: Process) -> None:
        self._control = control
        self._folder = folder
        self._server = sip_server
        self._process = process

    @classmethod
    @contextlib.asynccontextmanager
    async def agent(cls, programs: Programs, pbx: PrivatePbx, name: str) -> AsyncIterator[SipPhone]:
        """The phone ``name`` of the PBX's phones.yaml, registered.

        Raises UserFault where the PBX has no such phone or refuses it.
        """
        if name not in pbx.phone_secrets:
            raise UserFault(f"the PBX has no phone {name!r}", where="phones.yaml", fix="Add it, and restart the PBX")
        server = f"127.0.0.1:{pbx.sip_port}"
        account = (
            f"<sip:{name}@{server};transport=udp>;auth_user={name};auth_pass={pbx.phone_secrets[name]}"
            f";answermode=manual;regint=60;{_SOUND.format('PCMU')}"
        )
        async with cls._started(programs, server, account) as phone:
            async with asyncio.timeout(START_TIMEOUT_S):
                await phone._control.until(lambda seen: seen.registered is not None)
            if not phone._control.registered:
                raise UserFault(f"the PBX refused the phone {name}", where="phones.yaml", fix="Restart the PBX")
            yield phone

    @classmethod
    @contextlib.asynccontextmanager
    async def caller(
        cls, programs: Programs, pbx: PrivatePbx, number: str, *, name: str = "", port: int = 0
    ) -> AsyncIterator[SipPhone]:
        """A phone outside that calls in by the trunk, with ``number`` as its own and ``name`` as its display name.

        ``port`` is where it listens; where that is the trunk's port it can be called, by its number.
        """
        if not _USER.fullmatch(number) or not _NAME.fullmatch(name):
            raise UserFault(
                f"{number!r} {name!r} is not a caller", fix="Use digits for the number, and no quotes in the name"
            )
        server = f"127.0.0.1:{pbx.sip_port}"
        account = f'"{name}" <sip:{number}@{server};transport=udp>;regint=0;{_SOUND.format("PCMA")}'
        async with cls._started(programs, server, account, port) as phone:
            yield phone

    @classmethod
    @contextlib.asynccontextmanager
    async def _started(cls, programs: Programs, server: str, account: str, port: int = 0) -> AsyncIterator[SipPhone]:
        folder = Path(tempfile.mkdtemp(prefix="ctiserver-phone-"))
        process: Process | None = None
        control: Control | None = None
        try:
            for attempt in range(_STARTS):
                control_port = write(folder, programs, port)
                process = Process.spawn(
                    [*programs.command("baresip"), "-f", str(folder)], folder / "output", dies_with_us=True
                )
                try:
                    async with asyncio.timeout(START_TIMEOUT_S):
                        control = await connect(control_port, process)
                        # Not by the accounts file: it would have registered before anybody listened for whether it did.
                        await control.ask("uanew", account)
                    break
                except (PeerLost, TimeoutError) as error:
                    if control is not None:  # a port that was free was taken by somebody quicker
                        control.close()
                    await process.kill()
                    if attempt == _STARTS - 1:
                        raise UserFault(
                            f"the phone did not start: {last_words(folder)}", where="baresip", fix="See docs/how-to"
                        ) from error
            assert process is not None
            assert control is not None
            yield cls(control, folder, server, process)
        finally:
            if control is not None:
                control.close()
            if process is not None:
                await process.stop(_STOP_PATIENCE_S)
            shutil.rmtree(folder, ignore_errors=True)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def folder(self) -> Path:
        """Where its configuration, its words and what it heard lie while it lives."""
        return self._folder

    @property
    def talking(self) -> bool:
        return bool(self._control.established)

    @property
    def rung(self) -> int:
        """How often it was called."""
        return self._control.rung

    @property
    def keys_heard(self) -> str:
        """The keys that the other side has pressed, oldest first."""
        return self._control.keys

    async def dial(self, number: str) -> None:
        """Call ``number`` at the PBX; returns at once. Wait with :meth:`answered`."""
        if not _USER.fullmatch(number.replace("*", "").replace("#", "") or "0"):
            raise UserFault(f"{number!r} can't be dialled", fix="Use digits, * and #")
        await self._control.ask("dial", f"sip:{number.replace('#', '%23')}@{self._server}")

    async def answered(self, timeout_s: float = 20.0) -> None:
        """Wait until the call that was dialled last is answered, though it may have ended since.

        Raises CallFailed if it ends instead.
        """
        async with asyncio.timeout(timeout_s):
            await self._control.until(lambda seen: seen.answered or seen.dialled not in seen.calls)
        if not self._control.answered:
            raise CallFailed(f"the call was not answered: {self._control.reason}")

    async def ringing(self, timeout_s: float = 30.0) -> str:
        """Wait until the phone rings; returns who calls, as the user part of their address."""
        async with asyncio.timeout(timeout_s):
            await self._control.until(lambda seen: bool(seen.ringing))
        caller = next(iter(self._control.ringing.values()))
        return caller.removeprefix("sip:").partition("@")[0]

    async def rung_times(self, count: int, timeout_s: float = 30.0) -> None:
        """Wait until somebody has called ``count`` times since the phone was started, and rings now.

        Unlike :meth:`stopped_ringing` it misses no ring that begins right after another.
        """
        async with asyncio.timeout(timeout_s):
            await self._control.until(lambda seen: seen.rung >= count and bool(seen.ringing))

    async def stopped_ringing(self, timeout_s: float = 30.0) -> None:
        """Wait until the phone does not ring (any more)."""
        async with asyncio.timeout(timeout_s):
            await self._control.until(lambda seen: not seen.ringing)

    async def answer(self, timeout_s: float = 20.0) -> None:
        """Answer the call that rings, and wait until it stands."""
        await self._control.ask("accept")
        async with asyncio.timeout(timeout_s):
            await self._control.until(lambda seen: bool(seen.established))

    async def decline(self) -> None:
        """Refuse the call that rings."""
        await self._control.ask("hangup")

    async def hang_up(self) -> None:
        """End the call."""
        await self._control.ask("hangup")
        await self.ended()

    async def ended(self, timeout_s: float = 20.0) -> str:
        """Wait until no call is left; returns why the last one ended."""
        async with asyncio.timeout(timeout_s):
            await self._control.until(lambda seen: not seen.calls)
        return self._control.reason

    async def press(self, keys: str) -> None:
        """Press keys one after the other, as RFC 4733 events in the voice's stream."""
        if not _KEYS.fullmatch(keys):
            raise UserFault(f"{keys!r} are not keys", fix="Use 0-9 * # A-D")
        for key in keys:
            await self._control.ask("sndcode", key)
            await asyncio.sleep(_KEY_GAP_S)

    async def hold(self) -> None:
        """Put the other side on hold."""
        await self._control.ask("hold")

    async def resume(self) -> None:
        """Take it back."""
        # baresip 1.1 resumes the call, and says "Invalid argument" because there was no other to put on hold.
        with contextlib.suppress(CallFailed):
            await self._control.ask("resume")

    async def transfer(self, number: str) -> None:
        """Blind transfer by REFER."""
        if not _USER.fullmatch(number):
            raise UserFault(f"{number!r} can't be dialled", fix="Use digits")
        await self._control.ask("transfer", f"sip:{number}@{self._server}")

    async def say(self, speech: Path) -> None:
        """Speak a mono 16-bit WAV file into the call instead of the phone's tone; returns when it is said.

        Raises UserFault for another kind of file.
        """
        padded = self._folder / "speech.wav"
        duration_s = _for_source(speech, padded)
        await self._control.ask("ausrc", f"aufile,{padded}")
        await asyncio.sleep(duration_s)
        # Before the file's end: baresip ends the call when its source ends.
        await self._control.ask("ausrc", TONE)

    def heard_s(self) -> float:
        """How many seconds of sound, not silence, all its calls have brought so far."""
        return sum(_sound_s(dump) for dump in self._folder.glob("dump-*-dec.wav"))


def _sound_s(dump: Path) -> float:
    # The header's length is right only after the call; the samples are there before.
    data = dump.read_bytes()[_WAV_HEADER_BYTES:]
    samples = array.array("h", data[: len(data) // 2 * 2])
    if sys.byteorder == "big":
        samples.byteswap()
    step = HEARD_RATE_HZ // 10
    tenths = (samples[start : start + step] for start in range(0, len(samples) - step + 1, step))
    return sum(1 for part in tenths if sum(map(abs, part)) / step >= SOUND_LEVEL) / 10


def _for_source(speech: Path, to: Path) -> float:
    """Write ``speech`` at the source's rate with silence behind it; returns its seconds."""
    try:
        with wave.open(str(speech)) as source:
            if source.getnchannels() != 1 or source.getsampwidth() != 2 or SOURCE_RATE_HZ % source.getframerate():
                raise UserFault("is not mono 16-bit at 8, 16, 24 or 48 kHz", where=str(speech), fix="Convert it")
            samples = array.array("h", source.readframes(source.getnframes()))
            rate = int(source.getframerate())
    except (OSError, EOFError, wave.Error) as error:
        raise UserFault(f"can't be read as WAV ({error})", where=str(speech), fix="Name a WAV file") from error
    times = SOURCE_RATE_HZ // rate
    spread = array.array("h", bytes(2 * len(samples) * times))
    for offset in range(times):
        spread[offset::times] = samples
    with wave.open(str(to), "wb") as target:
        target.setparams((1, 2, SOURCE_RATE_HZ, 0, "NONE", ""))
        target.writeframes(spread.tobytes())
        target.writeframes(bytes(2 * SOURCE_RATE_HZ * 2))
    return len(samples) / rate
