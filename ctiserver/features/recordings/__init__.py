"""Recordings of calls: what the PBX records, where it is found, and who may hear it."""
