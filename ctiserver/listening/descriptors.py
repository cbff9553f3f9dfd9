"""How many files and connections this process may have open."""

from __future__ import annotations

import contextlib
import resource

#: More than any call centre needs; a limit without end would let a fault eat the machine's memory.
_ENOUGH = 65_536


def raise_limit() -> int:
    """Raise the soft limit to the hard one, or to what is enough; the limit now.

    Shells and systemd give 1024, which each browser, call and database connection takes from.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _ENOUGH if hard == resource.RLIM_INFINITY else min(hard, _ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return limit()


def limit() -> int:
    """The limit now."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _ENOUGH if soft == resource.RLIM_INFINITY else soft
