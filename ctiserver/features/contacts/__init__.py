"""Contacts: the people and firms that we know, and who it is that calls."""
