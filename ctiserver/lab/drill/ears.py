"""What some callers hear: when sound came, and when none did.

Asterisk sends packets only while there is something to hear, so that a gap in them is silence.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field

from ctiserver.lab.drill.stories import Story

#: Shorter than this is not a gap: prompts have pauses between them.
_GAP_S = 0.5


@dataclass
class Ear(asyncio.DatagramProtocol):
    """One caller's. Times are seconds since 1970."""

    port: int = 0
    first_at: float = 0.0
    last_at: float = 0.0
    gaps: list[tuple[float, float]] = field(default_factory=list)

    def datagram_received(self, data: bytes, addr: object) -> None:
        now = time.time()
        self.first_at = self.first_at or now
        if self.last_at and now - self.last_at > _GAP_S:
            self.gaps.append((self.last_at, now))
        self.last_at = now

    def longest_silence(self, story: Story) -> tuple[float, float]:
        """How long was the longest time without sound, and when it began: from the answer on, until an agent (who says
        nothing here) talks or the caller is to speak after a beep. Who was not answered heard nothing all the time."""
        gone_at = story.ended_at or time.time()
        if story.answered_at is None:
            return gone_at - story.rang_at, story.rang_at
        # What came before the answer came from somebody else on this machine.
        silent = [(max(begin, story.answered_at), min(end, gone_at)) for begin, end in self.gaps]
        if story.stage(self.last_at) != "message":  # else the beep was the last, and the caller is to speak
            silent.append((max(self.last_at, story.answered_at), gone_at))
        if self.first_at:
            silent.append((story.answered_at, max(story.answered_at, self.first_at)))
        return max(
            ((_outside_talk(story, begin, end), begin) for begin, end in silent if begin <= end), default=(0.0, gone_at)
        )


def _outside_talk(story: Story, begin: float, end: float) -> float:
    """How much of a gap lies before the caller talked: the person who talks is not in silence for want of us."""
    talks = [at for at, stage in story.stages if stage == "talk"]
    if not talks or end <= talks[0]:
        return end - begin
    return max(0.0, talks[0] - begin)


@contextlib.asynccontextmanager
async def ears(numbers: Iterable[str]) -> AsyncIterator[dict[str, Ear]]:
    """A listening port on 127.0.0.1 for each of these callers."""
    loop = asyncio.get_running_loop()
    async with contextlib.AsyncExitStack() as stack:
        made: dict[str, Ear] = {}
        for number in numbers:
            transport, ear = await loop.create_datagram_endpoint(Ear, local_addr=("127.0.0.1", 0))
            stack.callback(transport.close)
            ear.port = transport.get_extra_info("sockname")[1]
            made[number] = ear
        yield made
