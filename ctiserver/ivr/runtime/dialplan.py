"""The words between a flow and the dialplan: the channel variables of a hand-over, and ``CTI_RESULT`` that comes back.

dialplan/cti.conf lists them, and who sets which.
"""

from __future__ import annotations

from collections.abc import Mapping

from ctiserver.ivr.language.requests import HandedBack, HandOver
from ctiserver.model.expression.expression import Value

Variables = dict[str, str | int]

#: ``CTI_RESULT`` of a caller who was promised a call back.
PROMISED = "callback:OK"

#: How app_queue, app_dial and app_record say that they ended, and what that is to a flow; others are an error.
_QUEUE = {
    "TIMEOUT": "timeout",
    "FULL": "full",
    "JOINEMPTY": "empty",
    "LEAVEEMPTY": "empty",
    "JOINUNAVAIL": "empty",
    "LEAVEUNAVAIL": "empty",
    "CONTINUE": "agent_hung_up",
    "WITHDRAW": "timeout",
}
_DIAL = {
    "ANSWER": "bye",
    "NOANSWER": "nobody",
    "BUSY": "nobody",
    "CHANUNAVAIL": "nobody",
    "CONGESTION": "nobody",
    "DONTCALL": "nobody",
    "TORTURE": "nobody",
    "CANCEL": "nobody",
}
_VOICEMAIL = {"DTMF": "ok", "SILENCE": "ok", "TIMEOUT": "ok", "OPERATOR": "ok", "HANGUP": "ok"}
_RESULTS: Mapping[str, Mapping[str, str]] = {"queue": _QUEUE, "dial": _DIAL, "voicemail": _VOICEMAIL}


def handed_back(result: str) -> HandedBack:
    """``CTI_RESULT`` as the engine's answer: ``queue:TIMEOUT:3``, ``voicemail:DTMF:/file`` and so on."""
    did, _, rest = result.partition(":")
    status, _, more = rest.partition(":")
    facts: dict[str, Value] = {"reason": f"{did} {status}"}
    if did == "queue" and more.isdecimal():
        facts["place"] = int(more)
    if did == "voicemail" and more:
        facts["file"] = more
    return HandedBack(_RESULTS.get(did, {}).get(status, "error"), facts)


def has_served(result: str) -> bool:
    """Whether a caller of whom ``CTI_RESULT`` says this needs nobody any more, unless they say so.

    The same as the fallback holds (dialplan/fallback.conf).
    """
    did, _, rest = result.partition(":")
    status = rest.partition(":")[0]
    return (did, status) in (("queue", "CONTINUE"), ("dial", "ANSWER")) or (
        did in ("voicemail", "callback") and status != "ERROR"
    )


def for_queue(request: HandOver) -> Variables:
    """To wait in a queue. Without ``timeout_s`` there is no limit; ``goes_on``: at the limit the caller hears something
    and waits on, so that the queue is not left by it."""
    timeout_s = float(request.options["timeout_s"])
    return {
        "CTI_QUEUE": request.target,
        "CTI_QUEUE_TIMEOUT": round(timeout_s) if timeout_s else "",
        "CTI_QUEUE_BREAK": "1" if request.options["goes_on"] else "",
        "QUEUE_PRIO": int(request.options["priority"]),
    }


def for_voicemail(request: HandOver) -> Variables:
    """To leave a message."""
    return {"CTI_VM_MAX_S": round(float(request.options["max_s"]))}


def for_dial(request: HandOver, target: str, announced: str) -> Variables:
    """To talk with ``target``, as Dial() takes it. ``announced``: the files, between &, that whoever is dialled hears
    before the key that accepts the call."""
    accept = str(request.options.get("accept_key", ""))
    if accept and announced:
        accept += f"^{announced}"
    queue = request.options.get("queue")
    return {
        **({} if queue is None else {"CTI_QUEUE": str(queue)}),
        "CTI_DIAL": target,
        "CTI_DIAL_TIMEOUT": round(float(request.options["ring_s"])),
        "CTI_DIAL_OPTIONS": f"U(cti-accept^{accept})" if accept else "",
    }
