"""Photos that field work takes: sent once each, kept beside the databases, seen by whoever may see the record."""
