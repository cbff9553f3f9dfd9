"""What ``ctiserver init --systemd`` and ``--compose`` write into a site's folder, with paths filled in."""

from __future__ import annotations

import os
import pwd
import re
import secrets
import shutil
import sys
from pathlib import Path

from ctiserver.errors import UserFault
from ctiserver.ivr.speech.prompts import SUFFIXES, Shelf, Text
from ctiserver.lab.privatepbx.configuration import PbxLayout, Plan, Ports, write
from ctiserver.lab.privatepbx.debian import architecture
from ctiserver.lab.privatepbx.state import make_accounts, write_privately
from ctiserver.lab.privatepbx.tree import Programs
from ctiserver.resources import shipped
from ctiserver.settings import PromptSettings
from ctiserver.site.fallback_texts import announced
from ctiserver.site.load import load_site

#: The usual ones: the machine's Asterisk is this one.
PORTS = Ports(sip=5060, ami=5038, http=8088, rtp_first=10000, rtp_last=10399)
#: Pieces of music in Debian's package asterisk-moh-opsound-gsm, which the image has; a test compares.
MUSIC = (
    *("macroform-cold_day", "macroform-robot_dity", "macroform-the_simplicity"),
    *("manolo_camp-morning_coffee", "reno_project-system"),
)
#: Lines of ctiserver.yaml that name what the composed Asterisk has.
_COMPOSED = (
    (r"# secret_file: \S+", "secret_file: asterisk/ami.secret"),
    (r"# recordings_dir: \S+", "recordings_dir: asterisk/recordings"),
    (r'url: ""(?=\s+# the PBX\'s own WebSocket)', f"url: ws://127.0.0.1:{PORTS.http}/ws"),
    (r"# secrets_file: \S+", "secrets_file: asterisk/browser-phones.json"),
    (r"# queue_log: \S+", "queue_log: asterisk/log/queue_log"),
    (r"# cdr: \S+", "cdr: asterisk/log/cdr-custom/ctiserver.csv"),
)
_SOCKET_PATH_ROOM = 107  # of sockaddr_un
# A unit and a compose file give meaning to spaces, %, $ and quotes; an unusual path is refused rather than escaped.
_SAFE = re.compile(r"/[A-Za-z0-9_./@+~-]+")


def systemd_user(wanted: str | None) -> str:
    """The user of the unit. Raises UserFault for root, and for a user that this machine does not have."""
    name = wanted or pwd.getpwuid(os.geteuid()).pw_name
    try:
        account = pwd.getpwnam(name)
    except KeyError:
        raise UserFault(f"there is no user {name!r}", where="--user", fix=f"sudo useradd --system {name}") from None
    if account.pw_uid == 0:
        raise UserFault("the server would run as root", where="--systemd", fix="Name another user with --user")
    return name


def safe(folder: Path) -> str:
    """The folder's absolute path. Raises UserFault if a unit or a compose file can't hold it."""
    path = os.path.abspath(folder)
    if not _SAFE.fullmatch(path):
        raise UserFault(
            "has characters that a unit or a compose file can't hold",
            where=path,
            fix="Choose a path of letters, digits and . _ @ + ~ - only",
        )
    return path


def program() -> str:
    """The ``ctiserver`` that is running, as another program starts it."""
    beside = Path(sys.executable).with_name("ctiserver")
    return safe(beside if beside.exists() else Path(sys.argv[0]))


def write_unit(folder: Path, user: str) -> Path:
    """Write ``systemd/ctiserver.service``; gives its path."""
    target = folder / "systemd" / "ctiserver.service"
    target.parent.mkdir()
    text = _filled(shipped("config", "systemd", "ctiserver.service"), folder, user=user, program=program())
    target.write_text(text, encoding="utf-8")
    # systemd refuses to start a unit whose ReadWritePaths are not there; Asterisk passes through it to the prompts.
    (folder / "data").mkdir(exist_ok=True)
    (folder / "data").chmod(0o711)
    return target


