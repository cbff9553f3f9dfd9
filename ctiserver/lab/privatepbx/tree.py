"""Where the programs come from: Asterisk, baresip, SIPp, and espeak-ng, each as an argument list to start.

A tree of Debian packages is started through its own dynamic loader, so that neither its libc nor anything else of it
meets the machine's.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ctiserver.errors import UserFault
from ctiserver.lab.privatepbx.cache import Tree, tree_of
from ctiserver.lab.privatepbx.container import Container, find_container
from ctiserver.lab.privatepbx.debian import Program, Progress, Recipe, architecture, start_command
from ctiserver.lab.privatepbx.modules import MODULES, PHONE_ACCOUNT_MODULE, PHONE_APPLICATIONS, PHONE_MODULES
from ctiserver.lab.privatepbx.passed import last_passed

#: Debian 12 and 13 have no Asterisk; forky has 22 LTS.
SUITE = "forky"

_STAND_INS = (
    # Only maintainer scripts want these.
    *("adduser", "debconf", "python3", "libpam0g"),
    # Only Asterisk modules that our modules.conf does not load want these (SNMP, calendars, DNSSEC, codec2, RADIUS,
    # XMPP, TDS, PostgreSQL, curl, LDAP, Lua, ODBC, STIR/SHAKEN, fax, the sound card).
    *("libsnmp45", "libical3t64", "libgmime-3.0-0t64", "libunbound8", "libcodec2-1.2", "libradcli4", "libiksemel3"),
    *("libsybdb5", "libpq5", "libcurl4t64", "libneon27t64", "libldap2", "liblua5.1-0", "libodbc2", "libjwt2"),
    *("libspandsp2t64", "libportaudio2", "libjack-jackd2-0"),
    # Only baresip modules that our phones do not load want these.
    *("libmosquitto1", "libvpx12", "libsndio7.0", "libtwolame0", "libopenaptx0"),
)

_LIBRARIES = f"usr/lib/{architecture().triplet}"
_MODULES = f"{_LIBRARIES}/asterisk/modules"
_PHONE_MODULES = "usr/lib/baresip/modules"

ASTERISK = Recipe(
    name="asterisk",
    packages=("asterisk", "asterisk-moh-opsound-gsm", "baresip-core", "sip-tester", "espeak-ng"),
    suite=SUITE,
    stand_ins=_STAND_INS,
    programs=(
        Program("asterisk", "usr/sbin/asterisk", ("-V",), "Asterisk"),
        Program("baresip", "usr/bin/baresip", ("-h",), "baresip"),
        Program("sipp", "usr/bin/sipp", ("-v",), "SIPp"),
        Program("espeak-ng", "usr/bin/espeak-ng", ("--version",), "eSpeak"),
    ),
    modules=(
        *(f"{_MODULES}/{name}.so" for name in MODULES),
        *(f"{_PHONE_MODULES}/{name}.so" for name in (*PHONE_MODULES, PHONE_ACCOUNT_MODULE, *PHONE_APPLICATIONS)),
    ),
    passed=last_passed(),
)

_PROGRAMS = {program.name: program.path for program in ASTERISK.programs}


@dataclass(frozen=True, slots=True)
class Programs:
    """Where the programs are and how they are started."""

    commands: Mapping[str, tuple[str, ...]]
    asterisk_modules: Path
    asterisk_data: Path
    baresip_modules: Path
    container: Container | None = None  #: where Asterisk runs in one
    packages: str = ""  #: of Debian's packages: whether they are those that last passed the tests, in words

    def command(self, program: str) -> list[str]:
        """How ``asterisk``, ``baresip``, ``sipp`` or ``espeak-ng`` is started; add its arguments.

        Raises UserFault where it is not there.
        """
        found = self.commands.get(program)
        if found is None:
            raise UserFault(f"{program} is not on this machine", where="PATH", fix=f"Install {program}")
        return list(found)

    @classmethod
    def of_tree(cls, tree: Tree) -> Programs:
        """Those of an unpacked tree."""
        root = tree.root
        commands = {
            name: tuple(start_command(ASTERISK, root, tree.folders, root / path)[0]) for name, path in _PROGRAMS.items()
        }
        commands["espeak-ng"] += (f"--path={root / _LIBRARIES}",)
        return cls(
            commands=commands,
            asterisk_modules=root / _MODULES,
            asterisk_data=root / "usr/share/asterisk",
            baresip_modules=root / _PHONE_MODULES,
            packages=tree.words,
        )

    @classmethod
    def of_machine(cls) -> Programs | None:
        """Those that this machine has installed, if Asterisk and its modules are among them."""
        commands = {name: (path,) for name in _PROGRAMS if (path := shutil.which(name, path=_search_path()))}
        modules = _first_folder("/usr/lib/*/asterisk/modules", "/usr/lib*/asterisk/modules")
        data = _first_folder("/usr/share/asterisk", "/var/lib/asterisk")
        if "asterisk" not in commands or modules is None or data is None:
            return None
        phones = _first_folder(
            "/usr/lib/baresip/modules", "/usr/lib/*/baresip/modules", "/usr/local/lib/baresip/modules"
        )
        return cls(commands, modules, data, phones or Path("/usr/lib/baresip/modules"))

    @classmethod
    async def of_container(cls, progress: Progress) -> Programs | None:
        """Asterisk in a container, where an engine answers; phones and speech are the machine's own, if it has them."""
        container = await find_container(progress)
        if container is None:
            return None
        commands: dict[str, tuple[str, ...]] = {
            name: (path,) for name in _PROGRAMS if (path := shutil.which(name, path=_search_path()))
        }
        commands["asterisk"] = container.run()
        modules = Path("/usr/lib") / architecture().triplet / "asterisk/modules"
        return cls(commands, modules, Path("/usr/share/asterisk"), Path("/usr/lib/baresip/modules"), container)


