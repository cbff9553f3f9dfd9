"""Is it well, and how does one join it to a PBX: adoption, doctor, health, metrics."""
