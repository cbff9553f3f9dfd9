"""What those who watch over the server read, without a log-in."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ctiserver.settings import WebSettings
from tests.support.desk import Browser, Desk, desk


async def test_alive(browser: Browser) -> None:
    assert await browser.json("GET", "/healthz") == {"status": "alive"}


async def test_ready_says_what_is_there(browser: Browser) -> None:
    said = await browser.json("GET", "/readyz")
    assert (said["status"], said["reasons"], said["pbxs"]) == ("ready", [], {})
    assert said["agi_port"] > 0


async def test_not_ready_without_its_database_and_why(running: Desk, browser: Browser) -> None:
    await running.database._reading.dispose()

    async def gone() -> str | None:
        raise TimeoutError

    running.database.schema_version = gone  # type: ignore[method-assign]
    response = await browser.ask("GET", "/readyz")
    assert response.status == 503
    assert await response.json() == {
        "status": "not_ready",
        "reasons": ["the database did not answer within 2 s"],
        "agi_port": (await response.json())["agi_port"],
        "pbxs": {},
    }


async def test_metrics_are_what_prometheus_reads(running: Desk, browser: Browser, agent: Browser) -> None:
    async with agent.socket():
        response = await browser.ask("GET", "/metrics")
    assert response.status == 200
    assert response.headers["Content-Type"].startswith("text/plain")
    families = {family.name: family for family in text_string_to_metric_families(await response.text())}
    assert families["ctiserver_web_clients"].samples[0].value == 1
    assert families["ctiserver_outbox_waiting"].samples[0].value == 0
    assert {sample.labels["result"] for sample in families["ctiserver_agi_sessions"].samples} >= {"served", "failed"}
    assert "ctiserver_loop_lag_seconds" in families


@pytest.mark.parametrize("header", ["Forwarded", "X-Forwarded-For", "X-Real-IP", "Via"])
async def test_nothing_is_told_through_a_reverse_proxy(browser: Browser, header: str) -> None:
    assert (await browser.ask("GET", "/metrics", **{header.replace("-", "_"): "203.0.113.9"})).status == 403
    response = await browser.ask("GET", "/readyz", **{header.replace("-", "_"): "203.0.113.9"})
    assert (response.status, await response.json()) == (200, {"status": "ready"})


async def test_metrics_are_for_the_allowed_networks_alone(tmp_path: Path) -> None:
    settings = WebSettings.model_validate_json('{"port": 0, "metrics_allow": ["10.0.0.0/8"]}')
    async with desk(tmp_path, web=settings) as it, Browser(it.url) as browser:
        assert (await browser.ask("GET", "/metrics")).status == 403
        assert await browser.json("GET", "/readyz") == {"status": "ready"}
