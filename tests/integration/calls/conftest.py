"""Numbers to ring that need no server: straight into queues, dials and a conference."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from ctiserver.privatepbx.lifecycle import PrivatePbx
from tests.support.asterisk import pbx, programs, session_pbx

__all__ = ["pbx", "programs", "session_pbx"]

NUMBERS = {
    "cti-inbound": {
        "7001": ("Answer()", "Queue(repair,tT,,,20)", "Hangup()"),
        "7002": ("Answer()", "Queue(repair,tT,,,1)", "Queue(operators,tT,,,20)", "Hangup()"),
        "7003": ("Dial(PJSIP/agent1&PJSIP/agent2,15,tT)", "Hangup()"),
        "7004": ("Dial(PJSIP/agent1,2,tT)", "Hangup()"),
        "7005": ("Answer()", "ConfBridge(9)", "Hangup()"),
        "7006": ("Answer()", "Wait(0.3)", "Hangup()"),
        "7008": ("Answer()", "Set(CTI_VM_MAX_S=1)", "Gosub(cti-message,s,1)", "Hangup()"),
        "7009": ("Answer()", "Set(CTI_QUEUE=repair)", "Goto(cti-do,queue,1)"),
        "7007": ("Answer()", "Queue(operators,tT,,,20)", "Hangup()"),
    },
    "cti-phones": {
        "8001": ("PickupChan(PJSIP/agent1,p)", "Hangup()"),
        "8005": ("ConfBridge(9)", "Hangup()"),
        "8007": ("Queue(operators,tT,,,20)", "Hangup()"),
    },
}
FEATURES = "[general]\natxferdropcall = no\n[featuremap]\natxfer = *2\n"


@pytest_asyncio.fixture
async def numbers(pbx: PrivatePbx) -> AsyncIterator[PrivatePbx]:
    """The PBX with these numbers, and with attended transfer by the PBX's own feature."""
    for context, extensions in NUMBERS.items():
        for extension, steps in extensions.items():
            for priority, step in enumerate(steps, 1):
                await pbx.cli(f"dialplan add extension {extension},{priority},{step} into {context} replace")
    features = Path(pbx.console_command[pbx.console_command.index("-C") + 1]).parent / "features.conf"
    before = features.read_text()
    features.write_text(FEATURES)
    await pbx.cli("module reload features")
    yield pbx
    features.write_text(before)
    await pbx.cli("module reload features")
    for context, extensions in NUMBERS.items():
        for extension in extensions:
            await pbx.cli(f"dialplan remove extension {extension}@{context}")
