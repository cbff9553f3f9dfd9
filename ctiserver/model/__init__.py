"""What ctiserver knows, without any I/O: identities, numbers, events, calls, agents, processes, calendars."""
