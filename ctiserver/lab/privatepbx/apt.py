"""apt with directories of its own: it resolves dependencies, checks signatures and downloads, as an ordinary user.

What a program never loads is kept out by *stand-ins*: packages that apt is told are installed. A stand-in whose name a
later release no longer has does nothing, and apt fetches the real thing.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from ctiserver.errors import UserFault
from ctiserver.lab.privatepbx.debian import MIRROR_VARIABLE, Progress, Recipe, architecture, debian_mirror

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
#: How packages of a named suite are trusted.
SOURCE_OPTIONS = f"[signed-by={KEYRING}]"

_DOWNLOADED = re.compile(rb"dlstatus:\d+:([\d.]+):")
_NOT_THERE = re.compile(r"E: (?:Unable to locate package (\S+)|Package '(\S+)' has no installation candidate)")
_UNMET = re.compile(r"^ ?(\S+) : .*(?:Depends|Conflicts|Breaks): ")

# The list of which file lies in which package; apt knows it only where apt-file is installed. It is long, and fetched
# only when nothing else tells where a library lies.
_CONTENTS = """Acquire::IndexTargets::deb::ctiserver-files {
  MetaKey "$(COMPONENT)/Contents-$(ARCHITECTURE)";
  ShortDescription "Contents-$(ARCHITECTURE)";
  Description "$(RELEASE)/$(COMPONENT) $(ARCHITECTURE) Contents (deb)";
  flatMetaKey "Contents-$(ARCHITECTURE)";
  flatDescription "$(RELEASE) Contents (deb)";
  KeepCompressed "true";
  Optional "true";
  DefaultEnabled "true";
};
"""

#: What apt says, what that means, and what helps; the first that matches counts.
_FAULTS = (
    (
        r"Hash Sum mismatch|unexpected size|Mirror sync in progress|404 +Not Found|File not found|Failed to stat",
        "the mirror is half-synchronised",
        "Try again in an hour, or name another mirror with " + MIRROR_VARIABLE,
    ),
    (r"not valid yet", "this machine's clock is behind", "Set the clock, then try again"),
    (
        r"NO_PUBKEY|not signed|signatures? (?:couldn't|were invalid)|does not have a Release file",
        "the mirror's signature can't be checked",
        "Upgrade debian-archive-keyring, or name another mirror with " + MIRROR_VARIABLE,
    ),
    (
        r"No space left|enough free space|Disk quota|File too large|received signal 25",
        "there is not enough room on the disk",
        "Free some space, then try again",
    ),
    (
        r"Could not resolve|Temporary failure|Network is unreachable|No route to host|[Cc]onnection|Could not connect"
        r"|[Tt]imed out|Failed to fetch|50[0-9] ",
        "the mirror can't be reached",
        "See that this machine has a network and that its mirror can be reached, then try again",
    ),
    (r"not installable|not going to be installed|Unable to locate", "the mirror lacks a package", "Try again tomorrow"),
)


def need_tools(recipe: Recipe) -> None:
    """Raise UserFault where this machine lacks apt or Debian's keys."""
    missing = [tool for tool in ("apt-get", "apt-cache", "dpkg-deb", "tar") if shutil.which(tool) is None]
    if missing:
        raise UserFault(
            f"unpacking Debian packages needs {' and '.join(missing)}, which this machine lacks",
            fix="Use a Debian-like machine, or a container engine, or install Asterisk yourself",
        )
    if recipe.suite is not None and not KEYRING.exists():
        raise UserFault(
            "Debian's signing keys are not on this machine", where=str(KEYRING), fix="Install debian-archive-keyring"
        )


