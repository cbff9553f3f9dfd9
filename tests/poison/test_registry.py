"""The check of ``make check`` notices a service without a poison test."""

from __future__ import annotations

from tests.poison.__main__ import lacking


def test_a_service_that_nobody_poisons_is_noticed() -> None:
    assert lacking({"messages", "a-new-service"}) == ["a-new-service"]
