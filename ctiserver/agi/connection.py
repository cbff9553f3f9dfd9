"""One of Asterisk's connections: the request first, then one reply to each command, and a hang-up at any time.

A plain protocol on the transport, not a stream: a reply wakes anyone who asked for it and nobody else, and a hang-up is
known when it comes, not when the next command is sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from ctiserver.agi.codec import AgiGarbage, HangupLine, Reply, ReplyReader, Request, RequestReader
from ctiserver.errors import CtiError, DeadlineExceeded
from ctiserver.listening.waiting_room import has_unread

#: How long what was written last may take to leave before the connection is cut.
_CLOSE_TIMEOUT_S = 1.0


class HungUp(CtiError):
    """There are no more commands on this session: the caller is gone, or the dialplan has the caller again.

    ``Session.caller_left`` tells which.
    """


class AgiConnection(asyncio.Protocol):
    """What comes in, cut into a request and replies.

    ``begun`` is called once the request is whole, ``refused`` if it never will be, ``ended`` when the connection is.
    """

    def __init__(
        self,
        header: RequestReader,
        *,
        admitted: Callable[[AgiConnection, object], bool],
        begun: Callable[[AgiConnection, Request], None],
        refused: Callable[[AgiConnection, str], None],
        ended: Callable[[AgiConnection], None],
        header_timeout_s: float,
    ) -> None:
        self.peer: object = None
        self.on_hangup: Callable[[], None] | None = None  #: called once, when there are no more commands
        self._header: RequestReader | None = header
        self._header_timeout_s = header_timeout_s
        self._admitted = admitted
        self._begun = begun
        self._refused = refused
        self._ended = ended
        self._replies = ReplyReader()
        self._asked: asyncio.Future[Reply] | None = None
        self._gone: CtiError | None = None
        self._said = False
        self._answered = False
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None  #: of the header, or of the end
        self._watch: asyncio.TimerHandle | None = None  #: for late replies
        self._due_at = 0.0

    @property
    def gone(self) -> CtiError | None:
        """Why there can be no more commands: HungUp, or AgiGarbage. None while there can."""
        return self._gone

    @property
    def said(self) -> bool:
        """Whether the channel itself said that it is hung up, to a server that it had answered before."""
        return self._said and self._answered

    def ask(self, line: bytes, within_s: float) -> asyncio.Future[Reply]:
        """Send one command; its reply, or HungUp, DeadlineExceeded, AgiGarbage.

        One at a time: Asterisk reads commands by stdio, and does not see a second line that came with the first.
        """
        loop = asyncio.get_running_loop()
        assert self._asked is None or self._asked.done(), "one command at a time"
        self._asked = asked = loop.create_future()
        if self._gone is not None or self._transport is None:
            asked.set_exception(self._gone or HungUp("the connection is not made"))
        else:
            self._transport.write(line)
            self._due_at = loop.time() + within_s
            if self._watch is not None and self._watch.when() > self._due_at:
                self._watch.cancel()
                self._watch = None
            if self._watch is None:
                self._watch = loop.call_at(self._due_at, self._look)
        return asked

    @property
    def has_unread(self) -> bool:
        """Whether something has come that has not been read yet."""
        return has_unread(self._transport)

    def close(self) -> None:
        """End the connection once what was written has left, or a second later."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.close()
            if self._transport.get_write_buffer_size():
                self._deadline = asyncio.get_running_loop().call_later(_CLOSE_TIMEOUT_S, self._transport.abort)

    def lose(self, why: CtiError, *, said: bool = False) -> None:
        """There are no more commands: anyone who waits for a reply, and :attr:`on_hangup`, learn of it.

        ``said``: by the channel itself.
        """
        if self._gone is not None:
            return
        self._gone, self._said = why, said
        if self._watch is not None:
            self._watch.cancel()
        if self._asked is not None and not self._asked.done():
            self._asked.set_exception(why)
        if self.on_hangup is not None:
            self.on_hangup()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport = cast(asyncio.Transport, transport)  # another loop's need not be a subclass
        self.peer = transport.get_extra_info("peername")
        if self._admitted(self, self.peer):
            self._deadline = asyncio.get_running_loop().call_later(
                self._header_timeout_s, self.refuse, "the AGI header did not come in time"
            )
        else:
            self._header = None
            transport.abort()

    def data_received(self, data: bytes) -> None:
        try:
            if self._header is None:
                for item in self._replies.feed(data):
                    self._take(item)
            elif (request := self._header.feed(data)) is not None:
                self._header = None
                self._no_deadline()
                self._begun(self, request)
        except AgiGarbage as garbage:
            if self._header is not None:
                self.refuse(str(garbage))
            else:
                self.lose(garbage)

    def connection_lost(self, error: Exception | None) -> None:
        self._no_deadline()
        if self._header is not None:
            self.refuse("the connection ended inside the header")
        self.lose(HungUp("Asterisk closed the session"))
        self._ended(self)

    def _take(self, item: Reply | HangupLine) -> None:
        if isinstance(item, HangupLine):
            self.lose(HungUp("the caller hung up"), said=True)
        elif self._gone is not None:
            pass  # the reply to what the hang-up cut short
        elif self._asked is None or self._asked.done():
            raise AgiGarbage("more replies than commands")
        else:
            self._answered = True
            self._asked.set_result(item)

    def _look(self) -> None:
        """Whether the reply is late: one timer for all commands, since nearly all are answered long before."""
        self._watch = None
        if self._asked is None or self._asked.done() or self._gone is not None:
            return
        loop = asyncio.get_running_loop()
        if loop.time() < self._due_at:
            self._watch = loop.call_at(self._due_at, self._look)
        else:
            self._asked.set_exception(DeadlineExceeded("Asterisk did not answer in time"))

    def refuse(self, reason: str) -> None:
        """End a connection whose header is not whole."""
        self._header = None
        self._no_deadline()
        self._refused(self, reason)
        if self._transport is not None:
            self._transport.abort()

    def _no_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
