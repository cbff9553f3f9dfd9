"""Photos that field work takes: sent once each, kept beside the databases, seen by anyone who may see the record."""
