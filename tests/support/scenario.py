"""What call scenarios share: the numbers to ring, a floor with phones, and what must be as before when a call is over."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ctiserver.lab.privatepbx.lifecycle import PrivatePbx
from ctiserver.lab.privatepbx.phone import SipPhone
from ctiserver.lab.privatepbx.tree import Programs
from ctiserver.model.events import AgentRingEnded, AgentRinging, CallSummary
from ctiserver.model.ids import Interface, QueueName
from tests.support.asterisk import apart
from tests.support.asterisk_logs import cdrs, disagreements, queue_log
from tests.support.eventually import eventually
from tests.support.sipp_phone import SippPhone, sipp_phone
from tests.support.tracked import Tracked, tracked

REPAIR, OPERATORS = QueueName("repair"), QueueName("operators")
#: Rings each member for a second, in the order in which they took their seats.
QUICK, PAUSING = QueueName("quick"), QueueName("pausing")
AGENT1, AGENT2, AGENT3 = (Interface(f"PJSIP/agent{n}") for n in (1, 2, 3))

_QUEUES = """
[scenario](!)
strategy = linear
timeout = 1
retry = 1
wrapuptime = 0
ringinuse = no
joinempty = yes
leavewhenempty = no
[quick](scenario)
[pausing](scenario)
autopause = yes
"""
_NUMBERS = {
    "cti-inbound": {
        "7001": ("Answer()", "Queue(repair,tT,,,20)", "Hangup()"),
        "7002": ("Answer()", "Queue(quick,tT,,,1)", "Queue(operators,tT,,,20)", "Hangup()"),
        "7003": ("Dial(PJSIP/agent1&PJSIP/agent2,15,tT)", "Hangup()"),
        "7004": ("Dial(PJSIP/agent1,1,tT)", "Hangup()"),
        "7005": ("Answer()", "ConfBridge(9)", "Hangup()"),
        "7006": ("Answer()", "Wait(0.3)", "Hangup()"),
        "7007": ("Answer()", "Queue(operators,tT,,,20)", "Hangup()"),
        "7008": ("Answer()", "Set(CTI_VM_MAX_S=1)", "Gosub(cti-message,s,1)", "Hangup()"),
        "7009": ("Answer()", "Set(CTI_QUEUE=repair)", "Goto(cti-do,queue,1)"),
        "7010": ("Answer()", "Queue(quick,tT,,,20)", "Hangup()"),
        "7011": ("Answer()", "Queue(pausing,tT,,,20)", "Hangup()"),
        "7012": (
            *("Answer()", "Queue(quick,tT,,,2)"),
            "UserEvent(CtiQueueLeft,Key: ${CTI_KEY},Queue: quick,Status: ${QUEUESTATUS})",
            *("Set(CTI_VM_MAX_S=1)", "Gosub(cti-message,s,1)", "Hangup()"),
        ),
    },
    "cti-phones": {
        "8001": ("PickupChan(PJSIP/agent1,p)", "Hangup()"),
        "8005": ("ConfBridge(9)", "Hangup()"),
        "8007": ("Queue(operators,tT,,,20)", "Hangup()"),
    },
}


@contextmanager
def scenario_numbers(pbx: PrivatePbx) -> Iterator[PrivatePbx]:
    """The PBX with numbers that need no server: straight into queues, dials, a conference and a mailbox."""
    etc = Path(pbx.console_command[pbx.console_command.index("-C") + 1]).parent
    before = {name: (etc / name).read_text() for name in ("extensions.conf", "queues.conf")}
    dialplan = "".join(
        f"\n[{context}](+)\n"
        + "".join(
            f"exten => {extension},{priority},{step}\n"
            for extension, steps in extensions.items()
            for priority, step in enumerate(steps, 1)
        )
        for context, extensions in _NUMBERS.items()
    )
    (etc / "extensions.conf").write_text(before["extensions.conf"] + dialplan)
    (etc / "queues.conf").write_text(before["queues.conf"] + _QUEUES)
    _reload(pbx)
    yield pbx
    for name, text in before.items():
        (etc / name).write_text(text)
    _reload(pbx)


def _reload(pbx: PrivatePbx) -> None:
    apart(pbx.cli("dialplan reload"))
    apart(pbx.cli("queue reload all"))


@dataclass
class Floor:
    """A PBX with a link, and phones as a scenario asks for them."""

    seen: Tracked
    pbx: PrivatePbx
    programs: Programs
    stack: AsyncExitStack

    async def agent(self, name: str, *queues: QueueName) -> SipPhone:
        """An agent's phone, a member of these queues."""
        phone = await self.stack.enter_async_context(SipPhone.agent(self.programs, self.pbx, name))
        await self.seat(name, *queues)
        return phone

    async def scripted(self, name: str, scenario: Path, *queues: QueueName) -> SippPhone:
        """An agent's phone that does what a SIPp scenario says."""
        phone = await self.stack.enter_async_context(sipp_phone(self.programs, self.pbx, name, scenario))
        await self.seat(name, *queues)
        return phone

    async def seat(self, name: str, *queues: QueueName) -> None:
        for queue in queues:
            await self.seen.link.queue_add(queue, Interface(f"PJSIP/{name}"), name=name, penalty=0)

    async def caller(self, number: str = "13800138000") -> SipPhone:
        return await self.stack.enter_async_context(SipPhone.caller(self.programs, self.pbx, number))

    async def talk(self, seconds: float = 1.2) -> None:
        """People talk for a while: the log has whole seconds."""
        await asyncio.sleep(seconds)

    async def rung(self) -> Interface:
        """Wait until a phone rings; whose it is."""
        await self.seen.until(lambda events: any(isinstance(event, AgentRinging) for event in events))
        return next(event.interface for event in self.seen.events if isinstance(event, AgentRinging))

    async def channel(self, interface: Interface) -> str:
        """The one channel of a device."""
        names = [line.partition("!")[0] for line in (await self.pbx.cli("core show channels concise")).splitlines()]
        [channel] = [name for name in names if name.startswith(f"{interface}-")]
        return channel

    async def over(self, calls: int = 1, *, but: tuple[str, ...] = ()) -> list[CallSummary]:
        """The calls, once they have ended and Asterisk has written down the same; see :func:`disagreements`.

        ``but``: what is known to differ, because Asterisk says it differently.
        """
        found = await self.seen.ended(calls)
        for call in found:
            # Asterisk writes both logs a moment after it told us that the call is over.
            await eventually(lambda call=call: self._disagreements(call), lambda all_: all_ == list(but), within_s=10)  # type: ignore[misc]
        return found

    async def _disagreements(self, call: CallSummary) -> list[str]:
        return disagreements(
            call, queue_log(self.pbx, call.linkedids), cdrs(self.pbx, call.linkedids), self.rings_of(call)
        )

    def rings_of(self, call: CallSummary) -> list[AgentRingEnded]:
        """How the rings of a call ended, those of calls that it took in included."""
        return [
            event
            for event in self.seen.events
            if isinstance(event, AgentRingEnded) and (event.call_id == call.call_id or event.linkedid in call.linkedids)
        ]


