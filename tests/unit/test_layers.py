"""The contracts of pyproject.toml notice a breach: each is planted in a copy of the package, and must be reported."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_LINT = "import sys; sys.path.insert(0, '.'); from importlinter.cli import lint_imports_command as lint; lint()"

_LAYERS = "Imports go one way"
_SQL = "sqlalchemy lives in store alone"
_AMI = "panoramisk lives in pbx.connection alone"
_WORKFLOW = "the durable-workflow library lives in dispatch.engine alone"
_HTTP = "aiohttp lives in web, in the features' routes and lines, and in net alone"
_TRACES = "opentelemetry lives in features.tracing alone"
_INDEPENDENT = "Features meet on the bus or in app, never by import"
_DOOR = "app knows a feature by its feature.py alone"
_NO_RULES = "app has no rules: it knows neither units of work nor records"
_PURE = "The model is pure"
_LAB = "The lab stands on the private PBX"
_IVR = "ivr: a language, how it is spoken, how it runs, how it is tried"
_MODEL = "The model: processes on work on calls"
_SITE = "The site's files are read before they are compared"
_SERVES = "What serves callers does not stand on the private PBX"


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = tmp_path_factory.mktemp("layers")
    shutil.copy(_ROOT / "pyproject.toml", tree)
    for module in (_ROOT / "ctiserver").rglob("*.py"):
        target = tree / module.relative_to(_ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(module, target)
    return tree


def _broken(tree: Path) -> list[str]:
    """The names of the contracts that are reported as broken."""
    linted = subprocess.run(
        [sys.executable, "-c", _LINT, "--no-cache", "--no-logo"], cwd=tree, capture_output=True, text=True, timeout=60
    )
    words = " ".join(linted.stdout.split())
    assert "Contracts:" in words, linted.stdout + linted.stderr
    return [name for name in _contracts() if f"{name} BROKEN" in words]


def _contracts() -> list[str]:
    text = (_ROOT / "pyproject.toml").read_text(encoding="utf-8")
    return [
        line.split('"')[1] for line in text.splitlines() if line.startswith("name = ") and '"ctiserver"' not in line
    ]


def test_every_contract_is_kept_and_has_a_breach_below(copy: Path) -> None:
    assert _broken(copy) == []
    assert set(_contracts()) == {contract for _, _, contract in _BREACHES}


_BREACHES = [
    ("features/calls/service.py", "import dbos", _WORKFLOW),
    ("lab/drill/rig.py", "import dbos", _WORKFLOW),
    ("lab/drill/rig.py", "import sqlalchemy", _SQL),
    ("site/load.py", "from alembic import command", _SQL),
    ("lab/drill/rig.py", "import panoramisk", _AMI),
    ("pbx/codec.py", "from panoramisk import manager", _AMI),
    ("app/composition.py", "import opentelemetry", _TRACES),
    ("agi/server.py", "import aiohttp", _HTTP),
    ("features/calls/service.py", "from aiohttp import web", _HTTP),
    ("memory.py", "from ctiserver.features.calls import service", _LAYERS),
    ("store/rows.py", "from ctiserver.app import composition", _LAYERS),
    ("stray.py", "", _LAYERS),
    ("features/calls/service.py", "from ctiserver.features.contacts import service", _INDEPENDENT),
    ("app/features.py", "from ctiserver.features.calls.service import CallLogService", _DOOR),
    ("app/flow_ports.py", "from ctiserver.features.calls import catching_up", _DOOR),
    ("app/features.py", "from ctiserver.store.unit_of_work import UnitOfWork", _NO_RULES),
    ("app/composition.py", "from ctiserver.model.work.record import Record", _NO_RULES),
    ("model/calls/call.py", "import asyncio", _PURE),
    ("app/server_file.py", "from ctiserver.lab.privatepbx import state", _SERVES),
    ("lab/privatepbx/tree.py", "from ctiserver.lab.demo import once", _LAB),
    ("lab/drill/rig.py", "from ctiserver.lab.demo import once", _LAB),
    ("ivr/language/graph.py", "from ctiserver.ivr.speech import values", _IVR),
    ("ivr/speech/prompts.py", "from ctiserver.ivr.runtime import engine", _IVR),
    ("ivr/runtime/runner.py", "from ctiserver.ivr.simulation import simulate", _IVR),
    ("model/calls/call.py", "from ctiserver.model.work import record", _MODEL),
    ("model/work/record.py", "from ctiserver.model.process import decide", _MODEL),
    ("model/stray.py", "", _MODEL),
    ("site/files.py", "from ctiserver.site import load", _SITE),
]


@pytest.mark.parametrize(("module", "line", "contract"), _BREACHES)
def test_a_planted_breach_is_reported(copy: Path, module: str, line: str, contract: str) -> None:
    path = copy / "ctiserver" / module
    before = path.read_text(encoding="utf-8") if path.exists() else None
    path.write_text(f"{before or ''}\n{line}\n", encoding="utf-8")
    try:
        assert contract in _broken(copy)
    finally:
        if before is None:
            path.unlink()
        else:
            path.write_text(before, encoding="utf-8")
