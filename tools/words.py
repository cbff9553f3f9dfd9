"""Old habits of wording, with the plainer form beside each, found in the product, the documents and the tools.

What is not rewritten yet is listed in words_not_yet.txt, a habit and a file a line: so a habit can't come back into a
file that is done. A line there that is no longer needed is an error too; `--list` writes the lines that are.

    python tools/words.py [--list] [FOLDER]      exit status 1 and one line (file:line) each where a habit is found
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

_NOT_YET = Path(__file__).with_name("words_not_yet.txt")

#: Texts that people read. Tests are read for their subject and not for their prose.
READ = (
    "ctiserver/**/*.py",
    "ctiserver/web/static/**/*.js",
    "config/**/*.yaml",
    "docs/**/*.md",
    "tools/**/*.py",
    "*.md",
    "Makefile",
    ".gitmessage",
)

#: What is not ours to reword, by the beginning of its path, and why.
NOT_READ = {
    "ctiserver/web/static/vendor/": "other people's code",
    "docs/decisions/": "a decision stays as it was written",
    "tools/words.py": "the list itself",
}

#: By name: what it looks for, and what to write instead.
HABITS = {
    "anew": (r"anew", "again, or the verb itself: restart, reload, reassign"),
    "whoever": (r"whoever", "the person meant (the caller, the agent), or: anyone who"),
    "in-vain": (r"in vain", "without success; of a call: not answered"),
    "became-of": (r"bec(?:ame|omes) of", "the result of, what happened to"),
    "of-somebodys": (r"of somebody's", "another person's, or say whose"),
    "called-so": (r"(?:is|are) called so|called it so", "has this name"),
    "may-see": (r"none that you may see", "not found, or you don't have access"),
    "is-no": (
        r"(?<!there )(?<!where )(?<!that )(?:is|was) no (?!longer\b|such\b|more\b|other\b|one\b|\w+er than\b)[a-z]\w*",
        "is not a …",
    ),
    "caller-back": (r"has (?:his|her|its|their) (?:caller|call) back", "gets the call back"),
    "says-not": (r"says? not (?:which|what|who|where|how)", "does not say, or: is not a valid …"),
    "stands-twice": (r"stands? twice", "appears twice"),
    "make-of": (r"[Mm]ake `[^`]+` of `[^`]+`", "change `old` to `new`"),
}
_PATTERNS = {name: re.compile(rf"(?<!\w)(?:{pattern})(?!\w)", re.IGNORECASE) for name, (pattern, _) in HABITS.items()}


def texts(root: Path) -> Iterator[tuple[str, str]]:
    """(path below the root, its text) of all that is read."""
    for pattern in READ:
        for path in sorted(root.glob(pattern)):
            name = path.relative_to(root).as_posix()
            if path.is_file() and not name.startswith(tuple(NOT_READ)):
                yield name, path.read_text(encoding="utf-8")


def found(root: Path) -> Iterator[tuple[str, str, int, str]]:
    """(habit, path, line from 1, the words found)."""
    for name, text in texts(root):
        for number, line in enumerate(text.splitlines(), 1):
            for habit, pattern in _PATTERNS.items():
                for match in pattern.finditer(line):
                    yield habit, name, number, match[0]


def not_yet(path: Path = _NOT_YET) -> set[tuple[str, str]]:
    """(habit, path) of what is not rewritten yet."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return {(habit, name) for habit, name in (line.split() for line in lines if line and not line.startswith("#"))}


def main(arguments: list[str]) -> int:
    listing = "--list" in arguments
    folders = [argument for argument in arguments if argument != "--list"]
    root = Path(folders[0]) if folders else Path(__file__).parents[1]
    allowed = not_yet(root / "tools" / _NOT_YET.name)
    seen = set[tuple[str, str]]()
    failed = False
    for habit, name, number, words in found(root):
        seen.add((habit, name))
        if not listing and (habit, name) not in allowed:
            failed = True
            print(f"{name}:{number}: {words!r} ({habit}): write {HABITS[habit][1]}")
    if listing:
        print("# Not rewritten yet: habit and file. Written by `python tools/words.py --list`; lines only ever go.")
        print(*(f"{habit} {name}" for habit, name in sorted(seen)), sep="\n")
        return 0
    for habit, name in sorted(allowed - seen):
        failed = True
        print(f"tools/{_NOT_YET.name}: {habit} {name} is rewritten: remove the line")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
