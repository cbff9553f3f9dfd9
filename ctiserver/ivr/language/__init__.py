"""The flow language: nodes, their schema, loading and checking, all without I/O to a PBX."""
