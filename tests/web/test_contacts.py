"""A contact's sites and devices over HTTP: added, changed, retired; who is late is told."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.desk import Browser, Desk

NUMBER = "13800000001"
SITE = {
    "name": " 总部 ",
    "address": "世纪大道100号",
    "region": "浦东",
    "local_person": "赵工",
    "local_number": "021-5888",
}


@pytest.fixture
async def contact(running: Desk) -> str:
    [contact] = await running.features.contacts.find_or_create(NUMBER, "张伟")
    return contact.id


async def _found(agent: Browser, words: str) -> list[str]:
    return [one["name"] for one in (await agent.json("GET", f"/api/v1/contacts?q={words}"))["contacts"]]


async def test_a_site_is_added_changed_and_retired(agent: Browser, contact: str) -> None:
    path = f"/api/v1/contacts/{contact}"
    site = await agent.json("POST", f"{path}/sites", SITE, status=201)
    assert (site["name"], site["retired"], site["revision"]) == ("总部", False, 1)
    assert await _found(agent, "世纪大道") == ["张伟"]
    moved = {**SITE, "address": "民生路1199号", "revision": 1}
    changed = await agent.json("PUT", f"/api/v1/sites/{site['id']}", moved)
    assert (changed["address"], changed["revision"]) == ("民生路1199号", 2)
    assert await _found(agent, "世纪大道") == []
    # Somebody who still sees the first one is told, and nothing is written.
    assert (await agent.json("PUT", f"/api/v1/sites/{site['id']}", moved, status=409))["code"] == "conflict"

    gone = await agent.json("PUT", f"/api/v1/sites/{site['id']}", {**moved, "revision": 2, "retired": True})
    assert gone["retired"] is True
    assert await _found(agent, "民生路") == []
    other = await agent.json("POST", f"{path}/sites", {"name": "分部"}, status=201)
    shown = (await agent.json("GET", path))["sites"]
    assert [(one["id"], one["retired"]) for one in shown] == [(other["id"], False), (site["id"], True)]
    await agent.json("PUT", f"/api/v1/sites/{site['id']}", {**moved, "revision": 3})
    assert await _found(agent, "民生路") == ["张伟"]


async def test_a_device_stands_at_a_site_of_its_own_contact(running: Desk, agent: Browser, contact: str) -> None:
    path = f"/api/v1/contacts/{contact}"
    site = await agent.json("POST", f"{path}/sites", {"name": "总部"}, status=201)
    said: dict[str, Any] = {"serial": "KF-1", "model": "KFR-35", "site_id": site["id"], "warranty_until": "2099-06-30"}
    device = await agent.json("POST", f"{path}/devices", said, status=201)
    assert (device["site_id"], device["warranty_until"], device["bought_on"]) == (site["id"], "2099-06-30", None)
    [stranger] = await running.features.contacts.find_or_create("13900000009", "李娜")
    theirs = await agent.json("POST", f"/api/v1/contacts/{stranger.id}/sites", {"name": "家"}, status=201)
    wrong = {**said, "site_id": theirs["id"], "revision": 1}
    assert "site_id" in (await agent.json("PUT", f"/api/v1/devices/{device['id']}", wrong, status=422))["fields"]

    retired = {**said, "revision": 1, "retired": True}
    assert (await agent.json("PUT", f"/api/v1/devices/{device['id']}", retired))["retired"] is True
    assert await _found(agent, "KF-1") == []
    async with running.database.reading() as uow:
        assert await uow.contacts.devices_by_serial("KF-1") == []
        assert [one.id for one in await uow.contacts.devices(stranger.id)] == []


@pytest.mark.parametrize(
    ("kind", "body", "field"),
    [
        ("sites", {"name": "  "}, "name"),
        ("sites", {"name": "x" * 201}, "name"),
        ("devices", {"serial": ""}, "serial"),
        ("devices", {"serial": "1", "bought_on": "yesterday"}, "bought_on"),
    ],
)
async def test_what_can_not_be_is_refused_by_its_field(
    agent: Browser, contact: str, kind: str, body: dict[str, str], field: str
) -> None:
    refused = await agent.json("POST", f"/api/v1/contacts/{contact}/{kind}", body, status=422)
    assert set(refused["fields"]) == {field}
