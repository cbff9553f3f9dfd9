"""A system's folder to run commands in: mounts, processes and time are its own, so that nothing can be left behind.

Each command gets namespaces of its own (`unshare`, of util-linux). When it ends, or its time is over, the kernel ends
what it started and forgets its mounts; only the folder stays.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tools.fresh.machine import Machine

#: How long what a command started may take to end after it.
_LEFT_S = 5

# Arguments: the system's folder, the file for what is left, a Python that sets a loopback up or "", pairs of a path
# here and one there, "--", the command.
_ENTER = r"""
set -eu
root=$1 left=$2 loopback=$3
shift 3
mount --make-rprivate /
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
for name in null zero full random urandom tty; do
  : > "$root/dev/$name"
  mount --bind "/dev/$name" "$root/dev/$name"
done
mkdir "$root/dev/shm" "$root/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
for pair in 0:stdin 1:stdout 2:stderr; do ln -s "/proc/self/fd/${pair%%:*}" "$root/dev/${pair#*:}"; done
while [ "$1" != -- ]; do
  here=$1 there=$root$2
  if [ -d "$here" ]; then mkdir -p "$there"; else mkdir -p "${there%/*}"; [ -e "$there" ] || : > "$there"; fi
  mount --bind "$here" "$there"
  mount -o remount,bind,ro "$there"
  shift 2
done
shift
[ -z "$loopback" ] || "$loopback" -c \
  'import fcntl, socket; fcntl.ioctl(socket.socket(), 0x8914, b"lo".ljust(16, b"\0") + b"\1".ljust(24, b"\0"))'
status=0
chroot "$root" "$@" || status=$?
: > "$left"
for try in $(seq LEFT_TRIES); do
  names=
  for folder in "$root"/proc/[0-9]*; do
    [ "${folder##*/}" != 1 ] || continue
    { read -r stat < "$folder/stat"; } 2>/dev/null || continue
    name=${stat#*\(} name=${name%)*} state=${stat##*) }
    case $state in Z*) ;; *) case $name in sh|seq|sleep) ;; *) names="$names $name" ;; esac ;; esac
  done
  [ -n "$names" ] || break
  sleep 0.1
done
echo "$names" > "$left"
exit "$status"
""".replace("LEFT_TRIES", str(_LEFT_S * 10))


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody who runs commands in a system."""

    name: str
    uid: int
    home: str


ROOT = Account("root", 0, "/root")
NEWCOMER = Account("newcomer", 1000, "/home/newcomer")


class Unavailable(Exception):
    """A clean system can't be had here; the message is one sentence that says why and what to do."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line that a command wrote, and when, in seconds from its start."""

    at_s: float
    text: str


@dataclass(slots=True)
class Ran:
    """What came of a command."""

    status: int
    seconds: float
    lines: list[Line] = field(default_factory=list)
    left: str = ""  #: names of the processes that it left running

    @property
    def output(self) -> str:
        return "\n".join(line.text for line in self.lines)


@dataclass(frozen=True, slots=True)
class Sandbox:
    """An unpacked system."""

    root: Path
    machine: Machine
    shared: tuple[tuple[Path, str], ...] = ()  #: what of this machine is seen in it, and where; read-only

    def with_shared(self, shared: Mapping[Path, str]) -> Sandbox:
        """The same system, with more of this machine to be seen in it."""
        return replace(self, shared=(*self.shared, *shared.items()))

    def run(
        self,
        script: str,
        *,
        timeout_s: float,
        account: Account = NEWCOMER,
        network: bool = True,
        heard: Callable[[Line], None] = lambda line: None,
    ) -> Ran:
        """Run a shell script in the account's home, with an environment that holds this machine's settings alone.

        Without ``network`` it has a loopback of its own, and ports that no other program uses.
        """
        as_root = account == ROOT
        environment = {
            "HOME": account.home,
            "USER": account.name,
            "PATH": "/usr/local/bin:/usr/bin:/bin" + (":/usr/local/sbin:/usr/sbin:/sbin" if as_root else ""),
            "LANG": "C.UTF-8",
            "DEBIAN_FRONTEND": "noninteractive",
            **self.machine.environment,
        }
        inside = [
            *(() if as_root else ("setpriv", f"--reuid={account.uid}", f"--regid={account.uid}", "--clear-groups")),
            *("env", "-i", *(f"{name}={value}" for name, value in environment.items())),
            *("sh", "-c", f"cd {account.home}\n{script}"),
        ]
        left = self.root.parent / f"{self.root.name}.left"
        seen = [str(part) for pair in (*self.machine.shared, *self.shared) for part in pair]
        command = [
            *namespaces(("--mount", "--pid", "--ipc", "--uts", *(() if network else ("--net",)))),
            *(
                "sh",
                "-c",
                _ENTER,
                "sh",
                str(self.root),
                str(left),
                "" if network else sys.executable,
                *seen,
                "--",
                *inside,
            ),
        ]
        return _watched(command, left, timeout_s, heard)

    def write(self, files: Mapping[str, str]) -> None:
        """Write files of the system, as its root; paths are absolute."""
        for path, text in files.items():
            target = shlex.quote(str(self.root / path.removeprefix("/")))
            script = f"mkdir -p $(dirname {target}); rm -f {target}; cat > {target}"
            subprocess.run([*namespaces(("--mount",)), "sh", "-c", script], input=text.encode(), check=True, timeout=60)

    def megabytes(self, *paths: str) -> int:
        """How much the newcomer's files take, in MB of 10^6 bytes; 0 for what is not there."""
        found = [str(self.root / path.removeprefix("/")) for path in paths]
        done = subprocess.run(
            [*namespaces(("--mount",)), "du", "--summarize", "--total", "--block-size=1MB", "--", *found],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return int(done.stdout.splitlines()[-1].split()[0])


def namespaces(kinds: Sequence[str]) -> tuple[str, ...]:
    """How a command is started in namespaces of its own, as root of them; it ends with this program."""
    own = () if os.geteuid() == 0 else ("--user", "--map-root-user", "--map-auto")
    fork = ("--fork", "--kill-child") if "--pid" in kinds else ()
    return ("setpriv", "--pdeathsig", "KILL", "unshare", *own, *kinds, *fork)


def _watched(command: Sequence[str], left: Path, timeout_s: float, heard: Callable[[Line], None]) -> Ran:
    left.unlink(missing_ok=True)
    started = time.monotonic()
    ran = Ran(status=-1, seconds=0.0)
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        deadline = threading.Timer(timeout_s, process.kill)
        deadline.start()
        try:
            assert process.stdout is not None
            for text in process.stdout:
                line = Line(round(time.monotonic() - started, 1), text.rstrip("\n"))
                ran.lines.append(line)
                heard(line)
            ran.status = process.wait()
        finally:
            deadline.cancel()
            process.kill()
    ran.seconds = round(time.monotonic() - started, 1)
    if ran.status == -signal.SIGKILL:
        ran.lines.append(Line(ran.seconds, f"it was ended after {ran.seconds:.0f} s"))
    if left.exists():
        ran.left = left.read_text(encoding="utf-8").strip()
        left.unlink()
    return ran
