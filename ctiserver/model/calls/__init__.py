"""Calls: what a PBX says of them, what each call was, and what is kept and counted."""