@asynccontextmanager
async def open_floor(pbx: PrivatePbx, programs: Programs) -> AsyncIterator[Floor]:
    """A floor for one test; afterwards no task and no descriptor of ours is left that was not there before."""
    tasks, descriptors = others(), open_descriptors()
    async with tracked(pbx) as seen:
        async with AsyncExitStack() as stack:
            yield Floor(seen, pbx, programs, stack)
        for member in seen.link.members():
            await seen.link.queue_remove(member.queue, member.interface)
    assert others() <= tasks, "the test left tasks behind"
    # A closed transport lets go of its socket in the loop's next round.
    await eventually(_descriptors, lambda now: now <= descriptors)


def others() -> set[asyncio.Task[object]]:
    """All tasks but the one that asks: fixtures begin and end in tasks of their own."""
    return {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}


async def _descriptors() -> set[str]:
    return open_descriptors()


def open_descriptors() -> set[str]:
    """What this process has open, by descriptor; the folder that is read for it is not counted."""
    found = set()
    for entry in os.scandir("/proc/self/fd"):
        try:
            found.add(f"{entry.name} {os.readlink(entry.path)}")
        except OSError:
            continue
    return found


def kinds(call: CallSummary, party: str) -> list[str]:
    """What a party did, in order."""
    return [segment.kind for segment in call.segments if segment.party == party]
