"""A site's folder, served by the real command, with nobody at the other end of its AMI; and the desk's questions."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from unittest import mock

from ctiserver.cli import main
from ctiserver.lab.privatepbx.ports import free_port

PASSWORD = "right-battery-staple"
_SHOWN = ("calls", "records", "work-orders?open=false", "contacts?q=", "users")


class Site:
    """A folder with ctiserver.yaml and all that it names."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        self.config = folder / "ctiserver.yaml"
        self.environment = {
            **os.environ,
            "CTISERVER_PBXS__MAIN__SECRET": "nothing",
            "CTISERVER_PBXS__MAIN__PORT": str(free_port()),  # where nobody answers
            "CTISERVER_WEB__PORT": "0",
            "CTISERVER_AGI__PORT": "0",
            "CTISERVER_PROMPTS__COMMAND": '["false", "{text}", "{language}", "{out}"]',  # nobody listens
            **environment,
        }

    @classmethod
    def made(cls, folder: Path, **environment: str) -> Site:
        """A new one, by ``ctiserver init``."""
        site = cls(folder, **environment)
        done = site.run_here("init", str(folder))
        assert done.returncode == 0, done.stderr
        return site

    def run_here(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """As :meth:`run`, in this process: a command's imports are most of its time."""
        out, err, status = io.StringIO(), io.StringIO(), 0
        with (
            mock.patch.dict(os.environ, self.environment),
            mock.patch.object(sys, "stdin", io.StringIO(stdin)),
            redirect_stdout(out),
            redirect_stderr(err),
        ):
            try:
                main(arguments)
            except SystemExit as end:
                status = int(end.code or 0)
        return subprocess.CompletedProcess(arguments, status, out.getvalue(), err.getvalue())

    def run(self, *arguments: str, stdin: str = "", timeout: float = 60) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "ctiserver", *arguments],
            env=self.environment, input=stdin, capture_output=True, text=True, timeout=timeout,
        )  # fmt: skip

    def done(self, *arguments: str, stdin: str = "") -> str:
        """What a command that must succeed prints."""
        done = self.run_here(*arguments, stdin=stdin)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def refused(self, *arguments: str) -> str:
        """What a command that must be refused says: one line, and exit status 2."""
        done = self.run_here(*arguments)
        assert done.returncode == 2, (done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        (line,) = done.stderr.strip().splitlines()
        return line.removeprefix("ctiserver: ")

    def add_user(self, login: str, role: str, *more: str) -> None:
        self.done("user", "add", login, "--role", role, "--password-stdin", "--config", str(self.config), *more,
                  stdin=f"{PASSWORD}\n")  # fmt: skip

    @contextmanager
    def served(self) -> Iterator[Served]:
        """The server runs until the end of the block, which ends it cleanly unless the test killed it."""
        process = subprocess.Popen(
            [sys.executable, "-m", "ctiserver", "serve", "--config", str(self.config)],
            env=self.environment, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stderr is not None
        said = ""
        try:
            for line in process.stderr:
                said += line
                found = re.search(r"console is at (\S+)", line)
                if found:
                    yield Served(found[1], process)
                    break
            else:
                raise AssertionError(f"the server ended:\n{said}")
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            process.communicate(timeout=30)


class Served:
    """A server that runs."""

    def __init__(self, url: str, process: subprocess.Popen[str]) -> None:
        self.url = url
        self.process = process
        self._cookies: dict[str, str] = {}

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def log_in(self, login: str, password: str = PASSWORD) -> None:
        self._ask("POST", "session", {"login": login, "password": password})

    def get(self, path: str) -> Any:
        return self._ask("GET", path)

    def shown(self) -> dict[str, Any]:
        """What an administrator's desk shows of calls, records, orders, contacts and people."""
        return {path: self.get(path) for path in _SHOWN}

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(
            f"{self.url}/api/v1/{path}",
            None if body is None else json.dumps(body).encode(),
            {"Origin": self.url, "Content-Type": "application/json", "Cookie": "; ".join(self._cookies.values())},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            for cookie in answer.headers.get_all("Set-Cookie") or []:
                self._cookies[cookie.partition("=")[0]] = cookie.partition(";")[0]
            return json.loads(answer.read() or b"null")
