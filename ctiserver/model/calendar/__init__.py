"""Opening hours, rosters and spans of time."""
