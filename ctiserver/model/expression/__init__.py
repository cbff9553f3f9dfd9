"""Expressions of flows and processes: parsed, typed and evaluated."""
