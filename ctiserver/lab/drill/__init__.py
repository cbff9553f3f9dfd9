"""``ctiserver drill``: a contact centre under load whose parts are taken away one by one, and what callers got."""
