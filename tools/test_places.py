"""Where a module's tests are: the first guess finds them, or they stand in the list below with the reason.

The tests of ``ctiserver/a/b.py`` are named ``test_b.py`` or ``test_b_<use case>.py``, or after the package,
``test_a.py`` or ``test_a_<use case>.py``; those of ``features/<feature>/`` may always be named after the feature. They
lie in ``tests/<ring>/a/`` or in a folder above it, such as ``tests/<ring>/``. The ring ``store`` or ``web`` also stands
for the package of that name. A module of at most 80 lines may be tested with what uses it. A unit test lies in a folder
that ``ctiserver/``, or the repository, has too.

    python tools/test_places.py [TREE]      exit status 1 and one line each where the rule is broken
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

LINES = 80

_FLOWS = "flow tests, which run every node kind, exercise it"
_RUNNER = "a part of the runner, tested through it"
_EXPRESSED = "declarations; those that use them are tested"
_LINK = "a part of the AMI link, tested through it"
_BUILT = "wiring; every test in the web ring starts the server through it"
_FAULT = "one fault of the drill, which is run as a whole"
_REAL = "needs a real Asterisk"

#: Module below the package: where its tests are below tests/, and why they are not where the first guess goes.
ELSEWHERE: Mapping[str, tuple[str, str]] = {
    "app/composition.py": ("web/conftest.py", _BUILT),
    "app/configuration.py": ("flows/test_versions.py", "what is configured is tested with flow versions"),
    "app/features.py": ("unit/test_feature_folders.py", "a list of features"),
    "app/server_file.py": ("integration/test_reload.py", "serve and reload are commands, tested as such"),
    "errors.py": ("unit/cli/test_faults.py", "a fault is what a command prints"),
    "features/expenses/http.py": ("web/test_stock_parts_and_expenses.py", "one visit has parts and expenses"),
    "features/expenses/service.py": ("web/test_stock_parts_and_expenses.py", "one visit has parts and expenses"),
    "ivr/language/graph.py": ("unit/ivr/language/test_destination.py", "the graph is asked for a node's queue ahead"),
    "ivr/language/library.py": ("flows/test_shipped.py", _FLOWS),
    "ivr/language/loader.py": ("unit/ivr/language/test_check.py", "a flow is loaded and checked at once"),
    "ivr/language/names.py": ("unit/ivr/language/test_check.py", "its faults are check codes"),
    "ivr/language/node_base.py": ("flows/test_shipped.py", _FLOWS),
    "ivr/language/nodes/deciding.py": ("flows/test_shipped.py", _FLOWS),
    "ivr/language/nodes/leaving.py": ("flows/test_shipped.py", _FLOWS),
    "ivr/language/nodes/speaking.py": ("flows/test_shipped.py", _FLOWS),
    "ivr/language/requests.py": ("unit/ivr/runtime/test_runner.py", _EXPRESSED),
    "ivr/language/schema.py": ("flows/test_shipped.py", "the published JSON schema is compared there"),
    "ivr/language/state.py": ("properties/test_flow_engine.py", "state is what random calls change"),
    "ivr/language/template.py": ("flows/test_shipped.py", _FLOWS),
    "ivr/language/visit.py": ("flows/test_shipped.py", _FLOWS),
    "ivr/runtime/dialplan.py": ("integration/pbx/test_hand_over.py", _REAL),
    "ivr/runtime/engine.py": ("properties/test_flow_engine.py", "random flows and callers test it"),
    "ivr/runtime/kept_states.py": ("unit/ivr/runtime/test_runner.py", _RUNNER),
    "ivr/runtime/ports.py": ("unit/ivr/runtime/test_runner.py", _RUNNER),
    "ivr/runtime/start.py": ("unit/ivr/runtime/test_runner.py", _RUNNER),
    "ivr/simulation/scripted.py": ("flows/test_shipped.py", _FLOWS),
    "ivr/simulation/simulate.py": ("flows/test_shipped.py", _FLOWS),
    "lab/drill/faults/callers.py": ("chaos/test_drill.py", _FAULT),
    "lab/drill/faults/line.py": ("chaos/test_drill.py", _FAULT),
    "lab/drill/faults/pbx_ways.py": ("chaos/test_drill.py", _FAULT),
    "lab/drill/faults/server.py": ("chaos/test_drill.py", _FAULT),
    "lab/privatepbx/container.py": ("integration/pbx/test_container.py", _REAL),
    "lab/privatepbx/lifecycle.py": ("integration/pbx/test_command_line.py", _REAL),
    "lab/privatepbx/proof.py": ("unit/lab/privatepbx/test_elf.py", "it proves what the ELF reader finds"),
    "lab/privatepbx/state.py": ("integration/adopt/test_doctor.py", _REAL),
    "lab/privatepbx/unpack.py": ("unit/lab/privatepbx/test_cache.py", "packages are unpacked into the cache"),
    "model/drawing/layout.py": ("unit/ivr/language/test_draw.py", "a flow is what is drawn"),
    "model/drawing/picture.py": ("unit/ivr/language/test_draw.py", "a flow is what is drawn"),
    "model/message.py": ("web/test_messages.py", _EXPRESSED),
    "net.py": ("web/test_messages.py", "webhooks and gateways are called through it"),
    "pbx/actions.py": ("unit/pbx/test_link.py", _LINK),
    "pbx/port.py": ("unit/pbx/test_link.py", _LINK),
    "pbx/recording.py": ("protocol/test_tracking_recordings.py", "recorded streams are read by it"),
    "pbx/survey.py": ("unit/pbx/test_conf_files.py", "the survey is read from .conf files"),
    "pbx/translate.py": ("protocol/test_tracking_recordings.py", "recorded streams go through it"),
    "pbx/trouble.py": ("unit/pbx/test_link.py", _LINK),
    "site/files.py": ("unit/site/test_load.py", "the files' shapes, which are loaded"),
    "site/message_rules.py": ("web/test_messages.py", "rules decide which messages go out"),
    "site/references.py": ("unit/ivr/runtime/test_rollout.py", "what refers to a flow decides about its rollout"),
    "store/repository.py": ("store/test_repositories.py", "the base of every repository"),
    "store/setting_aside.py": ("web/test_set_aside.py", "an admin sees what was set aside"),
    "store/sqlite_dialect.py": ("store/test_database.py", "a part of the database"),
    "store/tables/goods.py": ("store/test_upgrade.py", _EXPRESSED),
    "store/tables/work.py": ("store/test_upgrade.py", _EXPRESSED),
    "supervise.py": ("unit/test_kernel.py", "clock, ids, bus, supervision and logs are tested together"),
    "web/problems.py": ("web/test_openapi.py", "every error answer is compared with its declaration"),
    "web/routes.py": ("web/test_access.py", "the access matrix asks every route"),
    "web/server.py": ("web/test_pages.py", "tested by what it sends"),
}


def complaints(tree: Path, elsewhere: Mapping[str, tuple[str, str]] = ELSEWHERE) -> Iterator[str]:
    """A line for each module without tests at the first guess, then for each entry of ``elsewhere`` that is wrong."""
    package, folder = tree / "ctiserver", tree / "tests"
    tests = [PurePosixPath(path.relative_to(folder).as_posix()) for path in sorted(folder.rglob("test_*.py"))]
    missing = {
        module.as_posix()
        for path in sorted(package.rglob("*.py"))
        if not found(module := PurePosixPath(path.relative_to(package).as_posix()), tests)
        and path.name != "__init__.py"
        and len(path.read_text(encoding="utf-8").splitlines()) > LINES
    }
    for module in sorted(missing - elsewhere.keys()):
        yield f"{module}: the first guess finds no tests: name them test_{PurePosixPath(module).stem.lstrip('_')}.py"
    for module, (test, _) in sorted(elsewhere.items()):
        if module not in missing:
            yield f"tools/test_places.py: {module} needs no entry: delete it"
        elif not (folder / test).is_file():
            yield f"tools/test_places.py: {module} names tests/{test}, which does not exist"
    for test in tests:
        below = test.parent.relative_to("unit") if test.parts[0] == "unit" else PurePosixPath()
        if not (package / below).is_dir() and not (tree / below).is_dir():
            yield f"tests/{test}: there is no package ctiserver/{below}: put it where its module is"


def found(module: PurePosixPath, tests: list[PurePosixPath]) -> bool:
    """Whether the first guess finds tests of ``module`` (below the package) among ``tests`` (below tests/)."""
    *folders, name = module.with_suffix("").parts
    words = {name.lstrip("_"), *folders[-1:], *(folders[1:2] if folders[:1] == ["features"] else ())}
    for test in tests:
        ring, *where = [*test.parts[:-1]] or [""]
        above = where == folders[: len(where)] or [ring, *where] == folders[: len(where) + 1]
        stem = test.stem.removeprefix("test_")
        if above and any(stem == word or stem.startswith(f"{word}_") for word in words):
            return True
    return False


def main(arguments: list[str]) -> int:
    lines = list(complaints(Path(arguments[0]) if arguments else Path(__file__).parents[1]))
    for line in lines:
        print(line)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
