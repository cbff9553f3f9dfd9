"""ctiserver: the open-source contact-centre server for anyone with an Asterisk."""

__version__ = "0.1.0"
