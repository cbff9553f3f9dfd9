"""A browser without a screen, the driver that steers it, and fonts: what this machine lacks of them is fetched.

The browser is of the machine's own suite, since it runs on the machine's own libc and loader: a browser starts itself
again by /proc/self/exe, which would be the tree's loader. Headless, it draws in software and needs no Mesa.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import escape

from ctiserver.errors import UserFault
from ctiserver.lab.privatepbx.cache import Tree, tree_of
from ctiserver.lab.privatepbx.debian import Program, Progress, Recipe, standard_folders, start_command
from ctiserver.lab.privatepbx.elf import Libraries, machine_folders

_ON_PATH = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
_BROWSER = Program("chromium-headless-shell", "usr/lib/chromium*/*headless*shell", ("--version",), "Chrom")
#: The smallest that hold Chinese: 1.6 and 1.8 MB to fetch. The last has 57 MB.
_CHINESE = "fonts-wqy-microhei|fonts-droid-fallback|fonts-noto-cjk"
_STAND_INS = ("libc6", "debconf", "x11-utils", "libgl1-mesa-dri", "libllvm19", "libz3-4", "xdg-utils")
_FONTS_ON_MACHINE = Path("/etc/fonts/fonts.conf")
_WRAPPER = """#!/bin/sh
# Starts the browser's driver with the libraries that this machine lacks.
export LD_LIBRARY_PATH="$CTISERVER_DRIVER_LIBRARIES"
exec "$CTISERVER_DRIVER" "$@"
"""


@dataclass(frozen=True, slots=True)
class Headless:
    """How a browser without a screen is started."""

    executable: Path
    environment: Mapping[str, str] = field(default_factory=dict)  #: what the browser's own needs besides
    driver: Mapping[str, str] = field(default_factory=dict)  #: what the driver's needs besides
    fonts: str = ""  #: a fontconfig configuration that adds fonts to the machine's; empty: those suffice


async def headless_browser(progress: Progress, *, pictures: bool = True, cache: Path | None = None) -> Headless:
    """A Chromium to run without a screen: the one on PATH, else fetched from this machine's own Debian suite.

    Libraries that the driver needs are fetched too where this machine lacks them, and a font with Chinese, if
    ``pictures`` are wanted.

    Raises UserFault where there is no browser, or its driver can't be started.
    """
    installed = next((Path(found) for name in _ON_PATH if (found := shutil.which(name))), None)
    node = _driver()
    lacking = tuple(lack.soname for lack in Libraries(None, (), machine_folders()).lacks([("", node)])) if node else ()
    packages: tuple[str, ...] = () if installed else ("chromium-headless-shell", "fonts-dejavu-core")
    if (pictures or not installed) and not await _machine_has_chinese():
        packages += (_CHINESE,)
    if installed and not packages and not lacking:
        return Headless(installed)
    recipe = Recipe(
        name="browser",
        packages=packages,
        suite=None,
        stand_ins=_STAND_INS,
        programs=() if installed else (_BROWSER,),
        libraries=lacking,
    )
    try:
        tree = await tree_of(recipe, progress, _finish, cache=cache)
    except UserFault as fault:
        if installed and not lacking:
            progress(f"Chinese may be shown as boxes: no font for it can be fetched ({fault.what})", 1.0)
            return Headless(installed)
        if installed:
            raise UserFault(
                f"the browser's driver needs {' and '.join(lacking)}, and fetching failed ({fault.what})",
                where=fault.where,
                fix=fault.fix,
            ) from fault
        raise UserFault(
            f"no headless browser: none is on PATH, and fetching one failed ({fault.what})",
            where=fault.where,
            fix="Install chromium (or chromium-headless-shell)",
        ) from fault
    driver = await _driver_environment(node, tree) if node and lacking else {}
    fonts = _fonts(tree.root) if (tree.root / "usr/share/fonts").is_dir() else ""
    if installed:
        return Headless(installed, driver=driver, fonts=fonts)
    program = _BROWSER.find(tree.root)
    assert program is not None
    command, environment = start_command(recipe, tree.root, tree.folders, program)
    if not _FONTS_ON_MACHINE.is_file():  # noqa: ASYNC240 - one look
        environment["FONTCONFIG_PATH"] = str(tree.root / "etc/fonts")
    return Headless(Path(command[0]), environment, driver, fonts)


def _driver() -> Path | None:
    """The program that steers the browser, where the extra ``demo`` is installed."""
    own = os.environ.get("PLAYWRIGHT_NODEJS_PATH")
    spec = importlib.util.find_spec("playwright")
    if own or spec is None or spec.origin is None:
        return None
    node = Path(spec.origin).parent / "driver/node"
    return node if node.is_file() else None


async def _driver_environment(node: Path, tree: Tree) -> dict[str, str]:
    lacks = Libraries(tree.root, standard_folders(), machine_folders()).lacks([("the browser's driver", node)])
    if lacks:
        raise UserFault(
            f"the browser's driver needs {lacks[0].soname} ({lacks[0].file.name})",
            where=str(node),
            fix="Install the package that holds it",
        )
    return {
        "PLAYWRIGHT_NODEJS_PATH": str(tree.root / "driver"),
        "CTISERVER_DRIVER": str(node),
        "CTISERVER_DRIVER_LIBRARIES": ":".join(str(tree.root / folder) for folder in tree.folders),
    }


async def _machine_has_chinese() -> bool:
    """Whether fontconfig knows a font with Chinese. Without its tools we can't tell, and take it for no."""
    lister = shutil.which("fc-list")
    if lister is None:
        return False
    process = await asyncio.create_subprocess_exec(
        lister, ":lang=zh-cn", "family", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    output, _ = await process.communicate()
    return bool(output.strip())


def _fonts(tree: Path) -> str:
    """Those of the machine, if it has any set up, and those of the tree."""
    base = _FONTS_ON_MACHINE if _FONTS_ON_MACHINE.is_file() else tree / "etc/fonts/fonts.conf"
    return (
        '<?xml version="1.0"?>\n<!DOCTYPE fontconfig SYSTEM "urn:fontconfig:fonts.dtd">\n<fontconfig>\n'
        f'<include ignore_missing="yes">{escape(str(base))}</include>\n'
        f"<dir>{escape(str(tree / 'usr/share/fonts'))}</dir>\n"
        '<cachedir prefix="xdg">fontconfig</cachedir>\n</fontconfig>\n'
    )


def _finish(tree: Path) -> None:
    (tree / "driver").write_text(_WRAPPER, encoding="utf-8")
    (tree / "driver").chmod(0o755)
