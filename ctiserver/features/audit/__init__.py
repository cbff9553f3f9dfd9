"""The audit log: who did what that others must be able to look up later. Written by each feature with its act."""
