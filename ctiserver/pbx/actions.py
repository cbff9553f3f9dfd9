"""What may be asked of a PBX, in AMI's words."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import structlog

from ctiserver.errors import PbxRefused, UnsafeValue
from ctiserver.model.ids import Interface, QueueName, Uniqueid
from ctiserver.pbx.codec import AmiMessage

log = structlog.get_logger(__name__)


class Actions(ABC):
    """The half of a PBX's adapter that says what; the link says how. Errors: see ``pbx.port.Pbx``."""

    @abstractmethod
    async def _order(self, action: str, /, **fields: str | Sequence[str]) -> None:
        """Send an action; the link must be up for it, since it depends on what is known of the PBX."""

    @abstractmethod
    async def _answer(self, action: str, /, **fields: str) -> AmiMessage:
        """Send an action and give what the PBX answered."""

    @abstractmethod
    async def _list(self, action: str, /, **fields: str) -> list[AmiMessage]:
        """Ask for a list: all its rows, the response and the end left out."""

    async def read_tree(self, family: str) -> dict[str, str]:
        """All of a family in the PBX's own database (AstDB), by key."""
        prefix = f"/{family}/"
        return {
            row.get("Key").removeprefix(prefix): row.get("Val")
            for row in await self._list("DBGetTree", Family=family)
            if row.name == "DBGetTreeResponse" and row.get("Key").startswith(prefix)
        }

    async def set_global(self, name: str, value: str) -> None:
        """Set a global variable of the dialplan; a restart of the PBX forgets it. Raises UnsafeValue for a name that
        the dialplan would take apart. (The PBX's own database can't be written by AMI without the class ``system``.)
        """
        if set(name) & set("(),${}:"):
            raise UnsafeValue(f"{name} can't be a variable of the dialplan")
        await self._order("Setvar", Variable=name, Value=value)

    async def delete_key(self, family: str, key: str) -> None:
        """Remove one key from AstDB; one that is not there is no error.

        By a function in Setvar, since DBDel would need the class ``system``, with which an account may do anything.
        """
        if set(family + key) & set("(),${}"):
            raise UnsafeValue(f"{key!r} is not a key that can be removed")
        await self._order("Setvar", Variable=f"DB_DELETE({family}/{key})", Value="1")

    async def queue_add(
        self, queue: QueueName, interface: Interface, *, name: str, penalty: int, paused: bool = False, reason: str = ""
    ) -> None:
        """Seat a member in a queue; one that sits there already keeps its pause and gets the penalty."""
        try:
            await self._order(
                "QueueAdd",
                Queue=queue,
                Interface=interface,
                MemberName=name,
                Penalty=str(penalty),
                Paused="true" if paused else "false",
                **({"Reason": reason} if reason else {}),
            )
        except PbxRefused as refusal:
            if not str(refusal).endswith("Already there"):
                raise
            await self.queue_penalty(queue, interface, penalty)

    async def queue_remove(self, queue: QueueName, interface: Interface) -> None:
        """End a member's seat; its call goes on. One that does not sit there is no error."""
        try:
            await self._order("QueueRemove", Queue=queue, Interface=interface)
        except PbxRefused as refusal:
            if not str(refusal).endswith("Not there"):
                raise

    async def queue_pause(
        self, interface: Interface, *, paused: bool, reason: str, queue: QueueName | None = None
    ) -> None:
        """Pause or unpause a member, in one queue or in all."""
        where = {"Queue": queue} if queue else {}
        why = {"Reason": reason} if reason else {}
        await self._order("QueuePause", Interface=interface, Paused="true" if paused else "false", **where, **why)

    async def queue_penalty(self, queue: QueueName, interface: Interface, penalty: int) -> None:
        """Set a member's penalty."""
        await self._order("QueuePenalty", Queue=queue, Interface=interface, Penalty=str(penalty))

    async def queue_withdraw(self, queue: QueueName, channel: str) -> None:
        """Take a waiting caller out of a queue; one that does not wait there (any more) is not an error."""
        try:
            await self._order("QueueWithdrawCaller", Queue=queue, Caller=channel)
        except PbxRefused as refusal:
            log.info("nobody_to_withdraw", queue=queue, reason=str(refusal))

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
        shown = {"CallerID": f'"{caller_name}" <{caller_number}>'} if caller_number else {}
        if '"' in caller_name or any(bracket in caller_number for bracket in "<>"):
            raise UnsafeValue("a caller's name holds a quote, or a number a bracket; it was not sent to the PBX")
        for variable in variables or {}:
            if "=" in variable:
                raise UnsafeValue(f"{variable!r} is not a valid channel variable name")
        await self._order(
            "Originate",
            Channel=channel,
            ChannelId=channel_id,
            Context=context,
            Exten=exten,
            Priority="1",
            Async="true",
            Timeout=str(round(timeout_s * 1000)),
            Variable=[f"{key}={value}" for key, value in (variables or {}).items()],
            **shown,
        )

    async def hangup(self, channel: str, *, cause: int = 16) -> None:
        """End a channel, with a Q.850 cause. One that is gone is not an error."""
        try:
            await self._order("Hangup", Channel=channel, Cause=str(cause))
        except PbxRefused as refusal:
            if str(refusal) != "No such channel":
                raise

    async def redirect(self, channel: str, *, context: str, exten: str) -> None:
        """Send a channel to another extension: a blind transfer, or a caller out of a queue."""
        await self._order("Redirect", Channel=channel, Context=context, Exten=exten, Priority="1")

    async def attended_transfer(self, channel: str, *, context: str, exten: str) -> None:
        """As if the person on ``channel`` had pressed the keys for an attended transfer to ``exten``."""
        await self._order("Atxfer", Channel=channel, Context=context, Exten=exten)

    async def blind_transfer(self, channel: str, *, context: str, exten: str) -> None:
        """Send those who talk with ``channel`` to another extension, as the person on it would by a blind transfer."""
        await self._order("BlindTransfer", Channel=channel, Context=context, Exten=exten)

    async def cancel_transfer(self, channel: str) -> None:
        """End the consultation of an attended transfer: the person on ``channel`` is back with the one who waits."""
        await self._order("CancelAtxfer", Channel=channel)

    async def press(self, channel: str, keys: str) -> None:
        """As if the person on ``channel`` had pressed these keys."""
        for key in keys:
            await self._order("PlayDTMF", Channel=channel, Digit=key, Receive="true")

    async def set_variable(self, channel: str, variable: str, value: str) -> None:
        """Set a variable of a channel."""
        await self._order("Setvar", Channel=channel, Variable=variable, Value=value)

    async def variable(self, channel: str, name: str) -> str:
        """A variable of a channel; empty if it is not set, or if the channel is gone."""
        try:
            return (await self._answer("Getvar", Channel=channel, Variable=name)).get("Value")
        except PbxRefused as refusal:
            if str(refusal) != "No such channel":
                raise
            return ""

    async def mute(self, channel: str, *, muted: bool) -> None:
        """Let nobody hear the person on ``channel``, or hear them again.

        By a function in Setvar, since MuteAudio would need the class ``system``, with which an account may do anything.
        """
        await self.set_variable(channel, "MUTEAUDIO(in)", "on" if muted else "off")

    async def mute_recording(self, channel: str, *, muted: bool) -> bool:
        """Write silence, or sound again, into what MixMonitor records of a channel; False if nothing records it."""
        try:
            await self._order("MixMonitorMute", Channel=channel, Direction="both", State="1" if muted else "0")
        except PbxRefused as refusal:
            if str(refusal) not in ("Cannot set mute flag", "No such channel"):
                raise
            return False
        return True
