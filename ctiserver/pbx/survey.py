"""What an Asterisk that nobody configured for us has, as far as an account with the least rights can see.

Such an account may not ask for modules or endpoints (class ``system``). What it may ask: which actions it is given,
the dialplan, queues, hints, device states, and the value of a function or a global variable.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from ctiserver.errors import PbxRefused
from ctiserver.model.ids import Interface
from ctiserver.pbx.codec import AmiMessage
from ctiserver.pbx.resync import Ask, allowed_actions
from ctiserver.pbx.trouble import CLASS_OF

#: Actions that the link, the agents and the flows need; an account that is not given all of them is too weak.
NEEDED_ACTIONS = tuple(CLASS_OF)
#: What the shipped dialplan uses, by the module that brings it.
NEEDED_MODULES = (
    "app_dial",
    "app_exec",
    "app_playback",
    "app_queue",
    "app_read",
    "app_record",
    "app_stack",
    "app_userevent",
    "format_wav",
    "func_callerid",
    "func_channel",
    "func_db",
    "func_dialplan",
    "func_logic",
    "func_strings",
    "func_timeout",
    "func_uri",
    "res_agi",
    "res_mutestream",
)
#: Global variables that the shipped dialplan reads.
GLOBALS = (
    *("CTI_AGI", "CTI_PBX", "CTI_DEADMAN_S", "CTI_QUEUE_FIRST"),
    *("CTI_VM_DIR", "CTI_REC_DIR", "CTI_TRUNK", "CTI_SOUNDS"),
)
#: A dialplan of FreePBX has tens of thousands of lines.
_LONG_LIST_S = 30.0
#: Devices of these technologies are telephones or lines; Local and Custom devices only lead to some.
_REAL = ("PJSIP/", "SIP/", "IAX2/", "DAHDI/")
_LOCAL = re.compile(r"Local/([^@/]+)@([^/]+)")
_DIALLED_TRUNK = re.compile(r"(?:PJSIP|SIP|IAX2)/[^@,&]*\$\{[^@,&]*@([\w.-]+)")
_INVALID = 4  # app_queue's number for a member whose device does not exist


#: What a survey may be unable to see.
Topic = Literal["version", "contexts", "hints", "queues", "endpoints", "modules"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundMember:
    """A seat in a queue."""

    interface: Interface  #: what the queue calls: a phone, or a Local channel that leads to one
    state_interface: str  #: what the queue watches: a device, or ``hint:extension@context``
    name: str
    penalty: int
    dynamic: bool
    phone: Interface | None  #: the real phone; None: it could not be found out
    known: bool  #: False: Asterisk has no such device


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundQueue:
    """A queue of app_queue."""

    name: str
    strategy: str  #: app_queue's word
    members: tuple[FoundMember, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """What the lamp of an extension shows: the state of these devices."""

    extension: str
    context: str
    devices: tuple[str, ...]

    @property
    def phone(self) -> Interface | None:
        """The telephone among its devices: FreePBX adds ``Custom:DND…`` and the like."""
        return next((Interface(device) for device in self.devices if device.startswith(_REAL)), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class PbxSurvey:
    """What was found. Whatever could not be seen is in ``unseen``, with why."""

    version: str = ""
    systemname: str = ""  #: of asterisk.conf, as far as it could be seen
    actions: frozenset[str] = frozenset()  #: those that the account may use
    queues: tuple[FoundQueue, ...] = ()
    hints: tuple[Hint, ...] = ()
    contexts: Mapping[str, frozenset[str]]  #: of the dialplan, each with its extensions
    phones: tuple[str, ...] = ()  #: endpoints that are telephones
    trunks: tuple[str, ...] = ()  #: endpoints that lead outside, as far as they give themselves away
    comes_in_by: Mapping[str, str] = field(default_factory=dict)  #: endpoint → the context its calls begin in
    globals: Mapping[str, str]  #: those of GLOBALS that are set
    missing_modules: tuple[str, ...] = ()
    unseen: Mapping[Topic, str] = field(default_factory=dict)

    @property
    def weak(self) -> tuple[str, ...]:
        """Actions that the account needs and is not given; empty as well while that is not known."""
        return tuple(action for action in NEEDED_ACTIONS if action not in self.actions) if self.actions else ()

    @property
    def members(self) -> tuple[FoundMember, ...]:
        """Everybody in any queue, each interface once."""
        return tuple({member.interface: member for queue in self.queues for member in queue.members}.values())

    def with_files(self, files: PbxSurvey) -> PbxSurvey:
        """What the PBX said, and from its files what it does not say to everybody."""
        return replace(
            self,
            phones=files.phones,
            trunks=files.trunks if "endpoints" not in files.unseen else self.trunks,
            comes_in_by=files.comes_in_by,
            missing_modules=files.missing_modules if "modules" in self.unseen else self.missing_modules,
            unseen={topic: why for topic, why in self.unseen.items() if topic in files.unseen},
        )


async def survey(ask: Ask) -> PbxSurvey:
    """Ask a PBX what it has.

    Raises PeerLost, DeadlineExceeded.
    """
    unseen: dict[Topic, str] = {"endpoints": "only an account with class system is shown them"}

    async def answers(topic: Topic, action: str, *, as_list: bool = True) -> list[AmiMessage]:
        try:
            return await ask(action, as_list=as_list, timeout_s=_LONG_LIST_S)
        except PbxRefused as refusal:
            unseen[topic] = f"{action} was refused: {refusal}"
            return []

    settings = await answers("version", "CoreSettings", as_list=False)
    actions = await allowed_actions(ask)
    hints = _hints(row for row in await answers("hints", "ExtensionStateList") if row.name == "ExtensionStatus")
    dialplan = [row for row in await answers("contexts", "ShowDialPlan") if row.name == "ListDialplan"]
    queues = found_queues(await answers("queues", "QueueStatus"), hints)
    devices = []
    if "DeviceStateList" in actions:  # its module is not loaded everywhere
        rows = await answers("endpoints", "DeviceStateList")
        devices = [row.get("Device") for row in rows if row.name == "DeviceStateChange"]
    phones = {hint.phone for hint in hints} | {member.phone for queue in queues for member in queue.members}
    return PbxSurvey(
        systemname=settings[0].get("SystemName") if settings else "",
        version=settings[0].get("AsteriskVersion") if settings else "",
        actions=actions,
        queues=queues,
        hints=hints,
        contexts=_contexts(dialplan),
        trunks=_trunks(dialplan, [device for device in devices if device not in phones]),
        globals={name: value for name in GLOBALS if (value := await variable(ask, name))},
        missing_modules=await _missing_modules(ask, actions, unseen),
        unseen=unseen,
    )


async def variable(ask: Ask, name: str) -> str:
    """The value of a global variable, or of a dialplan function that needs no channel; empty for none.

    Raises PbxRefused, PeerLost, DeadlineExceeded.
    """
    return (await ask("Getvar", {"Variable": name}))[0].get("Value")


async def device_state(ask: Ask, device: str) -> str:
    """What ``DEVICE_STATE`` says: ``INVALID`` for a device that does not exist, empty where nobody can say.

    Raises PbxRefused, PeerLost, DeadlineExceeded.
    """
    return await variable(ask, f"DEVICE_STATE({device})")


def found_queues(rows: Iterable[AmiMessage], hints: Iterable[Hint]) -> tuple[FoundQueue, ...]:
    """The queues that rows of ``QueueStatus`` tell of, with each member's real phone."""
    strategies: dict[str, str] = {}
    members: dict[str, list[FoundMember]] = {}
    table = tuple(hints)
    for row in rows:
        queue = row.get("Queue")
        if row.name == "QueueParams":
            strategies[queue] = row.get("Strategy")
            members.setdefault(queue, [])
        elif row.name == "QueueMember":
            interface, state = Interface(row.get("Location")), row.get("StateInterface")
            members.setdefault(queue, []).append(
                FoundMember(
                    interface=interface,
                    state_interface=state,
                    name=row.get("Name"),
                    penalty=int(row.get("Penalty") or 0),
                    dynamic=row.get("Membership") != "static",
                    phone=real_phone(interface, state, table),
                    known=row.get("Status") != str(_INVALID),
                )
            )
    return tuple(
        FoundQueue(name=name, strategy=strategies.get(name, ""), members=tuple(members[name]))
        for name in sorted(members)
    )


