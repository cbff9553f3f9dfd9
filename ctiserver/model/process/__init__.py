"""Processes: how their definitions are read, checked, decided, tried and drawn."""
