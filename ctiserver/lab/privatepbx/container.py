"""Asterisk in a container, for machines whose packages are not Debian's but that have Docker or podman.

The container shares the machine's network and one folder, at the same path inside and outside, so that all else is as
with an Asterisk of the machine's own: the same configuration, ports, logs and messages.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ctiserver.errors import UserFault
from ctiserver.lab.privatepbx.debian import Progress
from ctiserver.resources import shipped

_ENGINES = ("docker", "podman")
_ANSWER_TIMEOUT_S = 5.0
_BUILD_TIMEOUT_S = 900.0


@dataclass(frozen=True, slots=True)
class Container:
    """An engine that answers and an image that it has."""

    engine: str
    image: str

    def run(self, *, folders: Sequence[Path] = (), name: str = "") -> tuple[str, ...]:
        """How Asterisk is started in a fresh container that sees ``folders``; add its arguments."""
        return (
            *(self.engine, "run", "--rm", "--network=host", f"--user={os.getuid()}:{os.getgid()}"),
            *(f"--volume={folder}:{folder}" for folder in folders),
            *((f"--name={name}",) if name else ()),
            *(self.image, "asterisk"),
        )

    def inside(self, name: str) -> tuple[str, ...]:
        """How Asterisk's console is asked inside the container ``name``; add its arguments."""
        return (self.engine, "exec", name, "asterisk")

    def kill(self, name: str) -> tuple[str, ...]:
        """How the container is ended at once: to kill the engine's client would leave it running."""
        return (self.engine, "kill", name)


def name_for(state: Path) -> str:
    """The container's name, one for each state folder."""
    return f"ctiserver-pbx-{hashlib.sha256(str(state).encode()).hexdigest()[:12]}"


async def find_container(progress: Progress) -> Container | None:
    """The first engine that answers, with the image built if it lacks it; None if no engine answers.

    Raises UserFault where the image can't be built.
    """
    dockerfile = shipped("Dockerfile").read_bytes()
    image = f"ctiserver-asterisk:{hashlib.sha256(dockerfile).hexdigest()[:12]}"
    for name in _ENGINES:
        engine = shutil.which(name)
        if engine is None or await _ask([engine, "info"], _ANSWER_TIMEOUT_S) is not None:
            continue
        if await _ask([engine, "image", "inspect", image], _ANSWER_TIMEOUT_S) is not None:
            progress("building the Asterisk image", 0.0)
            failure = await _ask([engine, "build", "--tag", image, "-"], _BUILD_TIMEOUT_S, dockerfile)
            if failure is not None:
                raise UserFault(f"{name} could not build the image: {failure}", where="Dockerfile", fix="Try again")
        return Container(engine, image)
    return None


async def _ask(command: list[str], timeout_s: float, said: bytes = b"") -> str | None:
    """None if it succeeded, else the last line that it wrote."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(timeout_s):
            output, _ = await process.communicate(said)
    except TimeoutError:
        return f"no answer within {timeout_s:.0f} s"
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    lines = output.decode("utf-8", "replace").strip().splitlines()
    return None if process.returncode == 0 else (lines[-1] if lines else "it said nothing")
