"""From the ring of the telephone to the closed record: each record's chain, and what is late, by owner."""
