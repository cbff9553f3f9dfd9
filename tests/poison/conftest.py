"""Every test here logs as the server does: a traceback with the locals in it would take seconds to draw."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog

from ctiserver import logs
from ctiserver.settings import LogSettings
from tests.support.database import database_url, postgres_cluster, postgres_template

__all__ = ["database_url", "postgres_cluster", "postgres_template"]


@pytest.fixture(autouse=True)
def _logs() -> Iterator[None]:
    logs.configure(LogSettings())
    yield
    structlog.reset_defaults()
