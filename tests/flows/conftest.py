"""The flow ring's real lane runs on the session's Asterisk."""

from tests.support.asterisk import pbx, programs, session_pbx

__all__ = ["pbx", "programs", "session_pbx"]
