"""What operators watch of a link: whether it is up, and what of the stream nothing here consumes or could read."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import structlog
from prometheus_client import Counter as metric
from prometheus_client import Gauge

from ctiserver.metrics import REGISTRY
from ctiserver.model.ids import PbxName
from ctiserver.pbx.authenticity import Authenticity, Doubt
from ctiserver.pbx.codec import AmiDecoder

log = structlog.get_logger(__name__)

PBX_UP = Gauge("ctiserver_pbx_up", "1 while the link is up and the state reconciled", ["pbx"], registry=REGISTRY)
UNUSED_EVENTS = metric(
    "ctiserver_ami_unused_events",
    "AMI events that nothing consumes; filter them in manager.conf",
    ["pbx", "event"],
    registry=REGISTRY,
)
UNPARSABLE = metric(
    "ctiserver_ami_unparsable", "Parts of the AMI stream that can't be read", ["pbx"], registry=REGISTRY
)
REFUSED = metric(
    "ctiserver_ami_refused_events",
    "AMI events that were not believed, since a caller may have written them",
    ["pbx", "reason"],
    registry=REGISTRY,
)
#: Who forges events can't fill the log: it says so once in so many seconds.
_TOLD_EVERY_S = 60.0


@dataclass(slots=True)
class Tally:
    """One link's counts, over all its connections."""

    pbx: PbxName
    unparsable: int = 0
    refused: Counter[Doubt] = field(default_factory=Counter)  #: events that were not believed, by reason
    _told: int = 0  #: how many of them the log has been told of
    _told_at: float = -_TOLD_EVERY_S

    def take(self, decoder: AmiDecoder, guard: Authenticity) -> None:
        """Take over what a connection has counted since the last time."""
        for reason, count in guard.refused.items():
            REFUSED.labels(self.pbx, reason).inc(count)
        self.refused += guard.refused
        guard.refused.clear()
        for name, count in decoder.unwanted.items():
            UNUSED_EVENTS.labels(self.pbx, name.decode("ascii", "replace")).inc(count)
        decoder.unwanted.clear()
        self.unparsable += decoder.unparsable
        UNPARSABLE.labels(self.pbx).inc(decoder.unparsable)
        decoder.unparsable = 0

    def tell(self, now_s: float) -> None:
        """Say in the log that events were not believed, once in a while."""
        count = self.refused.total()
        if count > self._told and now_s - self._told_at >= _TOLD_EVERY_S:
            log.warning(
                "ami_events_refused",
                pbx=self.pbx,
                more=count - self._told,
                since_start=dict(self.refused),
                why="a caller may have written them: docs/security.md",
            )
            self._told, self._told_at = count, now_s
