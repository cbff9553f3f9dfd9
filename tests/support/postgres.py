"""A private PostgreSQL cluster on a free port, for as long as a test session lasts."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_START_DEADLINE_S = 30.0


class NoPostgres(Exception):
    """This machine has no PostgreSQL server binaries; install the package postgresql."""


@dataclass
class Cluster:
    """A server that trusts everybody on loopback."""

    port: int
    binaries: Path
    _command: list[str | Path]
    _folder: Path
    _server: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Run it, on the port and the data that it had before. Raises RuntimeError."""
        with (self._folder / "log").open("ab") as log:
            self._server = subprocess.Popen(self._command, cwd=self._folder, stdout=log, stderr=log)
        _await_ready(self._server, self.port, self._folder / "log")

    def stop(self) -> None:
        """End it; clients lose their connections, and nobody answers on its port."""
        server, self._server = self._server, None
        if server is None:
            return
        server.send_signal(signal.SIGINT)  # its "fast": SIGTERM would wait for clients to leave
        try:
            server.wait(timeout=20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()

    def url(self, database: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def create(self, database: str, template: str | None = None) -> str:
        """Make a database, empty or a copy of ``template``, which nobody may be connected to; returns its URL."""
        self._run("createdb", *([] if template is None else ["-T", template]), database)
        return self.url(database)

    def drop(self, database: str) -> None:
        self._run("dropdb", "--force", database)

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [self.binaries / program, "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", *arguments],
            check=True,
            capture_output=True,
            timeout=30,
        )


def binaries() -> Path:
    """Where initdb and postgres lie; the newest version that is installed. Raises NoPostgres."""
    on_path = shutil.which("initdb")
    if on_path:
        return Path(on_path).resolve().parent
    installed = [path for path in Path("/usr/lib/postgresql").glob("*/bin") if (path / "initdb").exists()]
    if not installed:
        raise NoPostgres("no initdb on this machine; install the package postgresql")
    return max(installed, key=lambda path: float(path.parent.name))


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """Run a server in ``folder``, which must be empty; it ends with the block. Raises NoPostgres."""
    found = binaries()
    prefix = _as_unprivileged(folder)
    data = folder / "data"
    subprocess.run(
        [
            *prefix,
            found / "initdb",
            "-D",
            data,
            "-U",
            "postgres",
            "-A",
            "trust",
            "--no-sync",
            "-E",
            "UTF8",
            "--locale=C",
        ],
        check=True,
        capture_output=True,
        cwd=folder,
        timeout=60,
    )
    port = _free_port()
    options = {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "port": str(port),
        "fsync": "off",  # nobody pulls this machine's plug; killed processes lose nothing by it
        "max_connections": "100",
        "shared_buffers": "32MB",
    }
    command = [*prefix, found / "postgres", "-D", data, *(f"--{key}={value}" for key, value in options.items())]
    made = Cluster(port, found, command, folder)
    try:
        made.start()
        yield made
    finally:
        made.stop()


def _as_unprivileged(folder: Path) -> list[str]:
    """The server refuses to run as root; give it another user and a folder of that user's."""
    if os.geteuid() != 0:
        return []
    user = next(pwd.getpwnam(name) for name in ("postgres", "nobody") if name in {p.pw_name for p in pwd.getpwall()})
    os.chown(folder, user.pw_uid, user.pw_gid)
    for parent in folder.parents:
        if parent.stat().st_uid == 0 and not parent.stat().st_mode & 0o001:
            parent.chmod(parent.stat().st_mode | 0o011)
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _await_ready(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _START_DEADLINE_S
    while time.monotonic() < deadline:
        if server.poll() is not None:
            break
        done = subprocess.run(
            [binaries() / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)], check=False, timeout=10
        )
        if done.returncode == 0:
            return
        time.sleep(0.05)
    raise RuntimeError(f"PostgreSQL did not start:\n{log.read_text()}")
