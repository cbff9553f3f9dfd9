"""Traces for OpenTelemetry, from the ring to the closed record: an extra, off unless tracing.endpoint is set."""
