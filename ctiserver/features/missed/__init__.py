"""Missed calls (漏话): who left unserved is owed one call back, and is reached or not."""
