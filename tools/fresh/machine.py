"""What a clean system takes over from this machine: mirrors, pip's settings, proxies, certificates."""

from __future__ import annotations

import configparser
import io
import os
import re
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

#: Environment variables that say how the network is reached, and with which certificates.
_PASSED_ON = re.compile(
    r"((https?|ftp|all|no)_proxy|PIP_\w+|SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|GIT_SSL_CAINFO)",
    re.IGNORECASE,
)
#: Debian's folder of certificates, and where this machine's is seen in a system, whose packages write their own.
_CERTIFICATES = "/etc/ssl/certs"
_CERTIFICATES_SEEN = "/etc/machine-certificates"
_ASK_TIMEOUT_S = 30


@dataclass(frozen=True, slots=True)
class Machine:
    """Settings for a clean system."""

    environment: Mapping[str, str]  #: of the newcomer
    files: Mapping[str, str]  #: text by absolute path: pip.conf, apt's proxies, name resolution
    shared: tuple[tuple[Path, str], ...]  #: what those name on this machine, and where it is seen; read-only


def this_machine(environment: Mapping[str, str] = os.environ) -> Machine:
    """Read the settings of this machine."""
    passed_on = {
        name: value
        for name, value in sorted(environment.items())
        if _PASSED_ON.fullmatch(name) and name != "PIP_CONFIG_FILE"
    }
    passed_on.setdefault("SSL_CERT_FILE", f"{_CERTIFICATES}/ca-certificates.crt")
    pip = _pip_settings(environment)
    files = {"/etc/pip.conf": _seen(pip), "/etc/apt/apt.conf.d/90machine": _apt_settings()}
    for path in ("/etc/resolv.conf", "/etc/hosts"):
        if Path(path).is_file():
            files[path] = Path(path).read_text(encoding="utf-8")
    named = [path for text in (*passed_on.values(), pip) for path in _paths_in(text)]
    return Machine(
        environment={name: _seen(value) for name, value in passed_on.items()},
        files=files,
        shared=tuple((path, _seen(str(path))) for path in _outermost([Path(_CERTIFICATES), *named])),
    )


def _seen(text: str) -> str:
    return text.replace(_CERTIFICATES, _CERTIFICATES_SEEN)


def debian_sources(codename: str) -> list[str]:
    """Lines of sources.list for a Debian release, from the mirrors that this machine's own apt uses; else none."""
    release = Path("/etc/os-release").read_text(encoding="utf-8")
    own = re.search(r"(?m)^VERSION_CODENAME=(\w+)$", release)
    if own is None:
        return []
    said = _output("apt-get", "indextargets", "--format", "$(ORIGIN)|$(CREATED_BY)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)")
    lines = []
    for line in said.splitlines():
        origin, kind, address, suite, component = line.split("|")
        if (origin, kind, component) == ("Debian", "Packages", "main") and suite.split("-")[0] == own[1]:
            lines.append(f"deb {address} {suite.replace(own[1], codename, 1)} main")
    # the release itself before its updates: debootstrap takes the first
    return sorted(set(lines), key=lambda line: (line.split()[2] != codename, line))


def _apt_settings() -> str:
    kept = re.compile(r"Acquire::(https?|ftp)::(Proxy|CaInfo)\b|Acquire::Retries")
    return "".join(f"{line}\n" for line in _output("apt-config", "dump").splitlines() if kept.match(line))


def _pip_settings(environment: Mapping[str, str]) -> str:
    """What pip reads on this machine, in its order, as one file."""
    home = Path(environment.get("HOME", "/"))
    folders = environment.get("XDG_CONFIG_DIRS", "/etc/xdg").split(":")
    files = [Path(folder) / "pip" / "pip.conf" for folder in reversed(folders) if folder]
    files += [Path("/etc/pip.conf"), home / ".pip" / "pip.conf", home / ".config" / "pip" / "pip.conf"]
    if environment.get("PIP_CONFIG_FILE"):
        files.append(Path(environment["PIP_CONFIG_FILE"]))
    merged = configparser.RawConfigParser(strict=False)
    merged.read([file for file in files if os.access(file, os.R_OK)], encoding="utf-8")
    text = io.StringIO()
    merged.write(text)
    return text.getvalue()


def _paths_in(text: str) -> list[Path]:
    """Absolute paths of this machine that a value names; a package index in a folder leads to files beside it."""
    paths = []
    for word in re.split(r"[\s=]+", text):
        address = word.removeprefix("file://").rstrip("/")
        if address.startswith("/"):
            paths.append(Path(address) if address == word else Path(address).parent)
    return paths


def _outermost(paths: Iterable[Path]) -> tuple[Path, ...]:
    kept: list[Path] = []
    for path in sorted({path for path in paths if path.exists()}, key=lambda path: len(path.parts)):
        if len(path.parts) > 2 and not any(path.is_relative_to(other) for other in kept):
            kept.append(path)
    return tuple(kept)


def _output(*command: str) -> str:
    """What a program of this machine says; empty where it lacks it."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_ASK_TIMEOUT_S, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout if done.returncode == 0 else ""
