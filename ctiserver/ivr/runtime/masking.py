"""What is recorded of a call, and what is masked in it."""

from __future__ import annotations

import hashlib

import structlog

from ctiserver.agi.session import Session
from ctiserver.ivr.language.requests import ControlAudio, Finish, Request
from ctiserver.ivr.runtime.deadlines import GRACE_S, PORT_TIMEOUT_S, while_on_line
from ctiserver.ivr.runtime.ports import PortFailed
from ctiserver.ivr.runtime.running import FlowContext, RunningCall
from ctiserver.model.ids import CallId

log = structlog.get_logger(__name__)


def is_sensitive(call: RunningCall, request: Request) -> bool:
    """Whether what is heard while this request is carried out is not to be in a recording."""
    return call.flow.nodes[call.state.node].is_sensitive and not isinstance(request, Finish)


async def toggle_mask(context: FlowContext, call: RunningCall) -> None:
    """Silence in the recordings while a sensitive node listens, sound again after it.

    Where silence can't be had the recording ends: what was to be masked is worth more than the rest.
    """
    session, mask = call.session, not call.masked
    if session is None:
        call.masked = mask
        return
    try:
        work = context.ports.control_audio(call.id, "hide" if mask else "show", context.line(session))
        await while_on_line(session, PORT_TIMEOUT_S, work, GRACE_S)
    except PortFailed as error:
        log.error("recording_not_masked" if mask else "recording_stays_masked", reason=str(error))
        if not mask:
            return  # tried again with the next request
        await session.execute("GOSUB", "cti-record", "stop", 1)
    call.masked = mask
    await session.set_variables({"CTI_REC_HIDDEN": "1" if mask else ""})


async def switch_recording(session: Session, request: ControlAudio) -> bool:
    """Start or stop the recording, which is the dialplan's; whether it is as it was asked."""
    if request.action not in ("start", "stop"):
        return True
    await session.execute("GOSUB", "cti-record", request.action, 1)
    return request.action == "stop" or bool(await session.get_variable("CTI_REC_FILE"))


def is_in_share(call: CallId, share: int) -> bool:
    """Whether a call belongs to a share in percent; the same each time it is asked."""
    return share > 0 and int.from_bytes(hashlib.sha256(call.encode()).digest()[:4], "big") % 100 < share
