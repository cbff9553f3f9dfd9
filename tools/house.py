"""Sizes and names that the house keeps to: packages, modules, functions, and public class names.

An exception stands in a list below with its reason. One that is not needed any more is an error: the lists only shrink.

    python tools/house.py [FOLDER]      exit status 1 and one line each where a rule is broken
"""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

PACKAGE_MODULES = 20  # direct modules of a package, __init__.py not counted
MODULE_LINES = 500
FUNCTION_LINES = 100  # from `def` to the end, without decorators

_ROUTES = "the feature's routes, an entry each: a list"
_REPOSITORY = "a service and the repository that it writes through"
_NOT_YET = "two nouns that are not told apart yet"


@dataclass(frozen=True, kw_only=True)
class Exceptions:
    """What may break a rule, with the reason. Paths are below the package."""

    packages: Mapping[str, str] = field(default_factory=dict)
    modules: Mapping[str, str] = field(default_factory=dict)
    functions: Mapping[tuple[str, str], str] = field(default_factory=dict)  # by module and name
    names: Mapping[str, tuple[int | None, str]] = field(
        default_factory=dict
    )  # in how many modules; None: in any number


EXCEPTIONS = Exceptions(
    packages={"cli": "one module a verb: a file's name is the verb"},
    functions={
        ("features/dispatch/http.py", "routes"): _ROUTES,
        ("features/users/http.py", "routes"): _ROUTES,
        ("store/migrations/versions/v0001_the_first_schema.py", "upgrade"): "a migration stays as it was released",
    },
    names={
        "Needs": (None, "what a feature takes from others has the same name in each feature.py"),
        "Agents": (2, _REPOSITORY),
        "CatchingUp": (2, _REPOSITORY),
        "Contacts": (2, _REPOSITORY),
        "Messages": (2, _REPOSITORY),
        "Photos": (2, _REPOSITORY),
        "Recordings": (2, _REPOSITORY),
        "Records": (2, _REPOSITORY),
        "Sessions": (2, _REPOSITORY),
        "Users": (2, _REPOSITORY),
        "Conflict": (2, "the store's fault, and the HTTP answer (409) that it becomes"),
        "NotFound": (2, "the store's fault, and the HTTP answer (404) that it becomes"),
        "Unfit": (2, "the store's fault, and the HTTP answer (422) that it becomes"),
        "Case": (2, _NOT_YET),
        "Finding": (2, _NOT_YET),
        "LoggedIn": (2, _NOT_YET),
        "Money": (2, _NOT_YET),
        "OpenRecord": (3, _NOT_YET),
        "PathStep": (2, _NOT_YET),
        "Place": (2, _NOT_YET),
        "Session": (2, _NOT_YET),
        "Simulation": (2, _NOT_YET),
        "Step": (3, _NOT_YET),
        "Then": (2, _NOT_YET),
        "Transfer": (2, _NOT_YET),
        "Wish": (2, _NOT_YET),
    },
)


def complaints(package: Path, exceptions: Exceptions = EXCEPTIONS) -> Iterator[str]:
    """A line for each breach of a rule, then for each exception that is not needed."""
    modules = {path.relative_to(package).as_posix(): path for path in sorted(package.rglob("*.py"))}
    texts = {module: path.read_text(encoding="utf-8") for module, path in modules.items()}
    trees = {module: ast.parse(text) for module, text in texts.items()}
    yield from _packages(texts, exceptions.packages)
    yield from _modules(texts, exceptions.modules)
    yield from _functions(trees, exceptions.functions)
    yield from _names(trees, exceptions.names)


def _packages(texts: Mapping[str, str], allowed: Mapping[str, str]) -> Iterator[str]:
    members: dict[str, int] = defaultdict(int)
    for module in texts:
        folder, _, name = module.rpartition("/")
        members[folder or "."] += name != "__init__.py"
    large = {folder: count for folder, count in members.items() if count > PACKAGE_MODULES}
    for folder, count in large.items():
        if folder not in allowed:
            yield f"{folder}: {count} modules, more than {PACKAGE_MODULES}: group them in packages"
    yield from _needless(f"package {folder}" for folder in allowed.keys() - large.keys())


def _modules(texts: Mapping[str, str], allowed: Mapping[str, str]) -> Iterator[str]:
    lines = {module: len(text.splitlines()) for module, text in texts.items()}
    long = {module: count for module, count in lines.items() if count > MODULE_LINES}
    for module, count in long.items():
        if module not in allowed:
            yield f"{module}: {count} lines, more than {MODULE_LINES}: split it where two reasons to change meet"
    yield from _needless(f"module {module}" for module in allowed.keys() - long.keys())


def _functions(trees: Mapping[str, ast.Module], allowed: Mapping[tuple[str, str], str]) -> Iterator[str]:
    long = set()
    for module, tree in trees.items():
        for node in ast.walk(tree):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            count = (node.end_lineno or node.lineno) - node.lineno + 1
            if count > FUNCTION_LINES:
                long.add((module, node.name))
                if (module, node.name) not in allowed:
                    yield f"{module}:{node.lineno}: {node.name} has {count} lines, more than {FUNCTION_LINES}: split it"
    yield from _needless(f"function {module} {name}" for module, name in allowed.keys() - long)


def _names(trees: Mapping[str, ast.Module], allowed: Mapping[str, tuple[int | None, str]]) -> Iterator[str]:
    found: dict[str, list[str]] = defaultdict(list)
    for module, tree in trees.items():
        for name in _public_types(tree):
            found[name].append(module)
    for name, modules in sorted(found.items()):
        limit, _ = allowed.get(name, (1, ""))
        if limit is not None and len(modules) > limit:
            yield f"{name} is defined in {', '.join(modules)}: name the noun that each one is, such as QueueVisit"
    yield from _needless(
        f"name {name} in {limit or 'several'} modules"
        for name, (limit, _) in allowed.items()
        if len(found.get(name, ())) < (limit or 2)
    )


def _public_types(tree: ast.Module) -> Iterator[str]:
    """Classes, ``NewType`` and ``TypeAlias`` at the top of a module."""
    for node in tree.body:
        match node:
            case ast.ClassDef(name=name):
                pass
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(func=ast.Name(id="NewType"))):
                pass
            case ast.AnnAssign(target=ast.Name(id=name), annotation=ast.Name(id="TypeAlias")):
                pass
            case _:
                continue
        if not name.startswith("_"):
            yield name


def _needless(exceptions: Iterator[str]) -> Iterator[str]:
    for exception in sorted(exceptions):
        yield f"tools/house.py: the exception for {exception} is not needed: delete it, or lower its number"


def main(arguments: list[str]) -> int:
    package = Path(arguments[0]) if arguments else Path(__file__).parents[1] / "ctiserver"
    found = list(complaints(package))
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
