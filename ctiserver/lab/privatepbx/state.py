"""What a private PBX's state directory says: where it runs, and the secrets of its accounts."""

from __future__ import annotations

import json
import os
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ctiserver.errors import UserFault
from ctiserver.lab.privatepbx.configuration import PbxLayout, Ports
from ctiserver.pid import Process
from ctiserver.site.load import Site
from ctiserver.system_name import new_system_name

_SOCKET_PATH_ROOM = 107


@dataclass(frozen=True, slots=True)
class State:
    """What ``pbx.json`` in the state directory says of a PBX, so that another process can find it."""

    pid: int
    started: int
    run: str
    version: str
    agi: str
    ports: Ports
    sounds: str
    start: tuple[str, ...]  #: starts it in the foreground
    ask: tuple[str, ...]  #: asks its console
    kill: tuple[str, ...]  #: ends it at once where SIGKILL would not reach it: in a container
    packages: str = ""  #: whether Debian's packages are those that last passed the tests, in words


def absolute(path: Path) -> Path:
    """``path`` from the root on, without following links."""
    return Path(os.path.abspath(path))


def running(state_dir: Path) -> State | None:
    """What runs in ``state_dir``; None if nothing does (any more)."""
    try:
        data = json.loads((state_dir / "pbx.json").read_text(encoding="utf-8"))
        state = State(
            **{**data, "ports": Ports(**data["ports"]), **{key: tuple(data[key]) for key in ("start", "ask", "kill")}}
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserFault(
            f"can't be read ({error})", where=str(state_dir / "pbx.json"), fix="Remove the file if no PBX runs there"
        ) from error
    return state if Process(state.pid, state.started).alive else None


def run_dir(state_dir: Path) -> Path:
    """Where its control socket goes: into the state directory, unless that path is too long for a socket."""
    own = state_dir / "run"
    if len(str(own / "asterisk.ctl")) <= _SOCKET_PATH_ROOM:
        return own
    return Path(tempfile.mkdtemp(prefix="ctiserver-pbx-"))


def make_accounts(layout: PbxLayout, site: Site) -> dict[str, str]:
    """The secrets, by what they are for; those that this state directory has already are kept."""
    layout.make()
    accounts = read_accounts(layout) if (layout.state / "secrets.json").exists() else {}
    for name in ("ami", "dialplan", *(f"phone:{phone.name}" for phone in site.phones)):
        accounts.setdefault(name, secrets.token_hex(16))
    accounts.setdefault("systemname", new_system_name(secrets.choice))
    write_privately(layout.state / "secrets.json", json.dumps(accounts))
    write_privately(layout.state / "ami.secret", accounts["ami"] + "\n")
    write_privately(layout.state / "systemname", accounts["systemname"] + "\n")
    in_browsers = {phone.name: accounts[f"phone:{phone.name}"] for phone in site.phones if phone.webrtc}
    write_privately(layout.state / "browser-phones.json", json.dumps(in_browsers))
    return accounts


def read_accounts(layout: PbxLayout) -> dict[str, str]:
    """The secrets of an earlier start. Raises UserFault where they can't be read."""
    path = layout.state / "secrets.json"
    try:
        accounts = json.loads(path.read_text(encoding="utf-8"))
        return {str(name): str(secret) for name, secret in accounts.items()}
    except (OSError, ValueError, AttributeError) as error:
        raise UserFault(f"can't be read ({error})", where=str(path), fix="Remove it, and restart the PBX") from error


def write_privately(path: Path, text: str) -> None:
    """Write a file for the owner alone; it appears whole or not at all."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.touch(mode=0o600)
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)
