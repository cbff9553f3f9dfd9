"""Functions, classes, methods and properties of the product that nothing in the product names.

Vulture looks at the package alone: what only tests call is unused. What a library or the interpreter calls by its name
is listed in EXPECTED with its caller; a line there that is no longer needed is an error too.

    python tools/dead_code.py [FOLDER]      exit status 1 and one line each where something is unused
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from vulture import Vulture

_KINDS = ("function", "class", "method", "property")
_CONFIDENCE = 60

#: Decorators that hand a function to somebody who calls it.
_DECORATORS = [
    "@click.*",
    "@*command*",
    "@*group*",
    "@field_validator",
    "@model_validator",
    "@field_serializer",
    "@model_serializer",
    "@DBOS.*",
    "@event.listens_for",
]

_SQLALCHEMY = "SQLAlchemy calls it"
_ASYNCIO = "asyncio calls it"
_TESTS = "tests and developers look at a private PBX by it"

#: By module and name, who calls it.
EXPECTED = {
    ("cli/__init__.py", "get_command"): "click calls it",
    ("cli/__init__.py", "format_commands"): "click calls it",
    ("lab/drill/ears.py", "datagram_received"): _ASYNCIO,
    ("lab/drill/finding.py", "of_json"): "the chaos tests read the drill's answer by it",
    ("ivr/speech/together.py", "speak_together"): "hatch_build.py calls it when a wheel is built",
    ("ivr/speech/texts.py", "texts_of_package"): "hatch_build.py calls it when a wheel is built",
    ("lab/privatepbx/lifecycle.py", "astdb_path"): _TESTS,
    ("lab/privatepbx/lifecycle.py", "sounds_dir"): _TESTS,
    ("lab/privatepbx/lifecycle.py", "voicemail_dir"): _TESTS,
    ("lab/privatepbx/phone.py", "keys_heard"): _TESTS,
    ("lab/privatepbx/phone.py", "rung_times"): _TESTS,
    ("lab/privatepbx/phone.py", "stopped_ringing"): _TESTS,
    ("store/columns.py", "process_bind_param"): _SQLALCHEMY,
    ("store/columns.py", "process_result_value"): _SQLALCHEMY,
    ("store/columns.py", "load_dialect_impl"): _SQLALCHEMY,
    ("store/keeping/move.py", "process_result_value"): _SQLALCHEMY,
    ("store/sqlite_dialect.py", "_make_new_cursor"): _SQLALCHEMY,
    ("store/sqlite_dialect.py", "_aenter_cursor"): _SQLALCHEMY,
    ("store/sqlite_dialect.py", "_execute_async"): _SQLALCHEMY,
    ("store/sqlite_dialect.py", "_executemany_async"): _SQLALCHEMY,
    ("store/sqlite_dialect.py", "import_dbapi"): _SQLALCHEMY,
}


def complaints(package: Path) -> Iterator[str]:
    """What is unused and not expected, then what is expected and used, or gone: a line each."""
    finder = Vulture(ignore_decorators=_DECORATORS)
    finder.scavenge([str(package)])
    unused = {
        (Path(item.filename).resolve().relative_to(package.resolve()).as_posix(), item.name): item
        for item in finder.get_unused_code(min_confidence=_CONFIDENCE)
        if item.typ in _KINDS
    }
    for (module, name), item in sorted(unused.items()):
        if (module, name) not in EXPECTED:
            yield f"{package.name}/{module}:{item.first_lineno}: {item.typ} {name} is unused in the product: delete it"
    for module, name in sorted(EXPECTED.keys() - unused.keys()):
        yield f"tools/dead_code.py: {module} {name} is used, or gone: delete its line in EXPECTED"


def main() -> int:
    """Print the complaints; 1 if there are any."""
    package = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "ctiserver"
    found = list(complaints(package))
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
