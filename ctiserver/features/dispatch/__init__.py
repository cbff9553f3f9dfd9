"""Dispatch: from a service record to closed, by processes, work orders and deadlines that survive a kill."""
