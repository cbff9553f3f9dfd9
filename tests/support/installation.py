"""A site's folder as `ctiserver init` makes it, served for a real PBX."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from ctiserver.lab.privatepbx.lifecycle import PrivatePbx


class Installation:
    """The folder, and the environment that leads its commands to the PBX."""

    def __init__(self, folder: Path, pbx: PrivatePbx) -> None:
        self.folder = folder
        self.environment = {
            **os.environ,
            "CTISERVER_PBXS__MAIN__PORT": str(pbx.ami_port),
            "CTISERVER_PBXS__MAIN__SECRET": pbx.ami_secret,
            "CTISERVER_WEB__PORT": "0",
            "CTISERVER_AGI__PORT": "0",
        }
        self.run("init", str(folder))

    def run(self, *arguments: str, typed: str | None = None) -> subprocess.CompletedProcess[str]:
        """One command, with ``typed`` as its standard input."""
        return subprocess.run(
            [sys.executable, "-m", "ctiserver", *arguments],
            env=self.environment,
            input=typed,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def refused(self) -> str:
        """What `serve` complains of; it must have ended by itself with status 2."""
        done = self.run("serve", "--config", str(self.folder / "ctiserver.yaml"))
        assert done.returncode == 2, done.stderr
        assert "Traceback" not in done.stderr
        return next(line for line in done.stderr.splitlines() if line.startswith("ctiserver: "))

    def edit(self, name: str, old: str, new: str) -> None:
        path = self.folder / name
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")
