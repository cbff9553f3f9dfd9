"""What ``/api/v1/phone`` answers."""

from __future__ import annotations

from typing import Literal

from ctiserver.web.routes import Answer


class PhoneAnswer(Answer):
    """The asking agent's phone."""

    kind: Literal["browser", "desk"]
    """``browser``: the console is the phone. ``desk``: a phone of its own, which only some things can be asked of."""
    user: str
    """The browser phone's name at the PBX; empty for a desk phone."""
    extension: str
    outbound: bool
    """Whether calls to outside may be made at all (dialling.yaml)."""


class LineAnswer(Answer):
    """What a browser needs to be the phone: opens one WebSocket within 30 seconds, and is good for that alone."""

    line: str
    """Goes into the WebSocket's address: ``/phone/ws?line=…``."""
    user: str
    secret: str
    ice_servers: list[str]


class RegisteredAnswer(Answer):
    """What is waiting for a phone that has just registered."""

    resume: str | None
    """Not null: a caller waits who was lost with an earlier page. POST /api/v1/phone/resume makes the phone ring for
    him, and the INVITE's X-CTI-Answer says this."""


class ColleagueAnswer(Answer):
    """Somebody to whom a call can go."""

    agent_id: str
    name: str
    extension: str
    state: str
    """Their presence."""


class BookQueueAnswer(Answer):
    """A queue to which a call can go."""

    name: str
    title: dict[str, str]


class BookAnswer(Answer):
    """Where an agent can send a call."""

    agents: list[ColleagueAnswer]
    queues: list[BookQueueAnswer]


class CallAskedAnswer(Answer):
    """A call that was asked for; how it ends comes as the call's events."""

    call_id: str
