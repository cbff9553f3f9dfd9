"""`make release`: what it refuses, and that a refusal changes nothing. tests/fresh makes one for real."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tools import release
from tools.release import Refused

_CHANGELOG = "# Changelog\n\n<!-- towncrier release notes start -->\n\n## 0.1.0 (2026-01-01)\n\n- First.\n"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "ctiserver").mkdir()
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "0.1.0"\n')
    (tmp_path / "ctiserver" / "__init__.py").write_text('__version__ = "0.1.0"\n')
    (tmp_path / "CHANGELOG.md").write_text(_CHANGELOG)
    (tmp_path / "changelog.d").mkdir()
    (tmp_path / "changelog.d" / "+bell.fixed.md").write_text("It did not ring.\n")
    for command in (
        ("init", "-q"),
        ("config", "user.name", "t"),
        ("config", "user.email", "t@t"),
        ("add", "."),
        ("commit", "-q", "-m", "First"),
        ("tag", "v0.1.0"),
    ):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True)
    return tmp_path


@pytest.fixture(autouse=True)
def _built_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(release, "_build", lambda checkout, version: tmp_path / "dist" / "ctiserver.whl")
    monkeypatch.setattr(release, "_try_out", lambda checkout, wheel: None)


@pytest.mark.parametrize(
    ("version", "what"),
    [
        ("", "'' is not a version"),
        ("0.2", "'0.2' is not a version"),
        ("0.0.9", "0.0.9 is not later than 0.1.0"),
        ("0.1.0", "0.1.0 is not later than 0.1.0"),
    ],
)
def test_a_version_that_does_not_follow_is_refused(checkout: Path, version: str, what: str) -> None:
    with pytest.raises(Refused, match=what):
        release.release(checkout, version)


def test_a_tree_with_uncommitted_changes_is_refused(checkout: Path) -> None:
    (checkout / "new.txt").touch()
    with pytest.raises(Refused, match=r"new\.txt is not committed: commit or stash it"):
        release.release(checkout, "0.2.0")


def test_a_release_without_notes_is_refused(checkout: Path) -> None:
    (checkout / "changelog.d" / "+bell.fixed.md").unlink()
    subprocess.run(["git", "-C", str(checkout), "commit", "-q", "-a", "-m", "No notes"], check=True)
    with pytest.raises(Refused, match="holds no changes: write what users notice"):
        release.release(checkout, "0.2.0")


def test_a_wheel_that_does_not_work_leaves_everything_as_it_was(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(checkout: Path, wheel: Path) -> None:
        raise Refused("the wheel fails")

    monkeypatch.setattr(release, "_try_out", fails)
    with pytest.raises(Refused, match="the wheel fails"):
        release.release(checkout, "0.2.0")
    said = subprocess.run(["git", "-C", str(checkout), "status", "--porcelain"], capture_output=True, text=True)
    assert said.stdout == ""
    assert (checkout / "CHANGELOG.md").read_text() == _CHANGELOG
    assert (checkout / "changelog.d" / "+bell.fixed.md").read_text() == "It did not ring.\n"


def test_a_release_cuts_the_changelog_sets_the_version_and_is_tagged(checkout: Path) -> None:
    release.release(checkout, "0.2.0")
    today = datetime.now(UTC).date().isoformat()
    start = "<!-- towncrier release notes start -->\n"
    assert (checkout / "CHANGELOG.md").read_text() == _CHANGELOG.replace(
        start, f"{start}\n## 0.2.0 ({today})\n\n### Fixed\n\n- It did not ring.\n\n"
    )
    assert list((checkout / "changelog.d").glob("+*")) == []
    assert 'version = "0.2.0"' in (checkout / "pyproject.toml").read_text()
    assert '__version__ = "0.2.0"' in (checkout / "ctiserver" / "__init__.py").read_text()
    said = subprocess.run(["git", "-C", str(checkout), "describe", "--exact-match"], capture_output=True, text=True)
    assert said.stdout == "v0.2.0\n"
