"""What a flow runs with, and one call that runs through it."""

from __future__ import annotations

from dataclasses import dataclass, field

from ctiserver.agi.session import Session
from ctiserver.clock import Clock
from ctiserver.errors import CtiError
from ctiserver.ivr.language.loader import Flow
from ctiserver.ivr.language.state import FlowState, PathStep
from ctiserver.ivr.language.visit import World
from ctiserver.ivr.runtime.channel_notes import ChannelNotes
from ctiserver.ivr.runtime.ports import FlowPorts, Line
from ctiserver.model.ids import CallId, PbxName
from ctiserver.site.load import Site


class FlowFailed(CtiError):
    """The flow could not serve the caller; the session ends without its mark, and the dialplan's fallback does."""


@dataclass(slots=True, kw_only=True)
class FlowContext:
    """What every flow of this process runs with. A new configuration replaces ``site`` and ``world``."""

    site: Site
    world: World
    ports: FlowPorts
    clock: Clock
    pbx: PbxName  #: of sessions that do not name one

    def line(self, session: Session) -> Line:
        """Where a session's channel is."""
        return Line(PbxName(session.request.query.get("pbx") or self.pbx), session.request["channel"])


@dataclass(slots=True, kw_only=True)
class RunningCall:
    """What one session keeps of its call."""

    id: CallId
    flow: Flow
    state: FlowState
    session: Session | None  #: None once the caller is gone
    notes: ChannelNotes
    answered: bool = False
    may_be_stored: bool = False  #: a state of it may be stored
    path: list[PathStep] = field(default_factory=list)  #: steps that are not stored yet
    masked: bool = False  #: silence is written into its recordings, since what is keyed now is confidential
