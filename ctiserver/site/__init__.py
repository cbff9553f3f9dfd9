"""What admins edit beside ``ctiserver.yaml``."""
