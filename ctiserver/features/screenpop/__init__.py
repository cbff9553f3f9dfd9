"""Screen-pop: contact and record on the screen of the agent whose phone rings, before it is answered."""
