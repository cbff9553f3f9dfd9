"""A second Asterisk, configured by somebody else; and ctiserver's commands beside it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest_asyncio

from ctiserver.lab.privatepbx.tree import Programs
from tests.support.foreign import Foreign, foreign


@pytest_asyncio.fixture
async def there(programs: Programs, tmp_path: Path) -> AsyncIterator[Foreign]:
    """The foreign PBX."""
    async with foreign(tmp_path / "pbx", programs) as it:
        yield it


async def ctiserver(*arguments: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run one command as an admin does."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("CTISERVER_")}
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "ctiserver", *arguments],
        env={**clean, **environment},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=90,
    )


async def adopted(there: Foreign, *options: str, secret: bool = True) -> dict[str, Any]:
    """What ``ctiserver pbx adopt --json`` says of it."""
    known = {"CTISERVER_AMI_SECRET": there.pbx.ami_secret} if secret else {}
    done = await ctiserver("pbx", "adopt", "127.0.0.1", "--port", str(there.pbx.ami_port), "--json", *options, **known)
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def pieces(said: dict[str, Any]) -> dict[str, str]:
    """What it says to write, by file."""
    return {piece["file"]: piece["text"] for step in said["steps"] for piece in step["pieces"]}


def done(said: dict[str, Any]) -> dict[str, bool]:
    """The steps, and which are done already."""
    return {step["title"]: step["done"] for step in said["steps"]}
