"""Accounts in the console, and the audit log that keeps who did what with them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ctiserver.errors import UserFault
from ctiserver.model.calls.call_entry import CallEntry
from ctiserver.model.calls.recording import Recording
from ctiserver.model.ids import RecordingId, new_ulid
from ctiserver.web.connection import CLOSE_LOGGED_OUT
from tests.support.desk import PASSWORD, PBX, Browser, Desk

NEW = "another password"


@pytest.fixture
async def admin(running: Desk, browser: Browser) -> Browser:
    await browser.log_in("admin")
    return browser


async def _audit(browser: Browser, **query: str) -> list[Any]:
    asked = "&".join(f"{key}={value}" for key, value in query.items())
    entries: list[Any] = (await browser.json("GET", f"/api/v1/audit?{asked}"))["entries"]
    return entries


async def test_an_account_is_added_and_used(running: Desk, admin: Browser) -> None:
    body = {
        "login": "li",
        "name": "李",
        "role": "agent",
        "password": PASSWORD,
        "extension": "177",
        "skills": ["repair"],
    }
    added = await admin.json("POST", "/api/v1/users", body, status=201)
    assert (added["extension"], added["interface"], added["active"]) == ("177", "PJSIP/li", True)
    assert "li" in [user["login"] for user in (await admin.json("GET", "/api/v1/users"))["users"]]
    async with Browser(running.url) as theirs:
        await theirs.log_in("li")
        assert (await theirs.json("GET", "/api/v1/agents/me"))["state"] == "logged_out"
    again = await admin.json("POST", "/api/v1/users", body, status=400)
    assert "there is an account li already" in again["title"]
    short = await admin.json("POST", "/api/v1/users", {**body, "login": "x", "password": "short"}, status=422)
    assert set(short["fields"]) == {"password"}


@pytest.mark.parametrize(
    "phone", ["PJSIP/0019005551234@trunk", "Local/0019005551234@cti-outbound", "PJSIP/a&PJSIP/b", "PJSIP/a/b", "trunk"]
)
async def test_a_phone_named_at_the_console_is_no_way_out(admin: Browser, phone: str) -> None:
    body = {"login": "li", "role": "agent", "password": PASSWORD, "extension": "177", "interface": phone}
    refused = await admin.json("POST", "/api/v1/users", body, status=422)
    assert set(refused["fields"]) == {"interface"}


async def test_another_role_applies_at_once_and_ends_sessions_and_sockets(running: Desk, admin: Browser) -> None:
    async with Browser(running.url) as theirs:
        await theirs.log_in("supervisor")
        async with theirs.socket() as socket:
            await admin.json("PATCH", "/api/v1/users/supervisor", {"role": "technician"})
            assert (await socket.receive(timeout=5)).data == CLOSE_LOGGED_OUT
        await theirs.json("GET", "/api/v1/audit", status=401)
        await theirs.log_in("supervisor")
        await theirs.json("GET", "/api/v1/audit", status=403)
    [entry] = await _audit(admin, act="account_changed")
    assert (entry["actor"], entry["subject"], entry["peer"]) == ("user:admin", "user:supervisor", "127.0.0.1")
    assert entry["detail"] == {"from": "supervisor", "to": "technician"}


async def test_a_shut_account_is_out_and_can_be_opened_again(running: Desk, admin: Browser) -> None:
    async with Browser(running.url) as theirs:
        await theirs.log_in("agent1")
        await admin.json("PATCH", "/api/v1/users/agent1", {"active": False})
        await theirs.json("GET", "/api/v1/me", status=401)
        credentials = {"login": "agent1", "password": PASSWORD}
        await theirs.json("POST", "/api/v1/session", credentials, status=401)
        await admin.json("PATCH", "/api/v1/users/agent1", {"active": True})
        await theirs.log_in("agent1")


async def test_the_last_admin_stays(running: Desk, admin: Browser) -> None:
    for change in ({"role": "agent"}, {"active": False}):
        refused = await admin.json("PATCH", "/api/v1/users/admin", change, status=400)
        assert "last admin" in refused["title"]
    await running.features.users.change("supervisor", role="admin", by="test")
    await admin.json("PATCH", "/api/v1/users/admin", {"role": "agent"})
    with pytest.raises(UserFault, match="last admin"):
        await running.features.users.change("supervisor", active=False, by="test")


async def test_one_changes_ones_own_password_and_other_browsers_are_out(running: Desk, agent: Browser) -> None:
    async with Browser(running.url) as other:
        await other.log_in("agent1")
        wrong = await agent.json("POST", "/api/v1/me/password", {"old": "nonsense", "new": NEW}, status=401)
        assert wrong["code"] == "wrong_login"
        await agent.json("POST", "/api/v1/me/password", {"old": PASSWORD, "new": NEW}, status=204)
        await other.json("GET", "/api/v1/me", status=401)
        await agent.json("GET", "/api/v1/me")
        await other.log_in("agent1", NEW)


async def test_an_admin_gives_a_new_password(running: Desk, admin: Browser) -> None:
    await admin.json("POST", "/api/v1/users/agent1/password", {"password": NEW}, status=204)
    async with Browser(running.url) as theirs:
        await theirs.log_in("agent1", NEW)
    assert [entry["subject"] for entry in await _audit(admin, act="password_changed")] == ["user:agent1"]


async def test_log_ins_are_kept_and_a_mistyped_name_is_not(running: Desk, admin: Browser) -> None:
    async with Browser(running.url) as theirs:
        await theirs.json("POST", "/api/v1/session", {"login": "agent1", "password": "nonsense"}, status=401)
        await theirs.json("POST", "/api/v1/session", {"login": "my-secret-password", "password": "x"}, status=401)
        await theirs.log_in("agent1")
        await theirs.json("DELETE", "/api/v1/session", status=204)
    acts = [entry["act"] for entry in await _audit(admin, actor="user:agent1")]
    assert acts == ["logged_out", "logged_in", "log_in_failed"]
    everything = await (await admin.ask("GET", "/api/v1/audit")).text()
    assert "my-secret-password" not in everything
    assert "nonsense" not in everything


async def test_the_log_is_asked_in_pages_and_by_act(running: Desk, admin: Browser) -> None:
    for _ in range(60):
        await running.features.users.change("agent2", active=False, by="test")
        await running.features.users.change("agent2", active=True, by="test")
    first = await admin.json("GET", "/api/v1/audit?act=account_changed")
    second = await admin.json("GET", f"/api/v1/audit?act=account_changed&before={first['before']}")
    third = await admin.json("GET", f"/api/v1/audit?act=account_changed&before={second['before']}")
    ids = [entry["id"] for page in (first, second, third) for entry in page["entries"]]
    assert (len(ids), len(set(ids)), ids) == (120, 120, sorted(ids, reverse=True))
    assert third["before"] is None
    await admin.json("GET", "/api/v1/audit?act=nonsense", status=422)


@pytest.mark.parametrize("range_", ["", "bytes=0-", "bytes=1-", "bytes=-99999999", "bytes=5-9"])
async def test_who_plays_a_recording_is_kept_whatever_part_they_ask_for(
    running: Desk, admin: Browser, tmp_path: Path, range_: str
) -> None:
    file = "20261201/1-1.wav"
    (tmp_path / file).parent.mkdir()
    (tmp_path / file).write_bytes(b"RIFF" + bytes(100))
    running.features.recordings._folders = {PBX: tmp_path}  # type: ignore[dict-item]
    now, call_id = datetime.now(UTC), running.line().id
    recording = Recording(
        id=RecordingId(new_ulid(now)), call_id=call_id, pbx=PBX, file=file, channel="", talk_only=False, started_at=now
    )  # fmt: skip
    async with running.database.unit_of_work() as uow:
        await uow.recordings.add_once(recording)
        await uow.calls.begin(
            CallEntry(id=call_id, pbx=PBX, direction="inbound", ani="1", caller_name="", dnis="2", started_at=now)
        )
    path = f"/api/v1/recordings/{recording.id}/audio"
    for _ in range(3):  # a player asks for many parts
        answer = await admin.ask("GET", path, **({"Range": range_} if range_ else {}))
        assert answer.status in (200, 206)
    [entry] = await _audit(admin, act="recording_played")
    assert (entry["actor"], entry["subject"]) == ("user:admin", f"call:{call_id}")
    assert entry["detail"] == {"recording": recording.id}
    assert entry["peer"] == "127.0.0.1"


async def test_what_work_orders_ask_for_is_changed_without_a_new_log_in(running: Desk) -> None:
    async with Browser(running.url) as admin, Browser(running.url) as hers:
        await admin.log_in("admin")
        await hers.log_in("technician")
        change = {"skills": ["gas"], "regions": ["浦东"], "department": "north", "calendar": ""}
        changed = await admin.json("PATCH", "/api/v1/users/technician", change)
        assert {name: changed[name] for name in change} == change
        await hers.json("GET", "/api/v1/me")
        problem = await admin.json("PATCH", "/api/v1/users/technician", {"calendar": "gone"}, status=400)
        assert "no calendar is named gone" in problem["title"]
