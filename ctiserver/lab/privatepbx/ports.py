"""Free ports on loopback."""

from __future__ import annotations

import random
import socket
import sys
from collections import deque

from ctiserver.errors import UserFault

# Below the range that Linux gives to outgoing connections (32768 on), so that none of those takes a port again
# between our look and the bind of the program that it is for.
_FIRST, _LAST = 15_000, 32_000
_TRIES = 200
#: The last ports that this process was given, each held by a name that another process can't take as well. A program
#: binds its port some seconds after it was chosen; by then others have chosen as many.
_held: deque[socket.socket] = deque(maxlen=64)
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
    """A port that is free now, not in ``taken``, and given to no other process of ours that runs still.

    Another program may still be quicker to bind it.
    """
    for _ in range(_TRIES):
        port = random.randrange(_FIRST, _LAST, 2)  # noqa: S311 - to miss each other, not to be secret
        if port not in taken and is_free(port) and _hold(port):
            return port
    raise UserFault("no free port was found on 127.0.0.1", fix="Stop what listens on so many ports")


def _hold(port: int) -> bool:
    """Reserve ``port`` among our own processes; False where another has it. The kernel frees it when this one ends."""
    if sys.platform != "linux":
        return True
    name = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        name.bind(f"\0ctiserver-port-{port}")  # abstract: no file is left behind
    except OSError:
        name.close()
        return False
    if len(_held) == _held.maxlen:
        _held.popleft().close()
    _held.append(name)
    return True


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
