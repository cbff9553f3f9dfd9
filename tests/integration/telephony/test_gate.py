"""The PBX's own gate: whatever is sent to [cti-outbound], the trunk is asked for numbers of dialling.yaml's list alone."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from ctiserver.bus import Bus
from ctiserver.clock import SystemClock
from ctiserver.lab.privatepbx.lifecycle import PrivatePbx
from ctiserver.model.ids import PbxName
from ctiserver.pbx.codec import AmiMessage
from ctiserver.pbx.link import PbxLink
from ctiserver.settings import PbxSettings
from tests.support.eventually import eventually


@pytest.mark.parametrize(
    ("number", "goes"),
    [
        ("+8613800000001", True),
        ("+8616800000001", False),
        ("+19005551234", False),
        ("0019005551234", False),
        ("110", False),
        ("9", False),
        ("+86138x", False),
    ],
)
async def test_only_numbers_of_the_list_reach_the_trunk(pbx: PrivatePbx, number: str, goes: bool) -> None:
    await pbx.cli("dialplan add extension _+86!,1,NoOp() into cti-allowed replace")
    await pbx.cli("dialplan add extension _+8616!,1,NoOp() into cti-refused replace")
    heard: list[AmiMessage] = []
    link = PbxLink(
        PbxName("main"), PbxSettings(port=pbx.ami_port, secret=SecretStr(pbx.ami_secret)), Bus(), SystemClock()
    )
    try:
        async with link.asking(heard.append) as ask:
            await ask(
                "Originate",
                {"Channel": f"Local/{number}@cti-outbound/n", "Application": "Wait", "Data": "1", "Async": "true"},
            )
            if goes:
                await eventually(lambda: _asked(heard), within_s=20.0)
                await pbx.cli("channel request hangup all")
            else:
                await eventually(lambda: _refused(heard), within_s=20.0)
                assert await _asked(heard) == []
    finally:
        await pbx.cli("dialplan remove extension _+86!@cti-allowed")
        await pbx.cli("dialplan remove extension _+8616!@cti-refused")


async def _asked(heard: list[AmiMessage]) -> list[str]:
    """Channels of the trunk."""
    names = [one.get("Channel") for one in heard if one.name == "Newchannel"]
    return [name for name in names if name.startswith("PJSIP/")]


async def _refused(heard: list[AmiMessage]) -> bool:
    """Whether the gate ended the call: Q.850 cause 21, call rejected."""
    return any(one.name == "Hangup" and one.get("Cause") == "21" for one in heard)
