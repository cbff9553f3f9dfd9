"""Make a release's kept databases: real calls, records and orders of the demo's contact centre.

Run as ``python -m tests.kept.make NAME`` in a checkout of the release (README.md beside this file). It runs the demo's
centre twice, on SQLite and on a PostgreSQL of its own, and packs what an admin of that release would have then.
"""

from __future__ import annotations

import asyncio
import lzma
import shutil
import subprocess
import sys
import tarfile
import tempfile
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

from ctiserver.demo import centre as demo_centre
from ctiserver.demo import people
from ctiserver.demo.centre import Centre, call
from ctiserver.demo.once import once
from ctiserver.privatepbx.baresip import CallFailed
from ctiserver.privatepbx.phone import SipPhone
from ctiserver.privatepbx.tree import headless_browser

from ctiserver.model.events import AgentRinging, CallEnded, CallerEnteredQueue
from ctiserver.settings import DatabaseSettings, Settings
from tests.support.postgres import cluster

KEPT = Path(__file__).parent
_TALK_S = 2.0


def say(line: object, *_: object) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(name: str) -> None:
    target = KEPT / name
    target.mkdir()
    with tempfile.TemporaryDirectory(prefix="kept-") as made, tempfile.TemporaryDirectory(prefix="kept-pg-") as folder:
        asyncio.run(run_centre(Path(made, "sqlite"), ""))
        pack(Path(made, "sqlite"), target / "sqlite.tar.xz")
        with cluster(Path(folder)) as postgres:
            asyncio.run(run_centre(Path(made, "postgresql"), postgres.create("kept")))
            pack(Path(made, "postgresql"), target / "postgresql.tar.xz")
            where = ["-h", "127.0.0.1", "-p", str(postgres.port), "-U", "postgres"]
            dump = [postgres.binaries / "pg_dump", *where, "--no-owner", "--no-privileges", "kept"]
            text = subprocess.run(dump, check=True, capture_output=True).stdout
        # psql before the minor version of that pg_dump does not know these two
        lines = [
            line for line in text.splitlines(keepends=True) if not line.startswith((b"\\restrict", b"\\unrestrict"))
        ]
        (target / "postgresql.sql.xz").write_bytes(lzma.compress(b"".join(lines)))
    for path in sorted(target.iterdir()):
        say(f"{path.stat().st_size:>8} {path}")


def pack(folder: Path, archive: Path) -> None:
    with tarfile.open(archive, "w:xz") as packed:
        packed.add(folder, ".")


async def run_centre(target: Path, url: str) -> None:
    """A morning of the demo's contact centre; ``data`` and ``config`` stay in ``target``."""

    def kept(folder: Path, **_: object) -> None:
        """In place of removing the demo's folder: keep what an admin would have of it. The server has ended by now."""
        for name in ("data", "config"):
            shutil.copytree(folder / name, target / name, ignore=shutil.ignore_patterns("prompts"))
        shutil.rmtree(folder)

    def settings(**given: object) -> Settings:
        return Settings(**given, database=DatabaseSettings(url=url))  # type: ignore[arg-type]

    demo_centre.shutil = SimpleNamespace(copytree=shutil.copytree, rmtree=kept)  # type: ignore[attr-defined]
    demo_centre.Settings = settings  # type: ignore[attr-defined]
    demo_centre.log_in = logged_in
    executable = await headless_browser(say)
    async with demo_centre.centre(say, language="en") as here:
        await once(here, executable, say, language="en")
        await gives_up(here)
        await is_served(here)


async def logged_in(phone: SipPhone) -> None:
    """Log the agent in by *11. Where nothing is spoken yet the call is over before the phone sees it answered."""
    await phone.dial("*11")
    with suppress(CallFailed):
        await phone.answered()
    await phone.ended(timeout_s=20.0)


async def gives_up(here: Centre) -> None:
    """A caller whom the centre does not know hangs up in the queue: a missed call."""
    with here.app.bus.subscribe((CallerEnteredQueue, CallEnded)) as events:
        async with call(here, people.CALLERS[3]) as phone:
            await _next(events, CallerEnteredQueue)
            await phone.hang_up()
        await _next(events, CallEnded)


async def is_served(here: Centre) -> None:
    """One more caller talks to the agent, who saves no result yet: an open record."""
    with here.app.bus.subscribe((AgentRinging, CallEnded)) as events:
        async with call(here, people.CALLERS[1]) as phone:
            await _next(events, AgentRinging)
            await here.phone.ringing()
            await here.phone.answer()
            await asyncio.sleep(_TALK_S)
            await phone.hang_up()
        await _next(events, CallEnded)


async def _next(events: object, kind: type) -> None:
    async with asyncio.timeout(120):
        async for event in events:  # type: ignore[attr-defined]
            if isinstance(event, kind):
                return


if __name__ == "__main__":
    main(sys.argv[1])
