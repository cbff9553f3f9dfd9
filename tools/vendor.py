"""`make vendor`: bundle what the console needs of other people's JavaScript, and write down what came out.

Versions and their integrity stand in package-lock.json; npm refuses anything else. The output is committed with its
licences and a manifest of SHA-256 sums, so that nobody needs Node to install or to run ctiserver, and a test notices
any byte that was changed by hand. Needs Node ≥ 20 with npm on PATH.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent / "vendor"
CHECKOUT = HERE.parents[1]
SHIPPED = CHECKOUT / "ctiserver" / "web" / "static" / "vendor"
BUNDLES = ("lit.js", "jssip.js")
JSSIP_PACKAGES = ("jssip", "debug", "ms", "events", "sdp-transform")
#: Whose code is in the bundles, and what made them.
SHIPPED_PACKAGES = (
    *("lit", "lit-element", "lit-html", "@lit/reactive-element"),
    *JSSIP_PACKAGES,
    "esbuild",
)
FOR_TESTS = CHECKOUT / "tests" / "e2e" / "vendor"


def run(*command: str, cwd: Path) -> None:
    """Run one command; its own words tell what went wrong, and nothing is half-written then."""
    if subprocess.run(command, cwd=cwd, check=False).returncode != 0:
        sys.exit(f"make vendor: `{' '.join(command[:2])}` failed; nothing was changed")


def replace(folder: Path, files: dict[str, Path]) -> None:
    """Make ``folder`` hold copies of exactly these files."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, source in files.items():
        shutil.copyfile(source, folder / name)


def write_manifest(folder: Path, modules: Path, *packages: str) -> None:
    """List every file of ``folder`` with its SHA-256, beside the versions it was made from."""
    files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    versions = {name: json.loads((modules / name / "package.json").read_text())["version"] for name in packages}
    text = json.dumps({"sha256": files, "versions": versions}, indent=2, sort_keys=True)
    (folder / "manifest.json").write_text(text + "\n")


def licences(target: Path, modules: Path, *packages: str) -> Path:
    """One file with the licence of each package, since a bundle holds the code of all of them."""
    texts = []
    for name in packages:
        (path,) = [path for path in (modules / name).iterdir() if path.stem.lower() in ("license", "licence")]
        texts.append(f"{name}\n\n{path.read_text().strip()}\n")
    target.write_text("\n\n".join(texts))
    return target


def main() -> None:
    """Install exactly what the lock file says, bundle, replace the vendor folders."""
    for tool in ("node", "npm"):
        if shutil.which(tool) is None:
            sys.exit(f"make vendor: {tool} is not on PATH; install Node 20 or newer (only this command needs it)")
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        for file in ("package.json", "package-lock.json", *BUNDLES):
            shutil.copy(HERE / file, work / file)
        run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=work)
        for bundle in BUNDLES:
            run(
                str(work / "node_modules" / ".bin" / "esbuild"),
                bundle,
                "--bundle",
                "--format=esm",
                "--minify",
                "--target=es2022",
                "--legal-comments=eof",
                f"--outfile=out/{bundle}",
                cwd=work,
            )
        modules = work / "node_modules"
        files = {bundle: work / "out" / bundle for bundle in BUNDLES}
        files["lit.LICENSE"] = modules / "lit" / "LICENSE"
        files["jssip.LICENSE"] = licences(work / "jssip.LICENSE", modules, *JSSIP_PACKAGES)
        replace(SHIPPED, files)
        write_manifest(SHIPPED, modules, *SHIPPED_PACKAGES)
        axe = modules / "axe-core"
        replace(FOR_TESTS, {"axe.min.js": axe / "axe.min.js", "axe-core.LICENSE": axe / "LICENSE"})
        write_manifest(FOR_TESTS, modules, "axe-core")


if __name__ == "__main__":
    main()