def write_compose(folder: Path) -> Path:
    """Write ``compose.yaml``, ``.env``, ``container/`` and Asterisk's configuration; gives the first one's path."""
    container = folder / "container"
    container.mkdir()
    for name in ("Dockerfile", "install.sh"):
        shutil.copyfile(shipped("config", "container", name), container / name)
    shutil.copyfile(shipped("Dockerfile"), container / "Asterisk.Dockerfile")
    target = folder / "compose.yaml"
    user = f"{os.getuid()}:{os.getgid()}"
    target.write_text(_filled(shipped("config", "container", "compose.yaml"), folder, user=user), encoding="utf-8")
    write_privately(folder / ".env", f"CTISERVER_DATABASE_PASSWORD={secrets.token_hex(16)}\n")
    for mounted in ("data/prompts", "prompts"):  # an engine would make them as root
        (folder / mounted).mkdir(parents=True, exist_ok=True)
    _configure_asterisk(Path(safe(folder)))
    settings = folder / "ctiserver.yaml"
    text = settings.read_text(encoding="utf-8")
    for pattern, line in _COMPOSED:
        text, replaced = re.subn(pattern, line, text)
        assert replaced == 1, pattern
    settings.write_text(text, encoding="utf-8")
    return target


def _filled(template: Path, folder: Path, **values: str) -> str:
    text = template.read_text(encoding="utf-8")
    for name, value in {**values, "folder": safe(folder)}.items():
        text = text.replace(f"@{name}@", value)
    return text


def see_that_the_socket_fits(folder: Path) -> None:
    """Raises UserFault where Asterisk could not make its control socket in the folder."""
    path = _layout(Path(safe(folder))).run / "asterisk.ctl"
    if len(os.fsencode(path)) > _SOCKET_PATH_ROOM:
        raise UserFault("is too long for Asterisk's control socket", where=str(path), fix="Choose a shorter path")


def _layout(folder: Path) -> PbxLayout:
    return PbxLayout(folder / "asterisk", folder / "asterisk" / "run")


def _configure_asterisk(folder: Path) -> None:
    """The configuration of the composed Asterisk: as of a private one, on the usual ports, with the image's paths."""
    state = folder / "asterisk"
    layout = _layout(folder)
    site = load_site(folder)
    accounts = make_accounts(layout, site)
    sounds = state / "sounds"
    _copy_announcements(sounds)
    write(
        Plan(
            layout=layout,
            programs=Programs(
                commands={},
                asterisk_modules=Path("/usr/lib") / architecture().triplet / "asterisk/modules",
                asterisk_data=Path("/usr/share/asterisk"),
                baresip_modules=Path("/usr/lib/baresip/modules"),
            ),
            ports=PORTS,
            agi="127.0.0.1:4573",
            ami_secret=accounts["ami"],
            systemname=accounts["systemname"],
            dialplan_key=accounts["dialplan"],
            phone_secrets={phone.name: accounts[f"phone:{phone.name}"] for phone in site.phones},
            sounds=sounds,
            site=site,
        )
    )
    _add_music(layout.etc / "musiconhold.conf")


def _copy_announcements(to: Path) -> None:
    """What callers hear while no server is there, as the wheel has it spoken."""
    shelf = Shelf(PromptSettings(), shipped("ivr_flows", "prompts"))
    for language, name, text in announced():
        spoken = shelf.file(Text(language, text))
        if spoken is None:
            continue
        (to / language).mkdir(parents=True, exist_ok=True)
        for suffix in SUFFIXES:
            shutil.copyfile(f"{spoken.path}{suffix}", to / language / f"{name}{suffix}")


def _add_music(path: Path) -> None:
    """The image's music, which can't be looked at from here, after the announcement of each class of the fallback."""
    text = path.read_text(encoding="utf-8")
    if not any(f"entry = /usr/share/asterisk/moh/{piece}" in text for piece in MUSIC):
        pieces = "".join(f"entry = /usr/share/asterisk/moh/{piece}\n" for piece in MUSIC)
        text = re.sub(r"(?m)((?:^entry = .*\n)+)", lambda found: found[1] + pieces, text)
    path.write_text(text, encoding="utf-8")
