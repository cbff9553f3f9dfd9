"""What the routes of the audit log answer: for the API's description, and held to by its tests."""

from __future__ import annotations

from ctiserver.web.routes import Answer, JsonAnswer, Moment


class AuditEntryAnswer(Answer):
    """One act. ``actor`` is ``user:<login>``, ``cli:<account on the machine>`` or ``system``."""

    id: str
    at: Moment
    actor: str
    act: str
    subject: str
    peer: str
    detail: JsonAnswer


class AuditAnswer(Answer):
    """A page of the audit log, the newest first."""

    entries: list[AuditEntryAnswer]
    before: str | None  #: for the next page; None: this is the last
    acts: list[str]  #: every word that ``act`` may be asked for
