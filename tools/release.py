"""`make release VERSION=0.2.0`: changelog, version, sdist and wheel, the wheel tried in a minimal system, commit, tag.

Nothing is published: the tag and `dist/` are there to be pushed and uploaded. `--dry-run` does all of it in a copy.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tools.fresh.machine import this_machine
from tools.fresh.sandbox import Unavailable
from tools.fresh.steps import IMAGE, carried_out, image_form
from tools.fresh.systems import named, unpacked

CHECKOUT = Path(__file__).resolve().parents[1]
_SYSTEM = "debian-13"
_VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
#: What users notice, one file a change; towncrier puts them into CHANGELOG.md.
_FRAGMENTS = "changelog.d"
#: Where the version stands, and how.
_VERSION_LINES = (("pyproject.toml", 'version = "{}"'), ("ctiserver/__init__.py", '__version__ = "{}"'))


class Refused(Exception):
    """A release can't be made so; the message is one sentence."""


def release(checkout: Path, version: str) -> None:
    """Make the release in ``checkout``. Raises Refused, and then leaves its files as they were."""
    current = _current(checkout)
    _see_that_it_can_be(checkout, version, current)
    try:
        _cut_changelog(checkout, version)
        for name, line in _VERSION_LINES:
            _replace_once(checkout / name, line.format(current), line.format(version))
        wheel = _build(checkout, version)
        _try_out(checkout, wheel)
        _git(checkout, "commit", "-q", "-a", "-m", f"Release {version}")
        _git(checkout, "tag", "-a", f"v{version}", "-m", f"ctiserver {version}")
    except BaseException:
        _git(checkout, "reset", "-q", "--hard")  # nothing of anybody's: all was committed
        raise
    print(f"ctiserver {version}: committed and tagged v{version}; {wheel.parent} holds sdist and wheel")


def _current(checkout: Path) -> str:
    found = re.search(r'(?m)^version = "([^"]+)"$', (checkout / "pyproject.toml").read_text(encoding="utf-8"))
    if found is None:
        raise Refused('pyproject.toml has no line `version = "…"`')
    return found[1]


def _see_that_it_can_be(checkout: Path, version: str, current: str) -> None:
    if not _VERSION.fullmatch(version):
        raise Refused(f"'{version}' is not a version: say make release VERSION=0.2.0")
    tags = _git(checkout, "tag", "--list").split()
    # The first release may have the version that the tree was begun with.
    if _number(version) < _number(current) or (version == current and tags):
        raise Refused(f"{version} is not later than {current}")
    if f"v{version}" in tags:
        raise Refused(f"the tag v{version} is there already: choose a later version")
    changed = _git(checkout, "status", "--porcelain").splitlines()
    if changed:
        raise Refused(f"{changed[0][3:]} is not committed: commit or stash it, then release")
    if not list((checkout / _FRAGMENTS).glob("+*.md")):
        raise Refused(f"{_FRAGMENTS} holds no changes: write what users notice ({_FRAGMENTS}/README.md)")


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _cut_changelog(checkout: Path, version: str) -> None:
    """Move the fragments into CHANGELOG.md, under the version and today."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "towncrier", "build", "--yes", "--version", version),
            *("--config", str(CHECKOUT / "pyproject.toml"), "--dir", str(checkout)),
        ],
        cwd=checkout,  # where it asks git
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )
    if done.returncode:
        raise Refused(f"the changelog can't be cut: {done.stdout.strip().splitlines()[-1]}")


def _replace_once(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    if text.count(old) != 1:
        raise Refused(f"{path.name} must hold `{old.strip()}` once, and holds it {text.count(old)} times")
    path.write_text(text.replace(old, new), encoding="utf-8")


def _build(checkout: Path, version: str) -> Path:
    dist = checkout / "dist"
    for old in dist.glob("ctiserver-*") if dist.is_dir() else ():
        old.unlink()
    done = subprocess.run(
        [sys.executable, "-m", "build", "--outdir", str(dist), str(checkout)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,
    )
    if done.returncode:
        raise Refused(f"the package can't be built: {done.stdout.strip().splitlines()[-1]}")
    (wheel,) = dist.glob(f"ctiserver-{version}-*.whl")
    return wheel


def _try_out(checkout: Path, wheel: Path) -> None:
    """Build the image's steps from the wheel where nothing else is, and serve. Raises Refused where that fails."""
    with tempfile.TemporaryDirectory(prefix="ctiserver-image-") as folder:
        for part in (wheel, checkout / "config" / "container" / "install.sh"):
            shutil.copy(part, folder)
        Path(folder).chmod(0o755)
        try:
            with unpacked(named([_SYSTEM])[0], "base", this_machine()) as system:
                for outcome in carried_out(image_form(), system.with_shared({Path(folder): IMAGE})):
                    size = "" if outcome.megabytes is None else f"{outcome.megabytes} MB, "
                    print(f"  {outcome.step}: {outcome.seconds:.1f} s, {size}{outcome.why or 'ok'}", flush=True)
                    if not outcome.ok:
                        raise Refused(f"the wheel fails in a minimal {_SYSTEM}: {outcome.step}: {outcome.why}")
        except Unavailable as fault:
            raise Refused(f"the wheel can't be tried in a minimal {_SYSTEM}: {fault}") from None


def _git(checkout: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(checkout), *arguments], capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise Refused(f"git {arguments[0]} failed: {done.stderr.strip()}")
    return done.stdout


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the release; 2 and one sentence where it is refused."""
    parser = argparse.ArgumentParser(prog="python -m tools.release", description=__doc__)
    parser.add_argument("version", nargs="?", default="")
    parser.add_argument("--dry-run", action="store_true", help="in a copy that is removed afterwards")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.dry_run:
            _see_that_it_can_be(CHECKOUT, chosen.version, _current(CHECKOUT))
            with tempfile.TemporaryDirectory(prefix="ctiserver-release-") as folder:
                copy = Path(folder) / "ctiserver"
                _git(CHECKOUT, "clone", "-q", str(CHECKOUT), str(copy))
                for key in ("user.name", "user.email"):
                    _git(copy, "config", key, "dry-run")
                release(copy, chosen.version)
        else:
            release(CHECKOUT, chosen.version)
    except Refused as fault:
        print(f"make release: {fault}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
