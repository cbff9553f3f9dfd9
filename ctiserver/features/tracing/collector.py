"""The way to a collector: OTLP over HTTP."""

from __future__ import annotations

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace.export import SpanExporter

from ctiserver.settings import TracingSettings


def collector(settings: TracingSettings) -> SpanExporter:
    """Sends spans to ``tracing.endpoint``; OpenTelemetry's own variables (OTEL_EXPORTER_OTLP_HEADERS …) hold too."""
    return OTLPSpanExporter(endpoint=settings.endpoint, timeout=settings.timeout_s)
