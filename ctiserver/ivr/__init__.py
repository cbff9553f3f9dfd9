"""The flow language: what a caller meets, written in YAML, proved before the call, run as a pure step."""
