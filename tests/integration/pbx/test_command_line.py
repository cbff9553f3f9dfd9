"""``ctiserver pbx`` as a user types it: processes, exit statuses, words."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import signal
import socket
import sqlite3
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from ctiserver.errors import UserFault
from ctiserver.lab.privatepbx.lifecycle import PrivatePbx
from ctiserver.lab.privatepbx.ports import free_port
from ctiserver.lab.privatepbx.tree import Programs
from ctiserver.pid import Process
from tests.support.eventually import eventually


@dataclass(frozen=True)
class Said:
    """What a command answered."""

    status: int
    out: str
    err: str


@dataclass(frozen=True)
class CommandLine:
    """``ctiserver pbx … --state <a folder of the test's own>``."""

    state: Path

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "ctiserver", "pbx", *arguments, "--state", str(self.state)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )

    async def __call__(self, *arguments: str) -> Said:
        process = await self.start(*arguments)
        async with asyncio.timeout(60):
            out, err = await process.communicate()
        assert process.returncode is not None
        return Said(process.returncode, out.decode(), err.decode())


@pytest_asyncio.fixture
async def pbx_command(tmp_path: Path, programs: Programs) -> AsyncIterator[CommandLine]:
    command = CommandLine(tmp_path / "pbx")
    yield command
    await command("down")


async def test_up_status_cli_logs_down(pbx_command: CommandLine) -> None:
    up = await pbx_command("up", "--json")
    assert up.status == 0, up.err
    facts = json.loads(up.out)
    assert facts["state"] == "up"
    assert facts["phones"] == ["agent1", "agent2", "agent3", "web1", "web2"]
    started = json.loads((pbx_command.state / "pbx.json").read_text(encoding="utf-8"))["started"]
    assert Path(facts["ami_secret_file"]).read_text(encoding="utf-8").strip()

    status = await pbx_command("status", "--json")
    assert status.status == 0
    assert {**json.loads(status.out), "seconds": 0} == {**facts, "seconds": 0, "calls": 0}
    words = await pbx_command("status")
    assert words.out.startswith("Asterisk ")
    assert " is up with 0 calls." in words.out
    assert facts["ami"] in words.out

    asked = await pbx_command("cli", "dialplan", "show", "cti-call")
    assert asked.status == 0
    assert "AGI(${CTI_AGI}/flow" in asked.out

    logs = await pbx_command("logs", "-n", "5")
    assert logs.status == 0
    assert 1 <= len(logs.out.splitlines()) <= 5
    errors = [
        line
        for line in Path(facts["log"]).read_text(encoding="utf-8", errors="replace").splitlines()
        if " ERROR[" in line
    ]
    assert errors == []

    down = await pbx_command("down")
    assert (down.status, down.out) == (0, "Asterisk is down.\n")
    assert not Process(facts["pid"], started).alive
    gone = await pbx_command("status", "--json")
    assert (gone.status, json.loads(gone.out)) == (1, {"state": "down"})


async def test_a_second_one_in_the_same_folder_is_refused_and_the_first_stays(pbx_command: CommandLine) -> None:
    assert (await pbx_command("up")).status == 0
    again = await pbx_command("up")
    assert again.status == 2
    assert "a private PBX already runs here. `ctiserver pbx down` ends it" in again.err
    assert (await pbx_command("status")).status == 0


async def test_what_needs_one_says_how_to_start_it(pbx_command: CommandLine) -> None:
    for arguments in (("down",), ("cli", "core show version"), ("capture", str(pbx_command.state / "x.ami"))):
        said = await pbx_command(*arguments)
        assert said.status == 2
        assert "no private PBX runs here. `ctiserver pbx up` starts one" in said.err
        assert "Traceback" not in said.err


async def test_capture_records_the_stream_until_ctrl_c(pbx_command: CommandLine, tmp_path: Path) -> None:
    assert (await pbx_command("up")).status == 0
    file = tmp_path / "stream.ami"
    recorder = await pbx_command.start("capture", str(file))

    async def recorded() -> bytes:
        return file.read_bytes() if file.exists() else b""

    await eventually(recorded, lambda data: b"Event: FullyBooted" in data, within_s=15.0)
    await pbx_command("cli", "queue add member PJSIP/agent1 to repair")
    await eventually(recorded, lambda data: b"Event: QueueMemberAdded" in data)
    recorder.send_signal(signal.SIGINT)
    _, err = await recorder.communicate()
    assert recorder.returncode == 0
    data = file.read_bytes()
    assert data.startswith(b"Asterisk Call Manager/")
    assert f"{len(data)} bytes" in err.decode()
    secret = json.loads((pbx_command.state / "secrets.json").read_text(encoding="utf-8"))["ami"]
    assert secret.encode() not in data
    names = set(re.findall(rb"Event: (\w+)", data))
    assert b"TestEvent" not in names
    assert b"VarSet" not in names


