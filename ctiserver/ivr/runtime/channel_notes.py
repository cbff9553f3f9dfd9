"""What the channel's variables say of a call's place in its flow: the fallback reads it when the server is gone."""

from __future__ import annotations

from dataclasses import dataclass, field

from ctiserver.agi.session import Session
from ctiserver.ivr.language.loader import Flow
from ctiserver.ivr.language.state import FlowState
from ctiserver.ivr.runtime import dialplan


@dataclass(slots=True, kw_only=True)
class ChannelNotes:
    """The notes of one call, and what the channel has of them."""

    flow: Flow
    result: str = ""  #: ``CTI_RESULT`` as the channel has it, or is to have it with the next step
    queues_left: frozenset[str] | None = frozenset()  #: by this caller; None: the channel has not been asked
    written: dict[str, str] = field(default_factory=dict)  #: channel variables as they were last set

    def __post_init__(self) -> None:
        self.written["CTI_RESULT"] = self.result

    @property
    def has_served(self) -> bool:
        """By a talk, a message or a promise: the fallback thanks callers who have chosen no queue since."""
        return dialplan.has_served(self.result)

    async def changes(self, state: FlowState, session: Session) -> dict[str, str]:
        """The variables that the channel does not have yet. The caller of this sets them."""
        notes = {
            "CTI_STAGE": f"{self.flow.name}.{state.node}",
            "CTI_LANGUAGE": state.language,
            "CHANNEL(language)": state.language.partition("-")[0],
        }
        queue = await self.queue_ahead(state, session)
        if queue is not None:
            notes["CTI_QUEUE"] = queue
            if self.has_served:
                self.result = ""  # they have chosen to talk with somebody again
        notes["CTI_RESULT"] = self.result
        new = {name: value for name, value in notes.items() if self.written.get(name) != value}
        self.written.update(new)
        return new

    async def queue_ahead(self, state: FlowState, session: Session) -> str | None:
        """The queue that the caller is on the way to, if the channel does not have it: never one that was left."""
        ahead = self.flow.queues_wanted if self.has_served else self.flow.queues_ahead
        queue = ahead.get(state.node)
        if queue is None or queue == self.written.get("CTI_QUEUE"):
            return None
        if self.queues_left is None:
            self.queues_left = frozenset((await session.get_variable("CTI_QUEUES_LEFT") or "").split("&"))
        return None if queue in self.queues_left else queue

    def promise_callback(self) -> None:
        """A call back was promised: no queue is ahead any more."""
        self.result = dialplan.PROMISED
        self.written.pop("CTI_QUEUE", None)
