"""What Prometheus reads: read off at the moment it asks, so that nothing is counted twice and nothing is kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ctiserver import __version__, metrics
from ctiserver.agi.server import AgiServer
from ctiserver.clock import Clock
from ctiserver.model.ids import PbxName
from ctiserver.pbx.link import PbxLink
from ctiserver.store.database import Database
from ctiserver.web.hub import Hub


class Measures(Collector):
    """Everything that is counted or measured in one running server."""

    def __init__(
        self, database: Database, agi: AgiServer, hub: Hub, links: Mapping[PbxName, PbxLink], clock: Clock
    ) -> None:
        self._database = database
        self._agi = agi
        self._hub = hub
        self._links = links
        self._clock = clock
        self._outbox_waiting = 0
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    async def exposition(self) -> bytes:
        """All of it, in Prometheus' text form. Raises StoreUnavailable."""
        async with self._database.reading() as uow:
            self._outbox_waiting = await uow.outbox.waiting_count()
        return generate_latest(self._registry) + metrics.exposition()

    def collect(self) -> Iterator[Metric]:
        """Called by the registry."""
        info = GaugeMetricFamily(
            "ctiserver_info", "Always 1; the label says which ctiserver this is", labels=["version"]
        )
        info.add_metric([__version__], 1)
        yield info
        yield from self._of_pbxs()
        yield GaugeMetricFamily("ctiserver_agi_calls", "Calls whose flow runs now", self._agi.active)
        agi = CounterMetricFamily("ctiserver_agi_sessions", "FastAGI connections by result", labels=["result"])
        for result, count in asdict(self._agi.counts).items():
            agi.add_metric([result], count)
        yield agi
        yield GaugeMetricFamily("ctiserver_web_clients", "Browsers with an open WebSocket", self._hub.clients)
        yield GaugeMetricFamily(
            "ctiserver_outbox_waiting", "Rows that the workflow engine has not been handed yet", self._outbox_waiting
        )

    def _of_pbxs(self) -> Iterator[Metric]:
        age = GaugeMetricFamily(
            "ctiserver_pbx_state_age_seconds",
            "How old what is known of the PBX is; 0 while the link is up",
            labels=["pbx"],
        )
        calls = GaugeMetricFamily("ctiserver_calls", "Calls that go on, as far as is known", labels=["pbx"])
        events = CounterMetricFamily("ctiserver_ami_events", "AMI events taken in", labels=["pbx", "event"])
        faults = CounterMetricFamily(
            "ctiserver_ami_faults",
            "AMI messages that our code failed on (broken), or that were about channels not known (ignored)",
            labels=["pbx", "kind"],
        )
        now = self._clock.now()
        for name, link in self._links.items():
            age.add_metric([name], 0 if link.up else max(0.0, (now - link.since).total_seconds()))
            calls.add_metric([name], link.calls_now)
            for event, count in sorted(link.consumed().items()):
                events.add_metric([name, event], count)
            counted = link.counters()  # also brings ctiserver_ami_unparsable up to date
            for kind in ("broken", "ignored"):
                faults.add_metric([name, kind], counted[kind])
        yield from (age, calls, events, faults)
