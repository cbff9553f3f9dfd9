"""A server that is killed the moment a journal's entry has been taken over, before the PBX forgets it.

Run as ``python -m tests.support.dies_before_forgetting CONFIG``.
"""

from __future__ import annotations

import os
import signal
import sys

from ctiserver.cli import main
from ctiserver.pbx.link import PbxLink


async def die(self: PbxLink, family: str, key: str) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    PbxLink.delete_key = die  # type: ignore[method-assign]
    main(["serve", "--config", sys.argv[1]])
