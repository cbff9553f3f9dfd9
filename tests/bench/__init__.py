"""Benchmarks: each module here has ``run() -> dict`` that measures side by side in one run; never part of the tests."""
