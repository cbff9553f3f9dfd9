"""Spare parts: what lies where, reserved, issued, sent on, and the worn ones that come back."""
