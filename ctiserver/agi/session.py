"""One call's AGI session: commands with deadlines, and one :class:`HungUp` however Asterisk says it."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

from ctiserver.agi.codec import Reply, Request, command
from ctiserver.agi.connection import AgiConnection, HungUp
from ctiserver.errors import CtiError, DeadlineExceeded, UnsafeValue

__all__ = ["CommandRefused", "HungUp", "PromptMissing", "Session"]

#: How long beyond its longest time a command may keep us waiting before the session is given up.
_REPLY_TIMEOUT_S = 5.0
#: Shares of the margin. A command is sent without a renewal of the dead-man if this much would be left after it, …
_ENOUGH = 0.4
#: … and while the server works, the dead-man is put off to so many margins whenever fewer than this are left.
_LOW, _PUT_OFF = 0.75, 1.5
#: By how many seconds the dead-man may lie too far off for a command before it is brought nearer.
_NEAR_S = 0.05
#: How much earlier than by our clock the dead-man may strike: Asterisk counts whole milliseconds of the wall clock.
_EARLY_S = 0.05
#: What separates, quotes or is filled in between the arguments of an application.
_APART = re.compile(r"[,\"'\\$]")


class CommandRefused(CtiError):
    """Asterisk refused the command: it does not know it, or its syntax is wrong."""


class PromptMissing(CtiError):
    """Asterisk could not play this file: it is not there, or in no format that it reads. The caller is still on."""


class Session:
    """Commands to one channel, one at a time.

    The channel's absolute time-out is the dead-man: a server that hangs does not renew it, and the dialplan's ``T``
    extension takes the caller over. Before a command that takes time it is set to that command's longest time and
    ``margin_s``; while the server itself works (:meth:`working`) it is put off again and again. So the caller of a
    server that hangs waits until the end of the running command and ``margin_s`` at most, or one and a half of them
    where no command runs. The dialplan clears what :meth:`hand_back` leaves of it; :meth:`release` clears it itself.

    ``dead_man_s`` is what the dialplan has set it to before it asked; None where it does not say.

    Asterisk (22.10) says the same when the dead-man strikes as when the caller hangs up, ``HANGUP`` or ``result=-1``
    and ``HANGUP``: only the time tells one from the other, and :attr:`caller_left` looks at it. A true hang-up never is
    a mere end of the connection.
    """

    def __init__(
        self,
        request: Request,
        connection: AgiConnection,
        *,
        margin_s: float,
        dead_man_s: float | None,
        monotonic: Callable[[], float],
    ) -> None:
        self.request = request
        self._connection = connection
        self._margin_s = margin_s
        self._monotonic = monotonic
        self._dead_man = True
        self._expires_at: float | None = None if dead_man_s is None else monotonic() + dead_man_s
        self._held_until = self._expires_at  #: the same, but of what Asterisk has confirmed
        self._renewal: asyncio.Future[Reply] | None = None  #: one that nobody waits for yet

    @property
    def hung_up(self) -> bool:
        """Whether there are no more commands."""
        return self._connection.gone is not None

    @property
    def caller_left(self) -> bool:
        """Of a session that is over: whether the caller is certainly gone, now.

        The channel has said so, and before the dead-man could strike. Otherwise the caller may be in the fallback's
        hands: a connection that merely ended tells nothing (a hang-up says ``HANGUP`` first), nor does one that never
        answered us, nor a word that a stopped server hears long after.
        """
        in_time = self._held_until is not None and self._monotonic() < self._held_until - _EARLY_S
        return self._connection.said and in_time

    async def execute(self, name: str, *arguments: str | int | float, longest_s: float = 0.0) -> Reply:
        """Run one command that may take up to ``longest_s`` seconds by its nature, and give its reply.

        Raises HungUp (HANGUP line, 511, end of the connection), CommandRefused (510, 520), DeadlineExceeded,
        AgiGarbage, UnsafeValue. ``result=-1`` is left to the caller of this method: its sense depends on the command.
        """
        line = command(name, *arguments)
        await self.hold(longest_s)
        return await self._ask(name, line, longest_s)

    async def hold(self, seconds: float) -> None:
        """See to it that the dead-man lies beyond ``seconds`` from now by one margin at most, if they are any."""
        if not self._dead_man:
            return
        left = self._left()
        if left >= seconds + _ENOUGH * self._margin_s and (not seconds or left <= seconds + self._margin_s + _NEAR_S):
            return
        set_to = round(seconds + self._margin_s, 2)
        self._expires_at = expires_at = self._monotonic() + set_to
        await self._ask("SET AUTOHANGUP", command("SET AUTOHANGUP", set_to), 0.0)
        self._held_until = expires_at

    @contextmanager
    def working(self, grace_s: float = 0.0) -> Iterator[None]:
        """A block in which the server waits for something else than the caller, such as the store.

        The dead-man is kept away meanwhile. When the caller hangs up the block is cancelled, ``grace_s`` later, and
        raises HungUp.
        """
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        before = task.cancelling()
        left = False
        timers: dict[str, asyncio.TimerHandle] = {}

        def leave() -> None:
            nonlocal left
            left = True
            task.cancel()

        def gone() -> None:
            timers["leave"] = loop.call_later(grace_s, leave)

        def renew() -> None:
            if self._renewal is None or self._renewal.done():
                self._renew()
            watch()

        def watch() -> None:
            if self._dead_man:
                timers["renew"] = loop.call_later(max(0.0, self._left() - _LOW * self._margin_s), renew)

        self._connection.on_hangup = gone
        if self._connection.gone is not None:
            gone()
        else:
            watch()
        try:
            yield
        except asyncio.CancelledError:
            if left and task.uncancel() <= before and self._connection.gone is not None:
                raise self._connection.gone from None
            raise
        finally:
            self._connection.on_hangup = None
            for timer in timers.values():
                timer.cancel()

    async def release(self) -> None:
        """Clear the dead-man: from here on the dialplan carries the call."""
        if self._dead_man:
            await self._ask("SET AUTOHANGUP", command("SET AUTOHANGUP", 0), 0.0)
        self._dead_man, self._held_until = False, math.inf

    async def hand_back(self, variables: Mapping[str, str | int]) -> None:
        """The last act of a session, in one command: ``variables``, and at the very end the mark CTI_DONE.

        The dead-man stands until the dialplan goes on: a server that hangs before the connection is closed would else
        keep the caller. Raises as :meth:`set_variables` does.
        """
        left = f"{self._margin_s:g}" if self._dead_man else 0
        self._dead_man = False
        await self.set_variables({**variables, "TIMEOUT(absolute)": left, "CTI_DONE": 1})

    async def set_variable(self, name: str, value: str | int | float) -> None:
        """Set a channel variable. Raises as :meth:`execute` does."""
        await self.execute("SET VARIABLE", name, value)

    async def set_variables(self, variables: Mapping[str, str | int], *, ahead_s: float | None = None) -> None:
        """Set several channel variables in one command, and the dead-man for a next command of up to ``ahead_s``.

        Raises UnsafeValue for what MSet() would take apart.
        """
        if not variables:
            return
        for name, value in variables.items():
            if _APART.search(str(value)):
                raise UnsafeValue(f"{name} holds a comma, a quote, a backslash or a dollar sign")
        pairs = [f"{name}={value}" for name, value in variables.items()]
        await self.hold(0.0)
        if self._dead_man and ahead_s is not None:
            set_to = round(ahead_s + self._margin_s, 2)
            self._expires_at = self._monotonic() + set_to
            pairs.append(f"TIMEOUT(absolute)={set_to}")
        expires_at = self._expires_at
        await self._ask("EXEC MSet", command("EXEC", "MSet", ",".join(pairs)), 0.0)
        self._held_until = expires_at

    async def get_variable(self, name: str) -> str | None:
        """A channel variable's value, None if it is not set. ``name`` may hold functions: ``CHANNEL(state)``."""
        return (await self.execute("GET FULL VARIABLE", f"${{{name}}}")).text

    async def answer(self) -> None:
        """Answer the channel. Asterisk waits up to half a second for the first voice packet."""
        self._alive(await self.execute("ANSWER", longest_s=0.5))

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
            self._alive(await self.execute("CHANNEL STATUS"))
            if reply.number < 0 or reply.endpos == 0:
                raise PromptMissing(f"Asterisk can't play {path}")
        return (chr(reply.number) if reply.number > 0 else ""), reply.endpos or 0

    async def beep(self) -> None:
        """Play Asterisk's own beep, where something else could not be played. Raises HungUp."""
        with suppress(PromptMissing):
            await self.stream_file("beep", "", longest_s=2.0)

    async def wait_for_digit(self, timeout_s: float) -> str:
        """The next key, or "" if none is pressed within ``timeout_s``."""
        reply = self._alive(await self.execute("WAIT FOR DIGIT", max(1, round(timeout_s * 1000)), longest_s=timeout_s))
        return chr(reply.number) if reply.number > 0 else ""

    def _alive(self, reply: Reply) -> Reply:
        if reply.number < 0:
            self._connection.lose(HungUp("the caller hung up"), said=True)
            raise HungUp("the caller hung up")
        return reply

    def _left(self) -> float:
        """Seconds until the dead-man strikes, as far as is known; it may be a little more."""
        return 0.0 if self._expires_at is None else self._expires_at - self._monotonic()

    def _renew(self) -> None:
        """Put the dead-man off while somebody else is waited for; the next command waits for the reply."""
        set_to = round(_PUT_OFF * self._margin_s, 2)
        self._expires_at = expires_at = self._monotonic() + set_to
        self._renewal = self._connection.ask(command("SET AUTOHANGUP", set_to), _REPLY_TIMEOUT_S)

        def answered(renewal: asyncio.Future[Reply]) -> None:
            # If it failed, the connection did, and the next command says so.
            if not renewal.cancelled() and renewal.exception() is None:
                self._held_until = expires_at

        self._renewal.add_done_callback(answered)

    async def _ask(self, name: str, line: bytes, longest_s: float) -> Reply:
        if self._renewal is not None:
            renewal, self._renewal = self._renewal, None
            _checked("SET AUTOHANGUP", await renewal)
        try:
            reply = await self._connection.ask(line, longest_s + _REPLY_TIMEOUT_S)
        except DeadlineExceeded as error:
            raise DeadlineExceeded(f"{name}: {error}") from None
        if reply.code == 511:
            self._connection.lose(HungUp("the channel is dead"), said=True)
            raise HungUp("the channel is dead")
        return _checked(name, reply)


def _checked(name: str, reply: Reply) -> Reply:
    if reply.code not in (200, 511):
        raise CommandRefused(f"Asterisk refused {name}: {reply.code} {reply.usage}".strip())
    return reply
