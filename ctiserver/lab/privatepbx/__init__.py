"""A private Asterisk in seconds, for the demo, for tests and for developers; with phones to ring it.

Everything listens on loopback, lives under one state directory and goes away with it. Nothing here needs root, a
container engine or a package manager that writes to the system.
"""