def real_phone(interface: str, state_interface: str, hints: Iterable[Hint]) -> Interface | None:
    """The phone that rings for a member, as events will name it; None if neither hint nor name tells.

    FreePBX calls ``Local/101@from-queue/n`` and watches ``hint:101@ext-local``, whose hint is ``PJSIP/101``.
    """
    for device in (interface, state_interface):
        if device.startswith(_REAL):
            return Interface(device)
    table = tuple(hints)
    extension, _, context = state_interface.removeprefix("hint:").partition("@")
    if state_interface.startswith("hint:"):
        found = {hint.phone for hint in table if hint.extension == extension and context in ("", hint.context)}
    else:
        local = _LOCAL.match(interface)
        found = {hint.phone for hint in table if local is not None and hint.extension == local[1]}
    found.discard(None)
    return found.pop() if len(found) == 1 else None


def _hints(rows: Iterable[AmiMessage]) -> tuple[Hint, ...]:
    return tuple(
        Hint(
            extension=row.get("Exten"),
            context=row.get("Context"),
            devices=tuple(device for device in row.get("Hint").partition(",")[0].split("&") if device),
        )
        for row in rows
    )


def _contexts(dialplan: Iterable[AmiMessage]) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for row in dialplan:
        extensions = found.setdefault(row.get("Context"), set())
        if row.get("Extension"):
            extensions.add(row.get("Extension"))
    return {name: frozenset(found[name]) for name in sorted(found)}


def _trunks(dialplan: Iterable[AmiMessage], devices: Iterable[str]) -> tuple[str, ...]:
    """Devices that are nobody's phone, and those by which the dialplan dials what was dialled."""
    found = {device.partition("/")[2] for device in devices if device.startswith(_REAL)}
    for row in dialplan:
        if row.get("Application") == "Dial":
            found.update(_DIALLED_TRUNK.findall(row.get("AppData")))
    return tuple(sorted(found))


async def _missing_modules(ask: Ask, actions: frozenset[str], unseen: dict[Topic, str]) -> tuple[str, ...]:
    if "QueueStatus" in actions and await _loaded(ask, "app_queue"):
        return tuple([module for module in NEEDED_MODULES if not await _loaded(ask, module)])
    # Without func_module, IFMODULE says no for a module that is there as well.
    unseen["modules"] = "only an account with class system is shown them, or one where func_module is loaded"
    return ("app_queue",) if actions and "QueueStatus" not in actions else ()


async def _loaded(ask: Ask, module: str) -> bool:
    try:
        return await variable(ask, f"IFMODULE({module}.so)") == "1"
    except PbxRefused:
        return False
