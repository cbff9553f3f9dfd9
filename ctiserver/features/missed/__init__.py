"""Missed calls (未接来电): who left unserved is owed one call back, and is reached or not."""
