"""A Debian repository of made-up packages of a few hundred bytes, as a mirror would hold it."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from ctiserver.lab.privatepbx.debian import architecture

SUITE = "toys"
_BUILT: dict[str, bytes] = {}


@dataclass(frozen=True)
class Package:
    """One package; ``files`` by their path, a str being what a symbolic link leads to."""

    name: str
    files: Mapping[str, bytes | str] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)  #: such as Depends
    version: str = "1"

    def having(
        self, *, name: str = "", version: str = "", files: Mapping[str, bytes | str] | None = None, **fields: str
    ) -> Package:
        """The same with some of it changed."""
        return replace(
            self,
            name=name or self.name,
            version=version or self.version,
            files=self.files if files is None else files,
            fields={**self.fields, **fields},
        )

    @property
    def file_name(self) -> str:
        return f"{self.name}_{self.version}_{architecture().debian}.deb"

    @property
    def control(self) -> str:
        fields = {
            "Package": self.name,
            "Version": self.version,
            "Architecture": architecture().debian,
            "Multi-Arch": "same",
            "Maintainer": "a test",
            **self.fields,
            "Description": "made up",
        }
        return "".join(f"{name}: {value}\n" for name, value in fields.items() if value)

    def build(self, folder: Path) -> Path:
        """The .deb. Most tests change one package of six, so that one built before is taken."""
        made = folder / self.file_name
        key = repr(self)
        if key not in _BUILT:
            _BUILT[key] = self._build(folder).read_bytes()
        made.write_bytes(_BUILT[key])
        return made

    def _build(self, folder: Path) -> Path:
        tree = folder / f"{self.name}_{self.version}"
        (tree / "DEBIAN").mkdir(parents=True)
        (tree / "DEBIAN/control").write_text(self.control, encoding="utf-8")
        for name, content in self.files.items():
            path = tree / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, str):
                path.symlink_to(content)
            else:
                path.write_bytes(content)
                path.chmod(0o755)
        made = folder / self.file_name
        subprocess.run(
            ["dpkg-deb", "-Znone", "--root-owner-group", "--build", str(tree), str(made)],
            check=True, capture_output=True,
        )  # fmt: skip
        return made


class Repository:
    """Packages, their lists and the Release file below ``root``, unsigned."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.packages: list[Package] = []
        self.release: dict[str, str] = {}  #: further fields

    def __getitem__(self, name: str) -> Package:
        return next(package for package in self.packages if package.name == name)

    def put(self, package: Package, instead_of: str = "") -> None:
        """Add a package, in the place of one or of the one with its name."""
        self.remove(instead_of or package.name)
        self.packages.append(package)

    def remove(self, name: str) -> None:
        self.packages = [package for package in self.packages if package.name != name]

    @property
    def lists(self) -> Path:
        return self.root / f"dists/{SUITE}/main/binary-{architecture().debian}/Packages"

    def deb(self, name: str) -> Path:
        return self.root / "pool" / self[name].file_name

    def write(self) -> None:
        """Build all packages and the lists that fit them."""
        pool = self.root / "pool"
        pool.mkdir(parents=True)
        for package in self.packages:
            package.build(pool)
        self.write_lists()

    def write_lists(self) -> None:
        """The lists of what the pool holds now."""
        debian = architecture().debian
        entries = []
        for package in self.packages:
            content = (self.root / "pool" / package.file_name).read_bytes()
            entries.append(
                f"{package.control}Filename: pool/{package.file_name}\nSize: {len(content)}\n"
                f"SHA256: {hashlib.sha256(content).hexdigest()}\n"
            )
        self.lists.parent.mkdir(parents=True, exist_ok=True)
        self.lists.write_text("\n".join(entries), encoding="utf-8")
        holders: dict[str, list[str]] = {}
        for package in self.packages:
            for path in package.files:
                holders.setdefault(path, []).append(f"misc/{package.name}")
        contents = "".join(f"{path:<60} {','.join(names)}\n" for path, names in sorted(holders.items()))
        (self.lists.parent.parent / f"Contents-{debian}").write_text(contents, encoding="utf-8")
        self.write_release()

    def write_release(self) -> None:
        """The Release file of the lists as they are now."""
        suite = self.root / "dists" / SUITE
        names = [path for path in sorted(suite.rglob("*")) if path.is_file() and path.name != "Release"]
        sums = "".join(
            f" {hashlib.sha256(path.read_bytes()).hexdigest()} {path.stat().st_size} {path.relative_to(suite)}\n"
            for path in names
        )
        fields = {
            "Origin": "a test",
            "Suite": SUITE,
            "Codename": SUITE,
            "Date": "Tue, 01 Sep 2026 00:00:00 UTC",
            "Architectures": architecture().debian,
            "Components": "main",
            **self.release,
        }
        head = "".join(f"{name}: {value}\n" for name, value in fields.items())
        (suite / "Release").write_text(f"{head}SHA256:\n{sums}", encoding="utf-8")
