"""Keeping what a server has: backups while it runs, restoring them, and the move from SQLite to PostgreSQL.

A backup is a folder: the databases, the files, the configuration, ``manifest.json`` that describes them, and
``SHA256SUMS``, which ``sha256sum -c`` checks too. Everything here is blocking: it runs in a command of its own, never
in the server's event loop.
"""
