"""The check of commit messages, as a hook and over a history: in a whole clone, a shallow one, and without git."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools import commit_message
from tools.commit_message import BASE_AT, complaints, in_history, install

_ROOT = Path(__file__).parents[3]
_BAD = "A fix; another one"


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("", "no subject"),
        ("Add " + "x" * 69, "73 characters, more than 72"),
        ("Add a check; mend the page", "joins topics"),
        ("A check of commits", "begins with 'A'"),
        ("What a caller hears", "begins with 'What'"),
        ("Added a check", "begins with 'Added'"),
        ("Adding a check", "begins with 'Adding'"),
        ("Adds a check", "begins with 'Adds'"),
        ("Add a check\nbecause", "second line"),
    ],
)
def test_a_faulty_message_is_reported(message: str, said: str) -> None:
    [complaint] = complaints(message)
    assert said in complaint


@pytest.mark.parametrize(
    "message",
    [
        "Add " + "x" * 68,
        "Feed the codec in chunks",
        "Bring the page back\n\nIt was lost; nobody saw it.",
        "# a comment of git's\nKeep the answer\n# and another",
        'Revert "A fix; another one"',
        "Merge branch 'next' of somewhere; with conflicts",
    ],
)
def test_a_sound_message_is_let_through(message: str) -> None:
    assert list(complaints(message)) == []


def _git(folder: Path, *arguments: str, at: int = BASE_AT + 1) -> str:
    environment = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(folder),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_COMMITTER_DATE": f"@{at} +0000",
    }
    who = ["-c", "user.name=Test", "-c", "user.email=test@example.com"]
    command = ["git", "-C", str(folder), *who, *arguments]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True, timeout=60
    ).stdout.strip()


@pytest.fixture(autouse=True)
def _own_settings_of_git(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own settings, such as core.hooksPath, are not what is tested."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    folder.mkdir()
    _git(folder, "init", "-q")
    _git(folder, "commit", "-q", "--allow-empty", "-m", _BAD, at=BASE_AT)
    return folder


def _commit(folder: Path, message: str) -> None:
    _git(folder, "commit", "-q", "--allow-empty", "--no-verify", "-m", message)


def test_commits_after_the_base_are_checked(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commit_message, "BASE", _git(checkout, "rev-parse", "HEAD"))
    _commit(checkout, "Add a check\n\nIt says why.")
    assert list(in_history(checkout)) == []
    _commit(checkout, _BAD)
    assert [line.partition(": ")[2].partition(":")[0] for line in in_history(checkout)] == [
        "the subject joins topics with a semicolon",
        "the subject begins with 'A'",
    ]


def test_a_history_without_the_base_is_checked_by_its_time(checkout: Path, tmp_path: Path) -> None:
    assert list(in_history(checkout)) == []
    _commit(checkout, "Add a check")
    _commit(checkout, _BAD)
    shallow = tmp_path / "shallow"
    _git(tmp_path, "clone", "-q", "--depth", "1", f"file://{checkout}", str(shallow))
    assert _git(shallow, "rev-list", "--count", "HEAD") == "1"
    assert len(list(in_history(shallow))) == 2


def test_a_folder_without_git_has_nothing_to_check(checkout: Path) -> None:
    _commit(checkout, _BAD)
    inside = checkout / "unpacked"
    inside.mkdir()
    assert list(in_history(inside)) == []
    assert install(inside) is None


def test_a_history_that_git_cannot_read_is_reported(checkout: Path) -> None:
    (checkout / ".git/HEAD").write_text("ref: refs/heads/none\n", encoding="utf-8")
    [line] = in_history(checkout)
    assert "git can't read the history" in line


def test_the_hook_refuses_a_faulty_commit_and_replaces_no_other(checkout: Path) -> None:
    (checkout / "tools").mkdir()
    shutil.copy(_ROOT / "tools/commit_message.py", checkout / "tools")
    (checkout / ".venv/bin").mkdir(parents=True)
    (checkout / ".venv/bin/python").symlink_to(sys.executable)
    hook = install(checkout)
    assert hook is not None
    _git(checkout, "commit", "-q", "--allow-empty", "-m", "Add a check")
    with pytest.raises(subprocess.CalledProcessError) as refused:
        _git(checkout, "commit", "-q", "--allow-empty", "-m", _BAD)
    assert "joins topics" in refused.value.stderr
    assert _git(checkout, "log", "-1", "--format=%s") == "Add a check"
    hook.write_text("#!/bin/sh\n", encoding="utf-8")
    assert install(checkout) is None
    assert hook.read_text(encoding="utf-8") == "#!/bin/sh\n"


def test_hooks_that_are_kept_elsewhere_are_left_alone(checkout: Path) -> None:
    _git(checkout, "config", "core.hooksPath", "elsewhere")
    assert install(checkout) is None
    assert not (checkout / "elsewhere").exists()


def test_make_check_reads_the_history() -> None:
    recipe = (_ROOT / "Makefile").read_text(encoding="utf-8").partition("\ncheck:")[2].partition("\n\n")[0]
    assert "tools/commit_message.py --history" in recipe