@pytest.mark.parametrize("option", ["--sip-port", "--ami-port", "--http-port"])
async def test_port_in_use_names_the_option_and_starts_nothing(pbx_command: CommandLine, option: str) -> None:
    port = free_port()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        said = await pbx_command("up", option, str(port))
    assert said.status == 2
    assert f"{option}: port {port} on 127.0.0.1 is in use. Choose another, or 0 for any" in said.err
    assert (await pbx_command("status")).status == 1


async def test_asterisk_that_ends_while_it_boots_is_quoted(pbx_command: CommandLine, programs: Programs) -> None:
    broken = pbx_command.state.parent / "asterisk"
    broken.write_text(
        '#!/bin/sh\n[ "$1" = -V ] && { echo "Asterisk 22.10.1"; exit; }\necho "ERROR: no room on the device"; exit 1\n',
        encoding="utf-8",
    )
    broken.chmod(0o755)
    with pytest.raises(UserFault, match="Asterisk ended while it booted: ERROR: no room on the device"):
        await PrivatePbx.launch(pbx_command.state, programs=_with_asterisk(programs, broken))
    assert (await pbx_command("status")).status == 1


@pytest.mark.parametrize("version", ["20.18.1", "22.8.1", "18.26.4", "21.12.2"])
async def test_asterisk_that_is_too_old_is_refused(tmp_path: Path, programs: Programs, version: str) -> None:
    old = tmp_path / "asterisk"
    old.write_text(f"#!/bin/sh\necho Asterisk {version}~dfsg\n", encoding="utf-8")
    old.chmod(0o755)
    with pytest.raises(UserFault, match=rf"Asterisk {version} is too old.*Install 22\.8\.2 or later") as fault:
        await PrivatePbx.launch(tmp_path / "pbx", programs=_with_asterisk(programs, old))
    assert fault.value.where == str(old)
    assert not (tmp_path / "pbx").exists()


async def test_killed_and_restarted_it_keeps_members_and_accounts(tmp_path: Path, programs: Programs) -> None:
    async with PrivatePbx.start(tmp_path / "pbx", programs=programs) as pbx:
        await pbx.cli("queue add member PJSIP/agent1 to repair penalty 1 as Agent1")
        # Asterisk writes its database out once a second: what is younger is lost with a power cut.
        await eventually(lambda: _persistent_members(tmp_path / "pbx"), lambda found: "PJSIP/agent1" in found)
        secret, ports = pbx.ami_secret, pbx.ports
        await pbx.kill()
        assert not pbx.alive
        await pbx.restart()
        assert (pbx.ami_secret, pbx.ports) == (secret, ports)
        assert "Agent1 (PJSIP/agent1) with penalty 1" in await pbx.cli("queue show repair")
        pid = pbx.pid
    assert not Path(f"/proc/{pid}").exists()  # our child: collected, not only dead
    assert not (tmp_path / "pbx/pbx.json").exists()


async def test_state_folder_too_deep_for_a_socket_works_all_the_same(tmp_path: Path, programs: Programs) -> None:
    deep = tmp_path / ("deep" * 20) / "pbx"
    before = set(Path("/tmp").glob("ctiserver-pbx-*"))
    async with PrivatePbx.start(deep, programs=programs) as pbx:
        assert "active channels" in await pbx.cli("core show channels")
    assert set(Path("/tmp").glob("ctiserver-pbx-*")) <= before


async def _persistent_members(state: Path) -> str:
    # Without a lock, which would make Asterisk's commit fail.
    file = f"{(state / 'var/astdb.sqlite3').as_uri()}?mode=ro&immutable=1"
    with contextlib.closing(sqlite3.connect(file, uri=True)) as database:
        rows = database.execute("SELECT value FROM astdb WHERE key = '/Queue/PersistentMembers/repair'").fetchall()
    return str(rows)


def _with_asterisk(programs: Programs, path: Path) -> Programs:
    return Programs(
        {**programs.commands, "asterisk": (str(path),)},
        programs.asterisk_modules,
        programs.asterisk_data,
        programs.baresip_modules,
    )


def test_no_test_here_leaves_an_asterisk(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Asterisks whose configuration lies below this run's folders are ours; only the session's (pbx0, pbx1 …) may run."""
    base = str(tmp_path_factory.getbasetemp())
    ours = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        ours += [word for word in words if word.startswith(base) and word.endswith("asterisk.conf")]
    assert [word for word in ours if not re.search(r"/pbx\d+/etc/", word)] == []
