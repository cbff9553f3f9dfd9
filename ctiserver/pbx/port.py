"""What features may ask of a PBX, and how it can fail. ``pbx.link`` is the real one; tests bring their own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Protocol

from ctiserver.errors import PbxRefused
from ctiserver.model.calls.tracking.standing import ChannelState
from ctiserver.model.events import PbxEvent
from ctiserver.model.ids import Interface, PbxName, QueueName, Uniqueid
from ctiserver.pbx.trouble import Trouble

__all__ = ["Pbx", "PbxRefused"]


class Pbx(Protocol):
    """One PBX.

    Every method raises PeerLost (no link, or it broke before the answer: whether the PBX acted is not known; nothing is
    sent again by itself), DeadlineExceeded (no answer in ``action_timeout_s``), PbxRefused, and UnsafeValue for a
    text with CR, LF or NUL, before anything is sent.
    """

    @property
    def name(self) -> PbxName:
        """Its name in ctiserver.yaml."""
        ...

    @property
    def up(self) -> bool:
        """Whether the link is up and what is known of the PBX is true."""
        ...

    @property
    def since(self) -> datetime:
        """Since when the link is what it is now: up, or down."""
        ...

    @property
    def trouble(self) -> Trouble | None:
        """What is wrong with it, link up or down; None: nothing is known to be."""
        ...

    async def read_tree(self, family: str) -> dict[str, str]:
        """All of a family in the PBX's own database (AstDB), by key."""
        ...

    async def set_global(self, name: str, value: str) -> None:
        """Set a global variable of the dialplan; a restart of the PBX forgets it."""
        ...

    async def delete_key(self, family: str, key: str) -> None:
        """Remove one key from AstDB; one that is not there is no error."""
        ...

    async def queue_add(
        self, queue: QueueName, interface: Interface, *, name: str, penalty: int, paused: bool = False, reason: str = ""
    ) -> None:
        """Seat a member in a queue; one that sits there already keeps its pause and gets the penalty."""
        ...

    async def queue_remove(self, queue: QueueName, interface: Interface) -> None:
        """End a member's seat; its call goes on. One that does not sit there is no error."""
        ...

    async def queue_pause(
        self, interface: Interface, *, paused: bool, reason: str, queue: QueueName | None = None
    ) -> None:
        """Pause or unpause a member, in one queue or in all."""
        ...

    async def queue_penalty(self, queue: QueueName, interface: Interface, penalty: int) -> None:
        """Set a member's penalty."""
        ...

    async def queue_withdraw(self, queue: QueueName, channel: str) -> None:
        """Take a waiting caller out of a queue; one that does not wait there (any more) is not an error."""
        ...

    async def originate(
        self,
        channel: str,
        *,
        channel_id: Uniqueid,
        context: str,
        exten: str,
        caller_number: str = "",
        caller_name: str = "",
        timeout_s: float = 30.0,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        """Call ``channel``, and once it answers send it to ``exten`` in ``context``.

        ``channel_id`` becomes the channel's uniqueid: asked twice with the same one, the PBX calls once. Returns when
        the PBX has taken the order; how it ends comes as the call's events.
        """
        ...

    async def hangup(self, channel: str, *, cause: int = 16) -> None:
        """End a channel, with a Q.850 cause. One that is gone is not an error."""
        ...

    async def redirect(self, channel: str, *, context: str, exten: str) -> None:
        """Send a channel to another extension: a blind transfer, or a caller out of a queue."""
        ...

    async def attended_transfer(self, channel: str, *, context: str, exten: str) -> None:
        """As if the person on ``channel`` had pressed the keys for an attended transfer to ``exten``."""
        ...

    async def blind_transfer(self, channel: str, *, context: str, exten: str) -> None:
        """Send those who talk with ``channel`` to another extension, as the person on it would by a blind transfer."""
        ...

    async def cancel_transfer(self, channel: str) -> None:
        """End the consultation of an attended transfer: the person on ``channel`` is back with the one who waits."""
        ...

    async def press(self, channel: str, keys: str) -> None:
        """As if the person on ``channel`` had pressed these keys."""
        ...

    def standings(self, interface: Interface) -> list[ChannelState]:
        """Every channel that a phone has now, those that talk first. Asks nobody: it is known from events."""
        ...

    def current_events(self) -> list[PbxEvent]:
        """What a new subscriber would be told: every seat in every queue, and of each call that goes on that it began,
        who waits, whom it rings, who talks. While the link is down, as it was last known. Asks nobody."""
        ...

    async def set_variable(self, channel: str, variable: str, value: str) -> None:
        """Set a variable of a channel."""
        ...

    async def variable(self, channel: str, name: str) -> str:
        """A variable of a channel; empty if it is not set, or if the channel is gone."""
        ...

    async def mute(self, channel: str, *, muted: bool) -> None:
        """Let nobody hear the person on ``channel``, or hear them again."""
        ...

    async def mute_recording(self, channel: str, *, muted: bool) -> bool:
        """Write silence, or sound again, into what MixMonitor records of a channel; False if nothing records it."""
        ...


def current_events(pbxs: Iterable[Pbx]) -> list[PbxEvent]:
    """What a new subscriber would be told of these PBXs."""
    return [event for pbx in pbxs for event in pbx.current_events()]
