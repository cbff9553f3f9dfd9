"""A private Asterisk's life: start, wait until booted, ask, restart, end. See :class:`PrivatePbx`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shlex
import shutil
import signal
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from ctiserver.errors import PeerLost, UserFault
from ctiserver.lab.privatepbx import ami
from ctiserver.lab.privatepbx.announcements import announcements
from ctiserver.lab.privatepbx.configuration import AMI_USER, PbxLayout, Plan, Ports, write
from ctiserver.lab.privatepbx.container import name_for
from ctiserver.lab.privatepbx.debian import Progress
from ctiserver.lab.privatepbx.ports import free_port, wanted_port
from ctiserver.lab.privatepbx.state import (
    State,
    absolute,
    make_accounts,
    read_accounts,
    run_dir,
    running,
    write_privately,
)
from ctiserver.lab.privatepbx.tree import Programs, find_programs
from ctiserver.model.asterisk import OLDEST_SUPPORTED
from ctiserver.pid import Process
from ctiserver.resources import shipped
from ctiserver.site.load import Site, load_site

DEFAULT_AGI = "127.0.0.1:4573"
BOOT_TIMEOUT_S = 30.0
CLI_TIMEOUT_S = 10.0
STOP_PATIENCE_S = 5.0

_BOOT_POLL_S = 0.02
_RTP_PORTS = 400
_VERSION = re.compile(r"Asterisk (?:certified[/-])?(\d+)\.(\d+)\.(\d+)")


def silent(_what: str, _done: float) -> None:
    """Progress that nobody watches."""


class PrivatePbx:
    """One private Asterisk on 127.0.0.1, with its accounts; from :meth:`start`, :meth:`launch` or :meth:`attach`."""

    ami_host = "127.0.0.1"
    ami_username = AMI_USER

    def __init__(self, layout: PbxLayout, state: State, accounts: dict[str, str]) -> None:
        self._layout = layout
        self._state = state
        self._process = Process(state.pid, state.started)
        self._dies_with_us = False
        self._ordered: list[Process] = []  #: consoles that still wait for an answer
        self.ami_secret = accounts["ami"]
        self.systemname = accounts.get("systemname", "")
        self.phone_secrets = {
            name.removeprefix("phone:"): secret for name, secret in accounts.items() if name.startswith("phone:")
        }

    @classmethod
    @contextlib.asynccontextmanager
    async def start(
        cls,
        state_dir: Path,
        *,
        site: Site | None = None,
        agi: str = DEFAULT_AGI,
        ports: Ports | None = None,
        programs: Programs | None = None,
        progress: Progress = silent,
    ) -> AsyncIterator[PrivatePbx]:
        """A booted Asterisk for as long as the block lasts. Its logs and messages stay in ``state_dir``.

        ``site`` is the shipped configuration unless given; ``agi`` is host:port of the server's FastAGI.

        Raises UserFault where no Asterisk can be had, it is too old, a port is in use, or it does not boot.
        """
        pbx = await cls._prepared(state_dir, site=site, agi=agi, ports=ports, programs=programs, progress=progress)
        pbx._dies_with_us = True
        await pbx._boot()
        try:
            yield pbx
        finally:
            await pbx.stop()

    @classmethod
    async def launch(
        cls,
        state_dir: Path,
        *,
        site: Site | None = None,
        agi: str = DEFAULT_AGI,
        ports: Ports | None = None,
        programs: Programs | None = None,
        progress: Progress = silent,
    ) -> PrivatePbx:
        """Start one that outlives us; :meth:`attach` finds it again. Otherwise as :meth:`start`."""
        pbx = await cls._prepared(state_dir, site=site, agi=agi, ports=ports, programs=programs, progress=progress)
        await pbx._boot()
        return pbx

    @classmethod
    async def _prepared(
        cls,
        state_dir: Path,
        *,
        site: Site | None,
        agi: str,
        ports: Ports | None,
        programs: Programs | None,
        progress: Progress,
    ) -> PrivatePbx:
        state_dir = absolute(state_dir)
        if running(state_dir) is not None:
            raise UserFault("a private PBX already runs here", where=str(state_dir), fix="`ctiserver pbx down` ends it")
        programs = programs or await find_programs(progress)
        version = await asterisk_version(programs)
        sounds = await announcements(programs)
        progress("starting Asterisk", 1.0)
        try:
            layout = PbxLayout(state_dir, run_dir(state_dir))
            accounts = make_accounts(layout, site := site or load_site(shipped("config")))
            plan = Plan(
                layout=layout,
                programs=programs,
                ports=ports or choose_ports(),
                agi=agi,
                ami_secret=accounts["ami"],
                systemname=accounts["systemname"],
                dialplan_key=accounts["dialplan"],
                phone_secrets={phone.name: accounts[f"phone:{phone.name}"] for phone in site.phones},
                sounds=sounds,
                site=site,
            )
            write(plan)
        except OSError as error:
            raise UserFault(
                f"the PBX's files can't be written ({error.strerror})",
                where=str(error.filename or state_dir),
                fix="Name a folder that is yours with --state",
            ) from error
        configuration = ("-C", str(layout.etc / "asterisk.conf"))
        start = ask = tuple(programs.command("asterisk"))
        kill: tuple[str, ...] = ()
        if "--argv0" in start:  # by a loader of a tree of its own
            start = (str(_starter(layout, start)),)
        if programs.container:
            name = name_for(state_dir)
            start = programs.container.run(folders=(state_dir, layout.run, sounds), name=name)
            ask, kill = programs.container.inside(name), programs.container.kill(name)
        state = State(
            pid=0,
            started=0,
            run=str(layout.run),
            version=version,
            agi=agi,
            ports=plan.ports,
            sounds=str(sounds),
            packages=programs.packages,
            start=(*start, *configuration, "-f"),
            ask=(*ask, *configuration),
            kill=kill,
        )
        return cls(layout, state, accounts)

    @classmethod
    def attach(cls, state_dir: Path) -> PrivatePbx:
        """The one that runs in ``state_dir``. Raises UserFault if none does."""
        state_dir = absolute(state_dir)
        state = running(state_dir)
        if state is None:
            raise UserFault("no private PBX runs here", where=str(state_dir), fix="`ctiserver pbx up` starts one")
        layout = PbxLayout(state_dir, Path(state.run))
        return cls(layout, state, read_accounts(layout))

    @property
    def ami_port(self) -> int:
        return self._state.ports.ami

    @property
    def sip_port(self) -> int:
        return self._state.ports.sip

    @property
    def http_port(self) -> int:
        return self._state.ports.http

    @property
    def agi(self) -> str:
        """host:port where its dialplan looks for the server's FastAGI."""
        return self._state.agi

    @property
    def version(self) -> str:
        return self._state.version

    @property
    def packages(self) -> str:
        """Whether its Debian packages are those that last passed the tests; empty for an Asterisk from elsewhere."""
        return self._state.packages

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def ports(self) -> Ports:
        return self._state.ports

    @property
    def console_command(self) -> list[str]:
        """How Asterisk's own console is opened."""
        return [*self._state.ask, "-r"]

    @property
    def secrets_path(self) -> Path:
        """All secrets, as JSON, by what they are for."""
        return self._layout.state / "secrets.json"

    @property
    def ami_secret_path(self) -> Path:
        """The AMI secret alone, for ctiserver.yaml's ``secret_file``."""
        return self._layout.state / "ami.secret"

    @property
    def systemname_path(self) -> Path:
        """Its secret systemname, for ctiserver.yaml's ``systemname_file``."""
        return self._layout.state / "systemname"

    @property
    def phones_url(self) -> str:
        """Where phones in browsers find it, for ctiserver.yaml's ``browser_phones.url``."""
        return f"ws://{self.ami_host}:{self.http_port}/ws"

    @property
    def browser_phones_path(self) -> Path:
        """The passwords of the phones in browsers, for ctiserver.yaml's ``browser_phones.secrets_file``."""
        return self._layout.state / "browser-phones.json"

    @property
    def log_path(self) -> Path:
        return self._layout.log / "full"

    @property
    def astdb_path(self) -> Path:
        """Where Asterisk writes its database, AstDB, down about once a second."""
        return self._layout.state / "var/astdb.sqlite3"

    @property
    def queue_log_path(self) -> Path:
        return self._layout.log / "queue_log"

    @property
    def cdr_path(self) -> Path:
        """The call detail records, one CSV line a leg; columns as ``cdr_custom.conf`` there says."""
        return self._layout.log / "cdr-custom/Master.csv"

    @property
    def epoch_cdr_path(self) -> Path:
        """The same records with times that no time zone changes: what `ctiserver reconcile` reads."""
        return self._layout.log / "cdr-custom/ctiserver.csv"

    @property
    def sounds_dir(self) -> Path:
        """The fallback's announcements, ``<language>/<name>.wav``."""
        return Path(self._state.sounds)

    @property
    def voicemail_dir(self) -> Path:
        return self._layout.voicemail

    @property
    def recordings_dir(self) -> Path:
        return self._layout.recordings

    @property
    def alive(self) -> bool:
        return self._process.alive

    async def cli(self, command: str) -> str:
        """What Asterisk's console answers to ``command``. Raises PeerLost when it is not there to answer."""
        try:
            async with asyncio.timeout(CLI_TIMEOUT_S):
                status, output = await _output([*self._state.ask, "-rx", command])
        except TimeoutError:
            raise PeerLost(f"Asterisk did not answer {command!r} within {CLI_TIMEOUT_S:.0f} s") from None
        if status or output.startswith("Unable to connect"):
            raise PeerLost(f"Asterisk is not there to answer: {output.strip()}")
        return output

    def order(self, command: str) -> None:
        """Have Asterisk's console do ``command``, and don't wait for its answer: `core stop gracefully` gives none."""
        asked = Process.spawn([*self._state.ask, "-rx", command], Path(os.devnull), dies_with_us=True)
        self._ordered = [one for one in self._ordered if one.alive] + [asked]

    def send(self, number: signal.Signals) -> None:
        """Signal Asterisk itself."""
        self._process.send(number)

    async def ended(self, within_s: float) -> None:
        """Wait until Asterisk has ended by itself. Raises PeerLost where it does not."""
        try:
            async with asyncio.timeout(within_s):
                await self._process.ended()
        except TimeoutError:
            raise PeerLost(f"Asterisk did not end within {within_s:.0f} s") from None

    async def stop(self) -> None:
        """End it and nothing else. Calls end with it."""
        await self._end()
        self._forget()

    async def kill(self) -> None:
        """SIGKILL, as a power cut would: no event, no clean end."""
        if self._state.kill:
            await _output(list(self._state.kill))
        await self._process.kill()

    async def restart(self) -> None:
        """End it if it still runs, and boot it again on the same ports with the same accounts and database."""
        await self._end()
        await self._boot()

    async def _end(self) -> None:
        await self._process.stop(STOP_PATIENCE_S)
        for console in self._ordered:
            await console.kill()
        self._ordered.clear()
        if self._state.kill:  # its client may have been killed before it
            await _output(list(self._state.kill))

    async def _boot(self) -> None:
        output = self._layout.log / "output"
        with contextlib.suppress(FileNotFoundError):
            self.log_path.rename(self.log_path.with_suffix(".old"))
        # The one before is gone. A child that it forked as it was killed may hold its socket for a moment longer, and
        # Asterisk that can connect to that believes another one runs.
        (self._layout.run / "asterisk.ctl").unlink(missing_ok=True)
        try:
            self._process = Process.spawn(self._state.start, output, dies_with_us=self._dies_with_us)
        except OSError as error:
            raise UserFault(
                f"Asterisk can't be started ({error.strerror})", where=self._state.start[0], fix="Fetch it again"
            ) from error
        self._state = replace(self._state, pid=self._process.pid, started=self._process.started)
        try:
            write_privately(self._layout.state / "pbx.json", json.dumps(asdict(self._state)))
            async with asyncio.timeout(BOOT_TIMEOUT_S):
                await self._booted()
        except BaseException as error:
            await self.kill()
            self._forget()
            if isinstance(error, TimeoutError):
                raise UserFault(
                    f"Asterisk did not boot within {BOOT_TIMEOUT_S:.0f} s: {self._last_error()}",
                    where=str(self.log_path),
                    fix="See its log",
                ) from error
            raise

    async def _booted(self) -> None:
        while True:
            if not self._process.alive:
                raise UserFault(
                    f"Asterisk ended while it booted: {self._last_error()}",
                    where=str(self.log_path),
                    fix="See its log, and the file `output` beside it",
                )
            try:
                await ami.wait_booted(self.ami_host, self.ami_port, AMI_USER, self.ami_secret)
                break
            except (OSError, PeerLost):
                await asyncio.sleep(_BOOT_POLL_S)
        # Asterisk boots on without a SIP port that somebody else was quicker to take.
        transports = await self.cli("pjsip show transports")
        if f"127.0.0.1:{self.sip_port}" not in transports:
            raise UserFault(
                f"SIP port {self.sip_port} on 127.0.0.1 is in use", where="--sip-port", fix="Choose another"
            )

    def _last_error(self) -> str:
        for path in (self.log_path, self._layout.log / "output"):
            with contextlib.suppress(OSError):
                lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
                errors = [line for line in lines if "ERROR" in line] or lines
                if errors:
                    return errors[-1]
        return "it said nothing"

    def _forget(self) -> None:
        (self._layout.state / "pbx.json").unlink(missing_ok=True)
        if self._layout.run.parent != self._layout.state:
            shutil.rmtree(self._layout.run, ignore_errors=True)


