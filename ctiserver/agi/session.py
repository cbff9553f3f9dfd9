"""One call's AGI session: commands with deadlines, and one :class:`HungUp` however Asterisk says it."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Callable, Mapping

from ctiserver.agi.codec import AgiGarbage, HangupLine, Reply, ReplyReader, Request, command
from ctiserver.errors import CtiError, DeadlineExceeded, UnsafeValue

#: How long beyond its longest time a command may keep us waiting before the session is given up.
_REPLY_TIMEOUT_S = 5.0
#: How many margins beyond what is needed the dead-man may lie. A renewal is a command of its own, dearer than most of
#: those that it protects; but each margin is a second of silence for the caller of a server that hangs.
_SLACK = 2
#: What separates, quotes or is filled in between the arguments of an application.
_APART = re.compile(r"[,\"'\\$]")


class HungUp(CtiError):
    """The caller is gone; there are no more commands on this session."""


class CommandRefused(CtiError):
    """Asterisk refused the command: it does not know it, or its syntax is wrong."""


class PromptMissing(CtiError):
    """Asterisk could not play this file: it is not there, or in no format that it reads. The caller is still on."""


class Session:
    """Commands to one channel, one at a time.

    Every command first makes sure that the channel's absolute time-out lies ``margin_s`` (up to seven of them)
    beyond the command's longest time, so that a server that hangs costs the caller seven seconds at most: the
    dialplan's ``T`` extension takes over. :meth:`hand_back` or :meth:`release` clears it before the call is handed
    over.
    """

    def __init__(
        self,
        request: Request,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        margin_s: float,
        monotonic: Callable[[], float],
    ) -> None:
        self.request = request
        self._reader = reader
        self._writer = writer
        self._replies = ReplyReader()
        self._ready: list[Reply] = []
        self._margin_s = margin_s
        self._dead_man = True
        self._monotonic = monotonic
        self._expires_at: float | None = None
        self._hung_up = False

    @property
    def hung_up(self) -> bool:
        """Whether the caller is known to be gone."""
        return self._hung_up

    async def execute(self, name: str, *arguments: str | int | float, longest_s: float = 0.0) -> Reply:
        """Run one command that may take up to ``longest_s`` seconds by its nature, and give its reply.

        Raises HungUp (HANGUP line, 511, end of the connection), CommandRefused (510, 520), DeadlineExceeded,
        AgiGarbage, UnsafeValue. ``result=-1`` is left to the caller of this method: its sense depends on the command.
        """
        line = command(name, *arguments)
        await self.hold(longest_s)
        return await self._ask(name, line, longest_s)

    async def hold(self, seconds: float) -> None:
        """Keep the dead-man away for ``seconds`` from now, while the server thinks or waits for somebody else."""
        if not self._dead_man:
            return
        needed = seconds + self._margin_s
        left = self._expires_at - self._monotonic() if self._expires_at is not None else -1.0
        if needed <= left <= needed + _SLACK * self._margin_s:
            return  # close enough: a call of many short commands needn't pay for each
        whole = math.ceil(needed + _SLACK / 2 * self._margin_s)
        await self._ask("SET AUTOHANGUP", command("SET AUTOHANGUP", whole), 0.0)
        self._expires_at = self._monotonic() + whole

    async def release(self) -> None:
        """Clear the dead-man: from here on the dialplan carries the call."""
        if self._dead_man and self._expires_at is not None:
            await self._ask("SET AUTOHANGUP", command("SET AUTOHANGUP", 0), 0.0)
            self._expires_at = None
        self._dead_man = False

    async def hand_back(self, variables: Mapping[str, str | int]) -> None:
        """The last act of a session, in one command: ``variables``, no dead-man, and at the very end the mark CTI_DONE.

        Raises as :meth:`set_variables` does.
        """
        self._dead_man = False
        await self.set_variables({**variables, "TIMEOUT(absolute)": 0, "CTI_DONE": 1})

    async def set_variable(self, name: str, value: str | int | float) -> None:
        """Set a channel variable. Raises as :meth:`execute` does."""
        await self.execute("SET VARIABLE", name, value)

    async def set_variables(self, variables: Mapping[str, str | int]) -> None:
        """Set several channel variables in one command. Raises UnsafeValue for what MSet() would take apart."""
        for name, value in variables.items():
            if _APART.search(str(value)):
                raise UnsafeValue(f"{name} holds a comma, a quote, a backslash or a dollar sign")
        if variables:
            await self.execute("EXEC", "MSet", ",".join(f"{name}={value}" for name, value in variables.items()))

    async def get_variable(self, name: str) -> str | None:
        """A channel variable's value, None if it is not set. ``name`` may hold functions: ``CHANNEL(state)``."""
        return (await self.execute("GET FULL VARIABLE", f"${{{name}}}")).text

    async def answer(self) -> None:
        """Answer the channel. Asterisk waits up to half a second for the first voice packet."""
        self._alive(await self.execute("ANSWER", longest_s=1.0))

    async def stream_file(
        self, path: str, escape: str, *, offset: int = 0, longest_s: float = 600.0
    ) -> tuple[str, int]:
        """Play a file (without its extension) until it ends or a key of ``escape`` is pressed.

        Returns the key ("" if none) and the position in samples where it stopped. Raises PromptMissing when the file
        can't be played while the channel lives, HungUp when it does not.
        """
        reply = await self.execute("STREAM FILE", path, escape, offset, longest_s=longest_s)
        if reply.number < 0 or (reply.number == 0 and reply.endpos == 0 and offset == 0):
            # Asterisk answers a missing file in the same words as a hang-up: only the channel's state tells.
            status = await self.execute("CHANNEL STATUS")
            if status.number < 0:
                self._hung_up = True
                raise HungUp("the caller hung up")
            if reply.number < 0 or reply.endpos == 0:
                raise PromptMissing(f"Asterisk can't play {path}")
        return (chr(reply.number) if reply.number > 0 else ""), reply.endpos or 0

    async def wait_for_digit(self, timeout_s: float) -> str:
        """The next key, or "" if none is pressed within ``timeout_s``."""
        reply = self._alive(await self.execute("WAIT FOR DIGIT", max(1, round(timeout_s * 1000)), longest_s=timeout_s))
        return chr(reply.number) if reply.number > 0 else ""

    def _alive(self, reply: Reply) -> Reply:
        if reply.number < 0:
            self._hung_up = True
            raise HungUp("the caller hung up")
        return reply

    async def _ask(self, name: str, line: bytes, longest_s: float) -> Reply:
        if self._hung_up:
            raise HungUp("the caller hung up")
        try:
            async with asyncio.timeout(longest_s + _REPLY_TIMEOUT_S):
                self._writer.write(line)
                await self._writer.drain()
                reply = await self._next_reply()
        except TimeoutError:
            raise DeadlineExceeded(
                f"Asterisk did not answer {name} within {longest_s + _REPLY_TIMEOUT_S:g} s"
            ) from None
        except ConnectionError:
            self._hung_up = True
            raise HungUp("Asterisk closed the session") from None
        if reply.code == 511:
            self._hung_up = True
            raise HungUp("the channel is dead")
        if reply.code != 200:
            raise CommandRefused(f"Asterisk refused {name}: {reply.code} {reply.usage}".strip())
        return reply

    async def _next_reply(self) -> Reply:
        while not self._ready:
            data = await self._reader.read(4096)
            if not data:
                self._hung_up = True
                raise HungUp("Asterisk closed the session")
            for item in self._replies.feed(data):
                if isinstance(item, HangupLine):
                    self._hung_up = True
                else:
                    self._ready.append(item)
            if self._hung_up:
                raise HungUp("the caller hung up")
        reply = self._ready.pop(0)
        if self._ready:
            raise AgiGarbage("more replies than commands")
        return reply
