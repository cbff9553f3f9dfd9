"""What operators watch of a link: whether it is up, and what of the stream nothing here consumes or could read."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import Counter, Gauge

from ctiserver.metrics import REGISTRY
from ctiserver.model.ids import PbxName
from ctiserver.pbx.codec import AmiDecoder

PBX_UP = Gauge("ctiserver_pbx_up", "1 while the link is up and the state reconciled", ["pbx"], registry=REGISTRY)
UNUSED_EVENTS = Counter(
    "ctiserver_ami_unused_events",
    "AMI events that nothing consumes; filter them in manager.conf",
    ["pbx", "event"],
    registry=REGISTRY,
)
UNPARSABLE = Counter(
    "ctiserver_ami_unparsable", "Parts of the AMI stream that can't be read", ["pbx"], registry=REGISTRY
)


@dataclass(slots=True)
class Tally:
    """One link's counts, over all its connections."""

    pbx: PbxName
    unparsable: int = 0

    def take(self, decoder: AmiDecoder) -> None:
        """Take over what a connection's decoder has counted since the last time."""
        for name, count in decoder.unwanted.items():
            UNUSED_EVENTS.labels(self.pbx, name.decode("ascii", "replace")).inc(count)
        decoder.unwanted.clear()
        self.unparsable += decoder.unparsable
        UNPARSABLE.labels(self.pbx).inc(decoder.unparsable)
        decoder.unparsable = 0
