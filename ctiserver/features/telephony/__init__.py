"""Telephony from the desk: the phone in the browser, and what any agent's phone is asked to do."""
