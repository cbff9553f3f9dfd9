"""Web plumbing without business words: server, sessions, access, the WebSocket hub, the console's files."""