def _search_path() -> str:
    # Asterisk lies in sbin, which an ordinary user's PATH often lacks.
    return os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin"))


def _first_folder(*patterns: str) -> Path | None:
    return next((path for pattern in patterns for path in sorted(Path("/").glob(pattern.lstrip("/")))), None)


async def find_programs(progress: Progress, *, cache: Path | None = None) -> Programs:
    """Asterisk and what rings it: Debian's packages in the cache, else what is installed, else a container.

    Raises UserFault where none of them works.
    """
    try:
        return await asterisk_tree(progress, cache=cache)
    except UserFault as fault:
        found, container = Programs.of_machine(), "no container engine answers"
        if found is None:
            try:
                found = await Programs.of_container(progress)
            except UserFault as second:
                container = second.what
        if found is None:
            raise UserFault(
                f"no Asterisk: unpacking Debian's packages failed ({fault.what}), none is installed, and {container}",
                where=fault.where,
                fix=f"{fault.fix or 'Try again'}; or install Asterisk 22.8.2 or later; or start Docker or podman",
            ) from fault
        return found


async def asterisk_tree(progress: Progress, *, cache: Path | None = None) -> Programs:
    """Asterisk, the phones and the test callers: from the cache, else fetched (about 45 MB) and unpacked (110 MB).

    Raises UserFault where this machine or its mirror can't give it.
    """
    return Programs.of_tree(await tree_of(ASTERISK, progress, _finish_asterisk, cache=cache))


def _finish_asterisk(tree: Path) -> None:
    """What the maintainer scripts and update-alternatives would have done."""
    sounds = tree / "usr/share/asterisk/sounds"
    for voice in sorted(sounds.glob("en_*")):
        (sounds / "en").unlink(missing_ok=True)
        (sounds / "en").symlink_to(voice.name)
    for name in ("custom", "recordings", "priv-callerintros"):  # links into the machine's /var
        (sounds / name).unlink(missing_ok=True)
