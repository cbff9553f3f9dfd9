"""The repository's pages: no dead link or anchor, every page within reach of docs/index.md, the layers as pyproject says."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_INDEX = "docs/index.md"

_FENCE = re.compile(r"^( *)(```+|~~~+).*?^ *\2 *$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]+`")
_LINK = re.compile(r"\]\(<?([^()\s>]+)>?(?: \"[^\"]*\")?\)|(?:href|src)=\"([^\"]+)\"")
_HEADING = re.compile(r"^#{1,6} +(.*?)(?: +#+)?$", re.MULTILINE)
_ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:")


def pages(root: Path) -> dict[str, str]:
    """Text of each page by its path: those at the top, and all in docs/, ctiserver/, config/ and ivr_flows/."""
    found = [*root.glob("*.md")]
    for folder in ("docs", "ctiserver", "config", "ivr_flows"):
        found += (root / folder).rglob("*.md")
    return {path.relative_to(root).as_posix(): path.read_text(encoding="utf-8") for path in sorted(found)}


def links(text: str) -> Iterator[str]:
    """Targets of links and pictures that are not in code."""
    for match in _LINK.finditer(_CODE.sub("", _FENCE.sub("", text))):
        target = match[1] or match[2]
        if not _ELSEWHERE.match(target):
            yield target


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives a page's headings."""
    seen: Counter[str] = Counter()
    found = set()
    for heading in _HEADING.findall(_FENCE.sub("", text)):
        words = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return found


def dead_links(root: Path) -> Iterator[str]:
    texts = pages(root)
    for page, text in texts.items():
        for target in links(text):
            path, _, anchor = target.partition("#")
            goal = (root / page).parent.joinpath(path).resolve() if path else root / page
            if not goal.exists():
                yield f"{page}: {target}: no such file"
            elif anchor and goal.suffix == ".md" and anchor not in anchors(goal.read_text(encoding="utf-8")):
                yield f"{page}: {target}: no such heading"


def unreached(root: Path) -> set[str]:
    """Pages of docs/ that no chain of links leads to from the index through docs/."""
    texts = {page: text for page, text in pages(root).items() if page.startswith("docs/")}
    reached, ahead = set(), [_INDEX]
    while ahead:
        page = ahead.pop()
        if page in reached or page not in texts:
            continue
        reached.add(page)
        for target in links(texts[page]):
            goal = (root / page).parent.joinpath(target.partition("#")[0]).resolve()
            if goal.is_relative_to(root.resolve()):
                ahead.append(goal.relative_to(root.resolve()).as_posix())
    return texts.keys() - reached


def shown_layers(architecture: str) -> list[str]:
    return architecture.partition("## Layers")[2].split("```")[1].strip().splitlines()


def test_no_link_of_any_page_is_dead() -> None:
    assert list(dead_links(_ROOT)) == []


def test_every_page_of_docs_is_reached_from_the_index() -> None:
    assert unreached(_ROOT) == set()


def test_the_index_names_each_page_of_the_four_rooms() -> None:
    named = {target.partition("#")[0] for target in links((_ROOT / _INDEX).read_text(encoding="utf-8"))}
    rooms = ("tutorial", "how-to", "reference", "explanation")
    assert {f"{room}/{path.name}" for room in rooms for path in (_ROOT / "docs" / room).glob("*.md")} <= named


def test_the_layers_are_those_of_the_import_linter() -> None:
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    [contract] = [
        contract
        for contract in project["tool"]["importlinter"]["contracts"]
        if contract["type"] == "layers" and contract["containers"] == ["ctiserver"]
    ]
    architecture = (_ROOT / "docs/explanation/architecture.md").read_text(encoding="utf-8")
    assert shown_layers(architecture) == contract["layers"]


def test_the_architecture_names_each_package() -> None:
    rows = re.findall(
        r"^\| `(\w+)/` \|", (_ROOT / "docs/explanation/architecture.md").read_text(encoding="utf-8"), re.M
    )
    assert set(rows) == {path.parent.name for path in (_ROOT / "ctiserver").glob("*/__init__.py")}