def _starter(layout: PbxLayout, command: Sequence[str]) -> Path:
    """A program that starts Asterisk: `core restart` runs the name that Asterisk was started by, with its arguments."""
    starter = layout.run / "asterisk"
    words = [*command[: command.index("--argv0")], "--argv0", str(starter), *command[command.index("--argv0") + 2 :]]
    write_privately(starter, "#!/bin/sh\nexec " + shlex.join(words) + ' "$@"\n')
    starter.chmod(0o700)
    return starter


def choose_ports(sip: int = 0, ami: int = 0, http: int = 0) -> Ports:
    """Ports that are free now; those that are given must be. Raises UserFault naming the option of one that is not."""
    taken = frozenset(port for port in (sip, ami, http) if port)
    chosen = dict.fromkeys(("sip", "ami", "http"), 0)
    for name, port in (("sip", sip), ("ami", ami), ("http", http)):
        chosen[name] = wanted_port(port, f"--{name}-port") if port else free_port(taken | frozenset(chosen.values()))
    # Asterisk passes over single RTP ports that are in use.
    rtp_first = free_port(taken | frozenset(chosen.values()))
    return Ports(**chosen, rtp_first=rtp_first, rtp_last=rtp_first + _RTP_PORTS - 1)


async def asterisk_version(programs: Programs) -> str:
    """The version of ``programs``' Asterisk. Raises UserFault if it is older than the oldest supported."""
    command = programs.command("asterisk")
    try:
        _, output = await _output([*command, "-V"])
    except OSError as error:
        raise UserFault(f"Asterisk can't be started ({error.strerror})", where=command[0], fix="Install it") from error
    found = _VERSION.search(output)
    if found is None:
        raise UserFault(f"no Asterisk: it says {output.strip()[:80]!r} of itself", where=command[0], fix="Install one")
    version = (int(found[1]), int(found[2]), int(found[3]))
    if version < OLDEST_SUPPORTED.get(version[0], (max(OLDEST_SUPPORTED), 0, 0)):
        raise UserFault(
            f"Asterisk {'.'.join(map(str, version))} is too old: its security advisories are open",
            where=command[-1],
            fix="Install 22.8.2 or later (or 20.18.2 or later of version 20)",
        )
    return ".".join(map(str, version))


async def _output(command: list[str]) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, output.decode("utf-8", "replace")
