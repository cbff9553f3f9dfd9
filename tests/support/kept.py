"""Copies of the databases in tests/kept, each as a site's folder that the real commands are run on."""

from __future__ import annotations

import lzma
import shutil
import subprocess
import tarfile
from pathlib import Path

from tests.support.postgres import Cluster
from tests.support.served import Site

_KEPT = Path(__file__).parents[1] / "kept"
RELEASES = sorted(path.name for path in _KEPT.iterdir() if (path / "sqlite.tar.xz").exists())
LATEST = RELEASES[-1]


def kept_on_sqlite(folder: Path, release: str = LATEST) -> Site:
    """The release's site with its SQLite files, in ``folder``, which must be new."""
    return Site(_unpacked(folder, release, "sqlite"))


def kept_on_postgresql(folder: Path, cluster: Cluster, name: str, release: str = LATEST) -> Site:
    """The release's site with its rows in a new PostgreSQL database of that name."""
    url = cluster.create(name)
    subprocess.run(
        [cluster.binaries / "psql", "-q", "-v", "ON_ERROR_STOP=1", "-1", "-d", url],
        input=lzma.decompress((_KEPT / release / "postgresql.sql.xz").read_bytes()),
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    site = Site(_unpacked(folder, release, "postgresql"))
    text = site.config.read_text(encoding="utf-8")
    assert text.count('url: ""                   # empty: SQLite in data_dir; else') == 1
    site.config.write_text(text.replace('url: ""                   # empty: SQLite', f"url: {url} # SQLite", 1))
    return site


def _unpacked(folder: Path, release: str, kind: str) -> Path:
    with tarfile.open(_KEPT / release / f"{kind}.tar.xz") as packed:
        packed.extractall(folder, filter="data")
    shutil.move(folder / "data", folder / "config/data")
    return folder / "config"
