"""The call log: every call is one entry, linked to records or closed with a stated reason."""
