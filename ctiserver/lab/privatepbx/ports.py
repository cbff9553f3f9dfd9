"""Free ports on loopback."""

from __future__ import annotations

import random
import socket

from ctiserver.errors import UserFault

# Below the range that Linux gives to outgoing connections (32768 on), so that none of those takes a port again
# between our look and the bind of the program that it is for.
_FIRST, _LAST = 15_000, 32_000
_TRIES = 200
# Asterisk refuses a smaller one for AMI, root or not.
_LOWEST, _HIGHEST = 1024, 65_535


def is_free(port: int) -> bool:
    """Whether 127.0.0.1 has ``port`` free, for UDP and TCP alike."""
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            if kind == socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True


def free_port(taken: frozenset[int] = frozenset()) -> int:
    """A port that is free now and not in ``taken``. Somebody else may still be quicker to bind it."""
    for _ in range(_TRIES):
        port = random.randrange(_FIRST, _LAST, 2)  # noqa: S311 - to miss each other, not to be secret
        if port not in taken and is_free(port):
            return port
    raise UserFault("no free port was found on 127.0.0.1", fix="Stop what listens on so many ports")


def wanted_port(port: int, setting: str) -> int:
    """``port`` if it is free; raises UserFault naming ``setting`` if not."""
    if not _LOWEST <= port <= _HIGHEST:
        raise UserFault(
            f"{port} is not a port that Asterisk takes",
            where=setting,
            fix=f"Choose {_LOWEST} to {_HIGHEST}, or 0 for any",
        )
    if not is_free(port):
        raise UserFault(f"port {port} on 127.0.0.1 is in use", where=setting, fix="Choose another, or 0 for any")
    return port
