"""Queues as they stand: who waits, for how long, and who could answer."""
