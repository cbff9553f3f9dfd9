"""Work that could not be done, as an admin sees it, has it done again, and drops it."""

from __future__ import annotations

from ctiserver.model.ids import RecordId
from ctiserver.store.setting_aside import Kind
from tests.support.desk import Browser, Desk


async def _fails() -> None:
    raise ValueError("no such\x00 zone")


async def test_an_admin_sees_it_tries_it_again_and_drops_it(running: Desk) -> None:
    aside, woken = running.features.aside, []
    aside._kinds["timeline"] = Kind(wake=lambda: woken.append(True))
    record = (await running.features.records.open("repair", actor="user:x")).record
    for ref in ("first\x00", "second", "x" * 500):
        assert not await aside.contain("timeline", ref, _fails, about="opened", record_id=RecordId(record.id))
    async with Browser(running.url) as admin:
        await admin.log_in("admin")
        page = await admin.json("GET", "/api/v1/set-aside")
        assert [item["ref"] for item in page["items"]] == ["x" * 200, "second", "first "]
        item = page["items"][1]
        assert (item["kind"], item["record_id"], item["tries"]) == ("timeline", record.id, 1)
        assert item["reason"].startswith("ValueError: no such zone")
        # It is not tried by itself any more …
        assert not await aside.contain("timeline", "second", _fails)
        # … but when the admin says so,
        assert await admin.json("POST", f"/api/v1/set-aside/{item['id']}/again") == {"state": "under_way"}
        assert woken == [True]
        assert len((await admin.json("GET", "/api/v1/set-aside"))["items"]) == 2
        done: list[bool] = []

        async def works() -> None:
            done.append(True)

        assert await aside.contain("timeline", "second", works)
        assert done == [True]
        # and never again when the admin dropped it.
        dropped = page["items"][2]["id"]
        await admin.json("POST", f"/api/v1/set-aside/{dropped}/drop", status=204)
        assert not await aside.contain("timeline", "first\x00", works)
        assert [item["ref"] for item in (await admin.json("GET", "/api/v1/set-aside"))["items"]] == ["x" * 200]
        entries = (await admin.json("GET", "/api/v1/audit"))["entries"]
        acts = [
            (entry["act"], entry["actor"], entry["peer"]) for entry in entries if entry["act"].startswith("set_aside")
        ]
        assert acts == [
            ("set_aside_dropped", "user:admin", "127.0.0.1"),
            ("set_aside_again", "user:admin", "127.0.0.1"),
        ]


async def test_what_is_set_aside_stays_so_after_a_restart(running: Desk) -> None:
    await running.features.aside.contain("care", "rule/x", _fails)
    running.features.aside._known = None  # as in a server that starts
    assert await running.features.aside.has("care", "rule/x")


async def test_an_event_that_failed_is_taken_in_again_or_dropped(running: Desk) -> None:
    broken, taken = [True], []

    def take_in(event: str) -> None:
        if broken[0]:
            raise KeyError(event)
        taken.append(event)

    for event in ("a", "b"):
        await running.bus.take_in("queues", event, take_in)
    async with Browser(running.url) as admin:
        await admin.log_in("admin")
        newest, oldest = (await admin.json("GET", "/api/v1/set-aside"))["items"]
        assert (newest["kind"], newest["ref"], newest["reason"]) == ("event", "queues: str", "KeyError: 'b'")
        assert await admin.json("POST", f"/api/v1/set-aside/{newest['id']}/again") == {"state": "failed"}
        broken[0] = False
        await admin.json("POST", f"/api/v1/set-aside/{newest['id']}/again", status=404)  # it is another one by now
        (again, _) = (await admin.json("GET", "/api/v1/set-aside"))["items"]
        assert again["tries"] == 2
        assert await admin.json("POST", f"/api/v1/set-aside/{again['id']}/again") == {"state": "done"}
        assert taken == ["b"]
        await admin.json("POST", f"/api/v1/set-aside/{oldest['id']}/drop", status=204)
        assert (await admin.json("GET", "/api/v1/set-aside"))["items"] == []


async def test_a_page_holds_fifty(running: Desk) -> None:
    for number in range(60):
        await running.features.aside.contain("care", f"rule/{number:02}", _fails)
    async with Browser(running.url) as admin:
        await admin.log_in("admin")
        first = await admin.json("GET", "/api/v1/set-aside")
        second = await admin.json("GET", f"/api/v1/set-aside?before={first['before']}")
        assert (len(first["items"]), len(second["items"]), second["before"]) == (50, 10, None)
