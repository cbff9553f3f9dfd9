"""From the ring to the closed record: real Asterisk, telephones, browsers, an SMS gateway; nothing of ours is played."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import Browser

from ctiserver.lab.privatepbx.tree import Programs
from tests.e2e.whole_way import CUSTOMER, WholeWay, go
from tests.support.asterisk import programs

__all__ = ["programs"]
pytestmark = [pytest.mark.pbx, pytest.mark.browser]


@pytest.mark.timeout(300)
async def test_a_repair_goes_from_the_ring_to_closed_and_its_chain_is_whole(
    programs: Programs, chromium: Browser, tmp_path: Path
) -> None:
    async with WholeWay.open(programs, tmp_path, chromium) as way:
        record = await go(way)
        page, chain = await way.chain(record)
        shown = await page.locator("cti-chain .chip.good").first.inner_text()
        drawn = await page.locator("cti-chain ol > li").count()
        [first, second] = await way.texted(2)
        async with way.app.database.reading() as uow:
            kinds = [line.kind for line in await uow.records.timeline(record.id)]
            [van] = await uow.stock.levels("van_1")

    assert (record.resolution, record.fields["satisfaction"], record.priority) == ("resolved", 5, 6)
    links = chain["links"]
    assert (shown, chain["whole"], chain["breaks"], drawn) == ("完整", True, [], len(links))
    ways = [link["kind"] for link in links]
    # Called, asked what it is about, queued, talked with, written down …
    assert ways[:6] == ["ring", "menu", "opened", "queue", "talk", "disposition"]
    assert [(link["what"], link["state"]) for link in links if link["kind"] == "order"] == [
        ("parts", "done"),
        ("appointment", "done"),
        ("dispatch", "done"),
        ("quote", "done"),
        ("expense", "done"),
        ("follow_up", "dissatisfied"),
        ("dispatch", "done"),
        ("follow_up", "satisfied"),
    ]
    assert [(link["what"], link["number"], link["state"]) for link in links if link["kind"] == "expense"] == [
        ("compressor", "960.00", "approved"),
        ("visit", "80.00", "approved"),
    ]
    # … and called twice more, by the server.
    assert (ways.count("ring"), ways[-1], way.customer.rung) == (3, "closed", 2)
    assert {"expense_approved", "customer_called", "priority_raised", "notified", "closed"} <= set(kinds)
    assert [text["to"] for text in (first, second)] == [CUSTOMER, CUSTOMER]
    assert all("刘师傅" in text["text"] for text in (first, second))
    assert first["id"] != second["id"]
    assert (van.part, van.on_hand) == ("compressor", 1)