class Apt:
    """One recipe's packages, fetched below the folder ``work``; :meth:`update` comes first."""

    def __init__(self, recipe: Recipe, work: Path, progress: Progress) -> None:
        self._recipe = recipe
        self._work = work
        self._progress = progress
        self.stand_ins = set(recipe.stand_ins)
        self.withdrawn: list[str] = []  #: packages of the recipe that the list no longer holds
        self._packages = list(recipe.packages)
        self._own_versions = bool(recipe.passed)
        self._environment = os.environ | {
            "APT_CONFIG": str(work / "apt.conf"),
            "LC_ALL": "C",
            "DEBIAN_FRONTEND": "noninteractive",
        }

    @property
    def source(self) -> str:
        """Where the packages come from, in words."""
        return f"{debian_mirror()} {self._recipe.suite}" if self._recipe.suite else "this machine's own sources"

    @property
    def archives(self) -> Path:
        return self._work / "archives"

    async def update(self) -> None:
        """Read the package lists. Raises UserFault."""
        for folder in ("none", "state/lists/partial", "cache", "archives/partial"):
            (self._work / folder).mkdir(parents=True)
        self._configure()
        self._progress(f"reading the package list of {self.source}", 0.0)
        # One broken source among the machine's own must not count when the others hold all that is wanted.
        any_error = ["-o", "APT::Update::Error-Mode=any"] if self._recipe.suite else []
        try:
            await self._get([*any_error, "update", "-qq"], "reading the package list", 0.0, 0.05)
        except UserFault:
            if self._recipe.suite or not any((self._work / "state/lists").glob("*Packages*")):
                raise
        self._packages = [await self._first_known(names.split("|")) for names in self._recipe.packages]

    async def fetch(self, besides: Iterable[str] = ()) -> list[Path]:
        """Download the recipe's packages, those named, and what they depend on; the files, all of them.

        A package of the recipe that no list holds is left out and noted in ``withdrawn``; a stand-in, or a version that
        passed, with which nothing fits together is given up. Raises UserFault.
        """
        while True:
            self._configure()
            wanted = [name for name in dict.fromkeys((*self._packages, *besides)) if name not in self.withdrawn]
            try:
                if wanted:
                    await self._get(
                        ["install", "-y", "-q", "--download-only", *wanted], "fetching packages", 0.05, 0.65
                    )
                return sorted(self.archives.glob("*.deb"))
            except AptFailed as fault:
                gone = [name for pair in _NOT_THERE.findall("\n".join(fault.said)) for name in pair if name in wanted]
                unmet = [line for line in fault.said if _UNMET.match(line)]
                # A package may want a certain version of what a stand-in stands for, or none of it.
                in_the_way = self.stand_ins & set(re.findall(r"[a-z0-9][a-z0-9+.-]+", " ".join(unmet)))
                if gone:
                    self.withdrawn += gone
                elif in_the_way:
                    self.stand_ins -= in_the_way
                elif unmet and self._own_versions:
                    self._own_versions = False  # those that passed don't fit today's: the newest of all
                elif unmet and self.stand_ins:
                    self.stand_ins.clear()
                else:
                    raise

    async def known(self, names: Iterable[str]) -> list[str]:
        """Those of ``names`` that the lists hold, in order."""
        names = list(dict.fromkeys(names))
        if not names:
            return []
        said = await self._output("apt-cache", "madison", *names)
        held = {line.split("|")[0].strip() for line in said.splitlines() if "|" in line}
        return [name for name in names if name in held]

    async def holders(self, paths: Iterable[str]) -> dict[str, list[str]]:
        """Which packages hold a file whose path ends in one of ``paths``: from the long list of all files."""
        self._progress("looking up which package holds a file", 0.9)
        (self._work / "contents.conf").write_text((self._work / "apt.conf").read_text() + _CONTENTS, encoding="utf-8")
        environment = self._environment | {"APT_CONFIG": str(self._work / "contents.conf")}
        try:
            await self._get(["update", "-qq"], "reading the list of files", 0.9, 0.02, environment)
        except UserFault:
            return {}  # it is a help, not a need: what is missing is then said
        said = await self._output(
            "apt-get", "indextargets", "--format", "$(FILENAME)", "Created-By: ctiserver-files", environment=environment
        )
        found: dict[str, list[str]] = {path: [] for path in paths}
        for name in said.split():
            text = await self._output_bytes("/usr/lib/apt/apt-helper", "cat-file", name, environment=environment)
            for path, holders in found.items():
                holders += await asyncio.to_thread(_holders, text, path.encode())
        return found

    async def _first_known(self, names: Sequence[str]) -> str:
        return next(iter(await self.known(names)), names[0]) if len(names) > 1 else names[0]

    def _configure(self) -> None:
        work, recipe = self._work, self._recipe
        lines = [
            f'Dir::State "{work}/state";',
            f'Dir::Cache "{work}/cache";',
            f'Dir::Cache::archives "{work}/archives";',
            f'Dir::State::status "{work}/status";',
            f'Dir::Etc::preferences "{work}/preferences";',
            'Acquire::Check-Valid-Until "false";',  # a mirror may be a snapshot past its date; signatures still count
            'Acquire::Languages "none";',
            'Acquire::Retries "2";',
            'Acquire::http::Timeout "20";',
            'Acquire::https::Timeout "20";',
            'APT::Install-Recommends "false";',
            'APT::Sandbox::User "";',
            'Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";',
            'Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";',
            "#clear APT::Update::Post-Invoke;",
            "#clear APT::Update::Post-Invoke-Success;",
            "#clear DPkg::Post-Invoke;",
        ]
        if recipe.suite is not None:
            # apt leaves what a mirror on this disk holds where it is, unless it is told to copy.
            mirror = re.sub("^file:/*", "copy:/", debian_mirror())
            (work / "sources.list").write_text(f"deb {SOURCE_OPTIONS} {mirror} {recipe.suite} main\n", encoding="utf-8")
            lines += [
                f'Dir::Etc::sourcelist "{work}/sources.list";',
                f'Dir::Etc::sourceparts "{work}/none";',
                f'Dir::Etc::preferencesparts "{work}/none";',
                'Dir::Etc::trusted "/dev/null";',
            ]
        (work / "apt.conf").write_text("\n".join(lines) + "\n", encoding="utf-8")
        (work / "status").write_text(_status(sorted(self.stand_ins)), encoding="utf-8")
        # Not of a stand-in: apt would think that it shall be replaced by an older version.
        pins = {name: version for name, version in recipe.passed.items() if name not in self.stand_ins}
        entries = [f"Package: {name}\nPin: version {version}\nPin-Priority: 1001\n" for name, version in pins.items()]
        (work / "preferences").write_text("\n".join(entries) if self._own_versions else "", encoding="utf-8")

    async def _get(
        self, arguments: list[str], what: str, start: float, part: float, environment: dict[str, str] | None = None
    ) -> None:
        """Run apt-get; its own words are the fault's when it fails."""
        process = await asyncio.create_subprocess_exec(
            "apt-get",
            "-o",
            "APT::Status-Fd=1",
            *arguments,
            env=environment or self._environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        assert process.stdout is not None
        said: list[str] = []
        try:
            async for line in process.stdout:
                percent = _DOWNLOADED.match(line)
                if percent:
                    self._progress(what, start + part * float(percent[1]) / 100)
                else:
                    said.append(line.decode("utf-8", "replace").rstrip())
            status = await process.wait()
        finally:
            await _end(process)
        if status:
            raise AptFailed(f"apt-get {next(word for word in arguments if word.isalpha())}", said)

    async def _output(self, *command: str, environment: dict[str, str] | None = None) -> str:
        return (await self._output_bytes(*command, environment=environment)).decode("utf-8", "replace")

    async def _output_bytes(self, *command: str, environment: dict[str, str] | None = None) -> bytes:
        """What a query of the lists writes; one that fails has nothing to say."""
        process = await asyncio.create_subprocess_exec(
            *command,
            env=environment or self._environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            output, _ = await process.communicate()
        finally:
            await _end(process)
        return output


class AptFailed(UserFault):
    """apt-get failed; ``said`` is all that it wrote."""

    def __init__(self, command: str, said: list[str]) -> None:
        self.said = said
        text = "\n".join(said)
        meaning, fix = next(
            ((meaning, fix) for pattern, meaning, fix in _FAULTS if re.search(pattern, text)),
            ("", "See that the mirror in this machine's apt sources can be reached, then try again"),
        )
        reasons = [line.strip() for line in said if _UNMET.match(line)]
        reasons += [line for line in said if re.match("E: (?!Some (?:index )?files failed)", line)]
        reasons = reasons or said[-3:] or ["it gave no reason"]
        super().__init__(f"{command} failed{meaning and f': {meaning}'}: {' '.join(reasons[:3])}", fix=fix)


def _holders(contents: bytes, path: bytes) -> list[str]:
    """The packages of the lines ``…/path  section/package,section/package``."""
    names: list[str] = []
    at = contents.find(path)
    while at >= 0:
        begins = at == 0 or contents[at - 1 : at] in (b"/", b"\n")
        rest = contents[at + len(path) : contents.find(b"\n", at)]
        if begins and rest[:1] in (b" ", b"\t"):
            names += [holder.rpartition("/")[2] for holder in rest.decode("utf-8", "replace").strip().split(",")]
        at = contents.find(path, at + 1)
    return names


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
        await process.wait()


def _status(stand_ins: Sequence[str]) -> str:
    debian = architecture().debian
    return "".join(
        f"Package: {name}\nStatus: install ok installed\nArchitecture: {debian}\n"
        f"Multi-Arch: {'same' if name.startswith('lib') else 'allowed' if name == 'python3' else 'foreign'}\n"
        "Version: 9999:1\nMaintainer: nobody\nDescription: stand-in\n\n"
        for name in stand_ins
    )