@pytest.mark.parametrize(
    ("link", "said"),
    [
        ("[x](gone.md)", ["docs/index.md: gone.md: no such file"]),
        ("[x](page.md#gone)", ["docs/index.md: page.md#gone: no such heading"]),
        ("[x](#gone)", ["docs/index.md: #gone: no such heading"]),
        ('<img src="gone.png">', ["docs/index.md: gone.png: no such file"]),
        ("![x](gone.png)", ["docs/index.md: gone.png: no such file"]),
        ("[x](page.md#a-b-of-c-1) and `[x](gone.md)`", []),
        ("```\n[x](gone.md)\n```", []),
        ("[x](https://example.com/gone.md)", []),
    ],
)
def test_a_planted_dead_link_is_found(tmp_path: Path, link: str, said: list[str]) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/index.md").write_text(f"# Index\n\n{link}\n", encoding="utf-8")
    (tmp_path / "docs/page.md").write_text(
        "# Page\n\n## A `b`, of C\n\n## A b of c\n\n```\n# Gone\n```\n", encoding="utf-8"
    )
    assert list(dead_links(tmp_path)) == said


def test_a_planted_page_without_a_link_is_found(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/index.md").write_text("[a](a.md)", encoding="utf-8")
    (tmp_path / "docs/a.md").write_text("[b](b.md#top)", encoding="utf-8")
    (tmp_path / "docs/b.md").write_text("[index](index.md)", encoding="utf-8")
    (tmp_path / "docs/lost.md").write_text("[a](a.md)", encoding="utf-8")
    assert unreached(tmp_path) == {"docs/lost.md"}


def gone_paths(root: Path, text: str) -> list[str]:
    """Paths in backticks that exist neither at the top nor below ctiserver/; <x> stands for any name."""
    named = re.findall(r"`((?:[\w.<>-]+/)*[\w.<>-]+(?:/|\.(?:py|md|yaml|js|json)))`", text)
    globs = {path: re.sub(r"<\w+>", "*", path.rstrip("/")) for path in named}
    return [
        path
        for path, glob in globs.items()
        if not any(any(at.glob(glob)) for at in (root, root / "ctiserver", root / "ctiserver/features/dispatch"))
        and not path.startswith(_MADE)
    ]


#: Folders that commands named in CONTRIBUTING.md write.
_MADE = ("fresh-results/", "coverage-results/")


def test_contributing_names_files_that_exist() -> None:
    assert gone_paths(_ROOT, (_ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")) == []


def test_a_planted_path_that_is_gone_is_found() -> None:
    text = "`features/<feature>/http.py`, `store/tables/`, `app.py`, `store/tables.py`, `features/<feature>/gone.py`"
    assert gone_paths(_ROOT, text) == ["app.py", "store/tables.py", "features/<feature>/gone.py"]


def test_layers_that_differ_are_seen() -> None:
    assert shown_layers("## Layers\n\nOne way.\n\n```\ncli\nweb | pbx\n```\n") == ["cli", "web | pbx"]


def gone_tests(root: Path) -> Iterator[str]:
    """Test files and tests that a page names and the tree does not have."""
    for page, text in pages(root).items():
        for path, test in re.findall(r"\b(tests/[\w/]+\.py)(?:::(\w+))?", text):
            file = root / path
            if not file.is_file() or (test and not re.search(rf"def {test}\b", file.read_text(encoding="utf-8"))):
                yield f"{page}: {path}{test and '::'}{test}"


def test_every_test_that_a_page_names_exists() -> None:
    assert list(gone_tests(_ROOT)) == []


def test_a_planted_test_that_does_not_exist_is_found(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/test_a.py").write_text("def test_b() -> None: ...\n", encoding="utf-8")
    named = "`tests/test_a.py`, `tests/test_a.py::test_b`, `tests/test_a.py::test_c`, `tests/test_d.py`"
    (tmp_path / "README.md").write_text(named, encoding="utf-8")
    assert list(gone_tests(tmp_path)) == ["README.md: tests/test_a.py::test_c", "README.md: tests/test_d.py"]
