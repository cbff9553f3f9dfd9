"""``ctiserver demo``: a whole contact centre on this machine, with a private Asterisk and real SIP phones."""
