"""Work that could not be done: seen, tried again or dropped by admins."""
