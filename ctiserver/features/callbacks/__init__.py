"""Callers who hang up and keep their place: what waits in their stead, and is called back when an agent answers it."""
