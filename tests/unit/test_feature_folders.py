"""Every feature builds itself in its ``feature.py``, and ``app/features.py`` stays a list."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
from pathlib import Path
from types import ModuleType

import pytest

import ctiserver.features
from ctiserver.app import features

_FOLDERS = sorted(
    path.name for path in Path(ctiserver.features.__file__).parent.iterdir() if (path / "__init__.py").is_file()
)
_LONGEST = 120


def _module(folder: str) -> ModuleType:
    return importlib.import_module(f"ctiserver.features.{folder}.feature")


@pytest.mark.parametrize("folder", _FOLDERS)
def test_a_feature_builds_itself_from_its_context(folder: str) -> None:
    build = _module(folder).build
    signature = inspect.signature(build)
    assert next(iter(signature.parameters)) == "context"
    assert "Contribution" in str(signature.return_annotation)


@pytest.mark.parametrize("folder", _FOLDERS)
def test_the_needs_of_a_feature_are_a_frozen_dataclass(folder: str) -> None:
    module = _module(folder)
    takes_needs = "needs" in inspect.signature(module.build).parameters
    assert takes_needs == hasattr(module, "Needs")
    if takes_needs:
        assert dataclasses.is_dataclass(module.Needs)
        assert module.Needs.__dataclass_params__.frozen


def test_the_list_of_features_stays_short() -> None:
    assert len(inspect.getsource(features).splitlines()) <= _LONGEST
