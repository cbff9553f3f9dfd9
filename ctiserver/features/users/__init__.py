"""Accounts: who may log in, as what."""
