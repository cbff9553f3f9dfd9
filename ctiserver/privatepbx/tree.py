"""Where the programs come from: Asterisk, baresip, SIPp, espeak-ng and a browser, each as an argument list to start.

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
from ctiserver.privatepbx.container import Container, find_container
from ctiserver.privatepbx.debian import Progress, Recipe, architecture, tree_of

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

ASTERISK = Recipe(
    name="asterisk",
    packages=("asterisk", "asterisk-moh-opsound-gsm", "baresip-core", "sip-tester", "espeak-ng"),
    suite=SUITE,
    stand_ins=_STAND_INS,
)

# Of the machine's own suite, since it runs on the machine's own libc and loader: a browser starts itself anew by
# /proc/self/exe, which would be the tree's loader. Headless, it draws in software and needs no Mesa.
BROWSER = Recipe(
    name="browser",
    packages=("chromium-headless-shell", "fonts-dejavu-core"),
    suite=None,
    stand_ins=("libc6", "debconf", "x11-utils", "libgl1-mesa-dri", "xdg-utils"),
)

_BROWSERS_ON_PATH = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
_PROGRAMS = {
    "asterisk": "usr/sbin/asterisk",
    "baresip": "usr/bin/baresip",
    "sipp": "usr/bin/sipp",
    "espeak-ng": "usr/bin/espeak-ng",
}


@dataclass(frozen=True, slots=True)
class Programs:
    """Where the programs are and how they are started."""

    commands: Mapping[str, tuple[str, ...]]
    asterisk_modules: Path
    asterisk_data: Path
    baresip_modules: Path
    container: Container | None = None  #: where Asterisk runs in one

    def command(self, program: str) -> list[str]:
        """How ``asterisk``, ``baresip``, ``sipp`` or ``espeak-ng`` is started; add its arguments.

        Raises UserFault where it is not there.
        """
        found = self.commands.get(program)
        if found is None:
            raise UserFault(f"{program} is not on this machine", where="PATH", fix=f"Install {program}")
        return list(found)

    @classmethod
    def of_tree(cls, root: Path) -> Programs:
        """Those of an unpacked tree."""
        libraries = root / "usr/lib" / architecture().triplet
        loader = libraries / architecture().loader
        # espeak-ng's sound output is linked into it, and lies partly in a sub-folder of its own.
        folders = f"{libraries}:{libraries / 'pulseaudio'}"
        commands: dict[str, tuple[str, ...]] = {
            name: (str(loader), "--library-path", folders, "--argv0", name, str(root / path))
            for name, path in _PROGRAMS.items()
        }
        commands["espeak-ng"] += (f"--path={libraries}",)
        return cls(
            commands=commands,
            asterisk_modules=libraries / "asterisk/modules",
            asterisk_data=root / "usr/share/asterisk",
            baresip_modules=root / "usr/lib/baresip/modules",
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
        found = Programs.of_machine() or await Programs.of_container(progress)
        if found is None:
            raise UserFault(
                f"no Asterisk: unpacking Debian's packages failed ({fault.what}), none is installed, "
                "and no container engine answers",
                where=fault.where,
                fix=f"{fault.fix or 'Try again'}; or install Asterisk 22.8.2 or later; or start Docker or podman",
            ) from fault
        return found


async def asterisk_tree(progress: Progress, *, cache: Path | None = None) -> Programs:
    """Asterisk, the phones and the test callers: from the cache, else fetched (about 45 MB) and unpacked (110 MB).

    Raises UserFault where this machine or its mirror can't give it.
    """
    return Programs.of_tree(await tree_of(ASTERISK, progress, _finish_asterisk, cache=cache))


async def headless_browser(progress: Progress, *, cache: Path | None = None) -> Path:
    """A Chromium to run without a screen: the one on PATH, else fetched from this machine's own Debian suite.

    Raises UserFault where there is neither.
    """
    for name in _BROWSERS_ON_PATH:
        found = shutil.which(name)
        if found:
            return Path(found)
    try:
        root = await tree_of(BROWSER, progress, _finish_browser, cache=cache)
    except UserFault as fault:
        raise UserFault(
            f"no headless browser: none is on PATH, and fetching one failed ({fault.what})",
            fix="Install chromium (or chromium-headless-shell)",
        ) from fault
    return root / "browser"


def _finish_asterisk(tree: Path) -> None:
    """What the maintainer scripts and update-alternatives would have done."""
    sounds = tree / "usr/share/asterisk/sounds"
    for voice in sorted(sounds.glob("en_*")):
        (sounds / "en").unlink(missing_ok=True)
        (sounds / "en").symlink_to(voice.name)
    for name in ("custom", "recordings", "priv-callerintros"):  # links into the machine's /var
        (sounds / name).unlink(missing_ok=True)


def _finish_browser(tree: Path) -> None:
    triplet = architecture().triplet
    program = next(iter(sorted(tree.glob("usr/lib/chromium*/*headless*shell"))), None)
    if program is None:
        raise UserFault("the fetched browser package holds no browser", fix="Install chromium")
    # The one tree that runs on the machine's own loader: its packages are of the machine's own release.
    (tree / "browser").write_text(
        "#!/bin/sh\n"
        'tree=$(dirname "$(readlink -f "$0")")\n'
        f'l="$tree/usr/lib/{triplet}:$tree/lib/{triplet}:$tree/usr/lib/{triplet}/pulseaudio"\n'
        'export LD_LIBRARY_PATH="$l${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"\n'
        'if [ ! -d /etc/fonts ]; then export FONTCONFIG_PATH="$tree/etc/fonts"; fi\n'
        f'exec "$tree/{program.relative_to(tree)}" "$@"\n',
        encoding="utf-8",
    )
    (tree / "browser").chmod(0o755)
