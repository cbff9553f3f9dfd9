"""Get the Debian packages that the tests use and that pip can't: a browser, servers, tools for clean systems.

Asterisk, baresip and SIPp need no installation: the tests unpack them into a cache. With root (or passwordless sudo)
what is missing is installed by apt-get; without, this prints what will be skipped. In CI a skip is a failure.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path


def _postgresql() -> bool:
    return bool(shutil.which("initdb")) or any(Path("/usr/lib/postgresql").glob("*/bin/initdb"))


def _chromium() -> bool:
    return any(shutil.which(name) for name in ("chromium", "chromium-headless-shell", "google-chrome"))


def _nginx() -> bool:
    return bool(shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin"))


NEEDED = {
    "chromium": _chromium,
    "postgresql": _postgresql,
    "nginx": _nginx,
    "debootstrap": lambda: bool(shutil.which("debootstrap", path=f"{os.environ.get('PATH', '')}:/usr/sbin")),
    "systemd": lambda: bool(shutil.which("systemd-analyze")),
}


def main() -> int:
    missing = [package for package, present in NEEDED.items() if not present()]
    if not missing:
        return 0
    root: list[str] | None = [] if os.geteuid() == 0 else None
    sudo = ["sudo", "-n"]
    if root is None and shutil.which("sudo") and subprocess.run([*sudo, "true"], capture_output=True).returncode == 0:
        root = sudo
    if root is not None and shutil.which("apt-get"):
        print(f"Installing {', '.join(missing)} with apt-get", flush=True)
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        quiet = [*root, "apt-get", "-q", "-y", "-o", "Dpkg::Use-Pty=0", "--no-install-recommends"]
        subprocess.run([*root, "apt-get", "-q", "update"], env=environment, stdout=subprocess.DEVNULL)
        subprocess.run([*quiet, "install", *missing], env=environment, stdout=subprocess.DEVNULL)
        missing = [package for package, present in NEEDED.items() if not present()]
    for package in missing:
        print(f"{package} is not installed and can't be from here: its tests will be skipped", file=sys.stderr)
    return 1 if missing and os.environ.get("CI") else 0


if __name__ == "__main__":
    sys.exit(main())
