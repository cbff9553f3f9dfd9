"""Integration tests run on the session's real Asterisk."""

from tests.support.asterisk import pbx, programs, session_pbx

__all__ = ["pbx", "programs", "session_pbx"]
