"""Sends what has ended as traces: looks at the store now and again, so that no call waits for a collector."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, TraceFlags

from ctiserver import __version__
from ctiserver.clock import Clock
from ctiserver.features.tracing import spans
from ctiserver.features.tracing.spans import TraceSpan
from ctiserver.store.database import Database
from ctiserver.store.patience import now_and_again

log = structlog.get_logger(__name__)

_LOOK_EVERY_S = 5.0
#: How long after its end a call or a record is still looked for: its last lines are written a moment after it, and what
#: was missed while a PBX was away later still.
_LOOK_BACK = timedelta(minutes=10)
_SETTLED_AFTER = timedelta(seconds=5)


class Traces:
    """Sends each call that ends and each record that is closed from now on, once."""

    def __init__(self, database: Database, clock: Clock, exporter: SpanExporter) -> None:
        self._database = database
        self._clock = clock
        self._exporter = exporter
        self._began = clock.now()
        self._sent: dict[str, datetime] = {}
        self._resource = Resource.create({"service.name": "ctiserver", "service.version": __version__})
        self._scope = InstrumentationScope("ctiserver", __version__)

    async def run(self) -> None:
        """Until cancelled; what the collector does not take is lost, and logged."""
        try:
            await now_and_again(self.look, _LOOK_EVERY_S, "traces_put_off")
        finally:
            self._exporter.shutdown()

    async def look(self) -> int:
        """Send what has ended since the last look; how many spans that were. Raises StoreUnavailable."""
        now = self._clock.now()
        until, since = now - _SETTLED_AFTER, max(self._began, now - _LOOK_BACK)
        self._sent = {key: at for key, at in self._sent.items() if at >= since - _LOOK_BACK}
        found: list[TraceSpan] = []
        ended: list[str] = []
        async with self._database.reading() as uow:
            for call in await uow.calls.ended_between(since, until):
                if call.id not in self._sent:
                    found += spans.of_call(call, await uow.calls.path(call.id))
                    ended.append(call.id)
            for record in await uow.records.closed_between(since, until):
                if record.id not in self._sent:
                    found += spans.of_record(
                        record,
                        await uow.records.calls(record.id),
                        await uow.processes.of_record(record.id),
                        await uow.work_orders.of_record(record.id),
                    )
                    ended.append(record.id)
        if found:
            self._sent.update(dict.fromkeys(ended, now))
            result = await asyncio.to_thread(self._exporter.export, self._readable(found))
            if result is not SpanExportResult.SUCCESS:
                log.warning("traces_lost", spans=len(found))
        return len(found)

    def _readable(self, found: Sequence[TraceSpan]) -> list[ReadableSpan]:
        return [
            ReadableSpan(
                name=span.name,
                context=_context(span.trace, span.key),
                parent=None if span.parent is None else _context(span.trace, span.parent),
                resource=self._resource,
                attributes=dict(span.attributes),
                links=[Link(_context(trace, key)) for trace, key in span.links],
                instrumentation_scope=self._scope,
                start_time=_nanoseconds(span.started_at),
                end_time=_nanoseconds(span.ended_at),
            )
            for span in found
        ]


def _context(trace: str, key: str) -> SpanContext:
    return SpanContext(
        spans.trace_id(trace), spans.span_id(key), is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED)
    )


def _nanoseconds(at: datetime) -> int:
    return round(at.timestamp() * 1_000_000) * 1000
