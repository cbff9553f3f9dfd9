"""The subject of a commit: at most 72 characters, one topic, in the imperative where a word shows that it is not.

`make check` reads the commits after BASE; where the history lacks BASE (a shallow clone, an import), those that were
committed later than it. Without a .git there is nothing to read. As a hook of git it reads the message being written.

    python tools/commit_message.py FILE                  the message in FILE, as git's commit-msg hook
    python tools/commit_message.py --history [FOLDER]    the commits of the checkout
    python tools/commit_message.py --install [FOLDER]    install the hook, where there is none
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

#: The last commit before the rule, and when it was committed (seconds since 1970).
BASE = "c6df8692202e0fc95b1cd8d3cda7e2a1708c4cc9"
BASE_AT = 1796121240

SUBJECT_CHARACTERS = 72

_HOOK = """#!/bin/sh
# Written by `make`: checks the subject of a commit. Delete this file to do without; `make check` looks as well.
root=$(git rev-parse --show-toplevel) || exit 0
[ -x "$root/.venv/bin/python" ] && [ -f "$root/tools/commit_message.py" ] || exit 0
exec "$root/.venv/bin/python" "$root/tools/commit_message.py" "$1"
"""

#: First words that show that no imperative follows: articles, pronouns, question words, and other forms of a verb.
_NO_VERB = re.compile(
    r"(?:a|an|the|this|that|these|those|it|its|we|i|what|who|which|when|where|why|how|some|all|no|one"
    r"|adds|changes|fixes|makes|removes|renames|updates|uses"
    r"|(?!need|embed|feed|seed|speed|heed|shed|wed|exceed|proceed|succeed)\w+ed"
    r"|(?!bring|ring|string|sing|ping|swing|wring|cling|fling|sling|sting|spring)\w+ing)\b",
    re.IGNORECASE,
)
#: Git's own subjects.
_BY_GIT = re.compile(r"(?:Merge|Revert|fixup!|squash!|amend!) ")


def complaints(message: str) -> Iterator[str]:
    """What is wrong with a message, a sentence each. Lines that begin with # are git's, not the message's."""
    lines = "\n".join(line for line in message.splitlines() if not line.startswith("#")).strip().splitlines()
    subject = lines[0] if lines else ""
    if _BY_GIT.match(subject):
        return
    if not subject:
        yield "it has no subject"
    if len(subject) > SUBJECT_CHARACTERS:
        yield f"the subject has {len(subject)} characters, more than {SUBJECT_CHARACTERS}: move the rest to the body"
    if "; " in subject:
        yield "the subject joins topics with a semicolon: make a commit of each"
    if _NO_VERB.match(subject):
        yield f"the subject begins with {subject.split()[0]!r}: begin with an imperative, such as Add or Fix"
    if len(lines) > 1 and lines[1].strip():
        yield "the second line is not empty: leave it empty between subject and body"


def in_history(root: Path) -> Iterator[str]:
    """A line for each fault of a commit after BASE in the checkout ``root``."""
    if not (root / ".git").exists() or shutil.which("git") is None:
        return
    known = _git(root, "merge-base", "--is-ancestor", BASE, "HEAD").returncode == 0
    done = _git(root, "log", "--no-merges", "-z", "--format=%h %ct %B", *([f"{BASE}..HEAD"] if known else ["HEAD"]))
    if done.returncode:
        yield f"git can't read the history of {root}: {done.stderr.strip()}"
    for commit in filter(None, done.stdout.split("\0")):
        short, at, message = commit.split(" ", 2)
        if known or int(at) > BASE_AT:
            for complaint in complaints(message):
                yield f"commit {short}: {complaint}"


def install(root: Path) -> Path | None:
    """Write the hook, unless there is one, the folder is not a checkout, or its hooks are kept elsewhere; its path."""
    if not (root / ".git").exists() or shutil.which("git") is None:
        return None
    if _git(root, "config", "core.hooksPath").returncode == 0:
        return None
    found = _git(root, "rev-parse", "--git-path", "hooks/commit-msg")
    hook = root / found.stdout.strip()
    if found.returncode or hook.exists():
        return None
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(_HOOK, encoding="utf-8")
    hook.chmod(0o755)
    return hook


def _git(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["git", "-C", str(root), *arguments], capture_output=True, text=True, errors="replace", check=False
    )


def main(arguments: list[str]) -> int:
    match arguments:
        case ["--install", *folder]:
            if hook := install(_root(folder)):
                print(f"Installed {hook}: it checks the subject of each commit")
            return 0
        case ["--history", *folder]:
            found = list(in_history(_root(folder)))
        case [file]:
            found = list(complaints(Path(file).read_text(encoding="utf-8", errors="replace")))
        case _:
            print(__doc__)
            return 2
    for line in found:
        print(line, file=sys.stderr)
    return 1 if found else 0


def _root(folder: list[str]) -> Path:
    return Path(folder[0]) if folder else Path(__file__).parents[1]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
