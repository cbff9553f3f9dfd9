"""Flows on real calls: the engine, and what carries out its requests."""
