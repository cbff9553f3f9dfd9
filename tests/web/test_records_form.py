"""The record form's server side: typed fields, who complains, linking again, several records of one call."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ctiserver.resources import shipped
from ctiserver.site.files import FieldConfig
from ctiserver.site.load import Site, load_site
from tests.support.desk import Browser, Desk, desk
from tests.support.eventually import eventually


def _site() -> Site:
    """The shipped one, whose repairs have a field of each kind."""
    site = load_site(shipped("config"))
    title = {"en": "x"}
    fields = {
        **site.record_types["repair"].fields,
        "wanted_on": FieldConfig(title=title, kind="date"),
        "quoted": FieldConfig(title=title, kind="amount", required_when="=payer == 'customer'"),
    }
    repair = site.record_types["repair"].model_copy(update={"fields": fields})
    return replace(site, record_types={**site.record_types, "repair": repair})


@pytest.fixture
async def running(tmp_path: Path) -> Any:
    async with desk(tmp_path, site=_site()) as it:
        await it.add_user("agent1", "agent")
        await it.add_user("supervisor", "supervisor")
        yield it


def _change(was: str, now: str) -> dict[str, str]:
    return {"was": was, "now": now}


async def test_a_typed_field_refuses_what_it_is_not(running: Desk, agent: Browser) -> None:
    record = (await running.features.records.open("repair", actor="t")).record
    path = f"/api/v1/records/{record.id}"
    wrong = {"wanted_on": _change("", "tomorrow"), "quoted": _change("", "80 yuan"), "fault": _change("", "cold")}
    refused = await agent.json("PATCH", path, {"fields": wrong}, status=422)
    assert refused["fields"] == {"wanted_on": "date", "quoted": "amount"}
    assert (await agent.json("GET", path))["fields"] == {}
    right = {"wanted_on": _change("", "2026-11-30"), "quoted": _change("", "80.00")}
    assert (await agent.json("PATCH", path, {"fields": right}))["fields"] == {
        "wanted_on": "2026-11-30",
        "quoted": "80.00",
    }
    assert (await agent.json("PATCH", path, {"fields": {"quoted": _change("80.00", "")}}))["fields"]["quoted"] == ""


async def test_a_field_is_required_when_its_condition_holds(running: Desk, agent: Browser) -> None:
    record = (await running.features.records.open("repair", actor="t")).record
    path = f"/api/v1/records/{record.id}"
    await agent.json("PATCH", path, {"payer": _change("", "customer"), "fields": {"fault": _change("", "cold")}})
    missing = await agent.json("POST", f"{path}/disposition", {"code": "solved_by_phone"}, status=422)
    assert missing["fields"] == {"quoted": "required"}
    await agent.json("PATCH", path, {"payer": _change("customer", "maker")})
    await agent.json("POST", f"{path}/disposition", {"code": "solved_by_phone"})


async def test_a_third_party_complains(running: Desk, agent: Browser) -> None:
    record = (await running.features.records.open("complaint", actor="t")).record
    path = f"/api/v1/records/{record.id}"
    body = {"complainant": _change("", "邻居陈先生"), "complainant_number": _change("", "13900000000")}
    written = await agent.json("PATCH", path, body)
    assert (written["complainant"], written["complainant_number"]) == ("邻居陈先生", "13900000000")
    await agent.json("PATCH", path, {"complainant": _change("", "somebody else")}, status=409)


async def test_linking_anew_moves_the_history_and_is_audited(running: Desk, agent: Browser) -> None:
    contacts, records = running.features.contacts, running.features.records
    [one] = await contacts.find_or_create("13800000001", "One")
    [two] = await contacts.find_or_create("13800000002", "Two")
    line = running.line(ani="13800000001")
    line.start()

    async def kept() -> Any:
        async with running.database.reading() as uow:
            return await uow.calls.find(line.id)

    await eventually(kept)
    record = (await records.open("repair", actor="t", call_id=line.id, contact_id=one.id)).record
    path = f"/api/v1/records/{record.id}"
    await agent.json("PATCH", path, {"contact_id": _change(one.id, two.id)})
    async with running.database.reading() as uow:
        assert [call.id for call in await uow.calls.of_contact(two.id)] == [line.id]
        assert await uow.calls.of_contact(one.id) == []
        assert [it.id for it in await uow.records.open_of_contact(two.id)] == [record.id]
    async with Browser(running.url) as lead:
        await lead.log_in("supervisor")
        [entry] = (await lead.json("GET", "/api/v1/audit?act=record_linked"))["entries"]
    assert (entry["actor"], entry["subject"], entry["peer"]) == ("user:agent1", f"record:{record.id}", "127.0.0.1")
    assert (entry["detail"]["from"], entry["detail"]["to"]) == (one.id, two.id)


async def test_one_call_opens_several_records_and_asking_twice_opens_none_twice(running: Desk, agent: Browser) -> None:
    phone = next(a.interface for a, _ in running.features.agents.everybody() if a.id == "agent1")
    line = running.line()
    line.start()
    line.ring(phone)

    async def pops() -> Any:
        return await running.features.pops.of_call(line.id)

    await eventually(pops)
    body = {"type": "repair", "call_id": line.id, "caller_number": line.ani}
    first = await agent.json("POST", "/api/v1/records", body, status=201)
    again = await agent.json("POST", "/api/v1/records", body)
    second = await agent.json("POST", "/api/v1/records", {**body, "type": "complaint"}, status=201)
    assert (again["id"], again["new"]) == (first["id"], False)
    assert second["id"] != first["id"]
