"""The clean systems and how they are built: once, then kept as archives for a week, since a suite moves.

Each has two archives: `base` is what the distribution calls minimal, `newcomer` has git, make and an ordinary user too.
As root they are built by debootstrap, else by mmdebstrap in a user namespace.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tools.fresh.machine import Machine, debian_sources
from tools.fresh.sandbox import NEWCOMER, ROOT, Sandbox, Unavailable, namespaces

_KEPT_S = 7 * 24 * 3600
_BUILD_TIMEOUT_S = 900
_APT = "apt-get -q -y --no-install-recommends -o Dpkg::Use-Pty=0"


@dataclass(frozen=True, slots=True)
class System:
    """A release to try."""

    name: str
    suite: str
    keyring: str = ""  #: package and file that sign it; empty: the machine's own
    script: str = ""  #: debootstrap's, where it may not know the suite yet
    components: str = "main"

    def sources(self) -> list[str]:
        """Lines of sources.list; none: the builder's own mirror."""
        return [] if self.keyring else debian_sources(self.suite)


SYSTEMS = (
    System("debian-12", "bookworm"),
    System("debian-13", "trixie"),
    System("ubuntu-26.04", "resolute", keyring="ubuntu-archive-keyring", script="gutsy", components="main,universe"),
)


def cache_folder() -> Path:
    """Where the archives are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ctiserver" / "fresh"


@contextmanager
def unpacked(
    system: System, kind: str, machine: Machine, say: Callable[[str], None] = lambda text: None
) -> Iterator[Sandbox]:
    """A fresh copy of a system, `base` or `newcomer`, for the length of the block. Raises Unavailable."""
    _see_that_it_can_be(system)
    with tempfile.TemporaryDirectory(prefix="ctiserver-fresh-", ignore_cleanup_errors=True) as work:
        archive = _archive(system, kind, machine, Path(work), say)
        sandbox = Sandbox(Path(work) / "system", machine)
        _unpack(archive, sandbox.root)
        sandbox.write(machine.files)
        try:
            yield sandbox
        finally:
            _remove(sandbox.root)


def _see_that_it_can_be(system: System) -> None:
    builder = "debootstrap" if os.geteuid() == 0 else "mmdebstrap"
    for program, package in (("unshare", "util-linux"), ("tar", "tar"), (builder, builder)):
        if shutil.which(program) is None:
            raise Unavailable(f"{program} is not on this machine: sudo apt-get install {package}")
    tried = subprocess.run([*namespaces(("--mount", "--pid")), "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        raise Unavailable(
            f"this machine lets {'root' if os.geteuid() == 0 else 'this user'} make no namespaces"
            f" ({tried.stderr.strip()}): run it as root, on a machine that is not a container"
        )
    if system.keyring and not Path(f"/usr/share/keyrings/{system.keyring}.gpg").exists():
        raise Unavailable(f"its signing keys are not on this machine: sudo apt-get install {system.keyring}")


def _archive(system: System, kind: str, machine: Machine, work: Path, say: Callable[[str], None]) -> Path:
    """The archive of a system, built where none or only an old one is kept; two builders do not meet."""
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / f"{system.name}.{kind}.tar.gz"
    with (folder / f"{system.name}.{kind}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if archive.exists() and time.time() - archive.stat().st_mtime < _KEPT_S:
            return archive
        started = time.monotonic()
        root = work / kind
        try:
            if kind == "base":
                say(f"building a minimal {system.name}")
                _bootstrap(system, root)
            else:
                base = _archive(system, "base", machine, work, say)
                say(f"adding git, make and an ordinary user to {system.name}")
                _unpack(base, root)
                _settle(Sandbox(root, machine))
            _pack(root, archive)
        finally:
            _remove(root)
        say(f"{archive.name}: {time.monotonic() - started:.0f} s, {archive.stat().st_size / 1e6:.0f} MB")
        return archive


def _bootstrap(system: System, root: Path) -> None:
    sources = system.sources()
    mirror = sources[0].split()[1] if sources else ""
    keyring = (f"--keyring=/usr/share/keyrings/{system.keyring}.gpg",) if system.keyring else ()
    components = f"--components={system.components}"
    if os.geteuid() == 0:
        builder = "debootstrap"
        script = (system.script,) if system.script else ()
        command = [builder, "--variant=minbase", components, *keyring, system.suite, str(root), mirror, *script]
    else:
        builder = "mmdebstrap"
        command = [
            *(builder, "--mode=unshare", "--variant=minbase", "--format=directory", components, *keyring),
            *(system.suite, str(root), *([mirror] if mirror else [])),
        ]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=_BUILD_TIMEOUT_S, check=False
    )
    if done.returncode:
        lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
        raise Unavailable(f"{builder} could not build it ({lines[-1] if lines else 'it said nothing'})")
    if sources:
        Sandbox(root, Machine({}, {}, ())).write({"/etc/apt/sources.list": "".join(f"{line}\n" for line in sources)})


def _settle(sandbox: Sandbox) -> None:
    """Bring what the README asks for before the first command, but for what `make` itself says is missing."""
    sandbox.write(sandbox.machine.files)
    ran = sandbox.run(
        f"set -e; apt-get -q update; {_APT} install git make; apt-get clean; rm -rf /var/lib/apt/lists/*\n"
        f"useradd --create-home --uid {NEWCOMER.uid} --shell /bin/bash {NEWCOMER.name}\n"
        "git config --system --add safe.directory '*'",
        timeout_s=_BUILD_TIMEOUT_S,
        account=ROOT,
    )
    if ran.status:
        raise Unavailable(f"git and make could not be installed in it ({ran.lines[-1].text})")


def _pack(root: Path, archive: Path) -> None:
    fresh = archive.with_suffix(".new")
    _as_root(
        "tar", "--create", "--use-compress-program=gzip -1", "--numeric-owner", f"--directory={root}", ".", to=fresh
    )
    fresh.replace(archive)


def _unpack(archive: Path, root: Path) -> None:
    root.mkdir()
    # A device needs a right that nobody has in a user namespace, and each run mounts a /dev of its own.
    _as_root(
        *("tar", "--extract", "--gzip", "--numeric-owner", "--same-permissions", "--exclude=./dev/*"),
        *(f"--directory={root}", f"--file={archive}"),
    )


def _remove(root: Path) -> None:
    if root.exists():
        _as_root("rm", "-rf", "--one-file-system", str(root))


def _as_root(*command: str, to: Path | None = None) -> None:
    """Run a program as root of a namespace: outside of it the files belong to nobody whom an ordinary user may be."""
    with open(to or os.devnull, "wb") as out:
        done = subprocess.run(
            [*namespaces(("--mount",)), *command], stdout=out, stderr=subprocess.PIPE, timeout=300, check=False
        )
    if done.returncode:
        raise Unavailable(f"{command[0]} failed: {done.stderr.decode(errors='replace').strip()[-300:]}")


def named(names: Sequence[str]) -> list[System]:
    """The systems of these names. Raises Unavailable for a name that is none."""
    by_name = {system.name: system for system in SYSTEMS}
    unknown = [name for name in names if name not in by_name]
    if unknown:
        raise Unavailable(f"'{unknown[0]}' is not one of {', '.join(by_name)}")
    return [by_name[name] for name in names]
