"""Flows without a PBX: simulated, scripted, replayed, on a terminal."""
