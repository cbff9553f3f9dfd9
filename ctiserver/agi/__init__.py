"""FastAGI: a sans-I/O codec, a session of commands with deadlines, and the server."""
