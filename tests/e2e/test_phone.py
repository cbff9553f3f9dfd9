"""The phone in the browser, on a real Asterisk, with sound both ways."""

from __future__ import annotations

import re
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright, expect

from ctiserver.lab.privatepbx.lifecycle import PrivatePbx
from ctiserver.lab.privatepbx.phone import SipPhone
from ctiserver.lab.privatepbx.tree import Programs
from tests.e2e.conftest import CHROMIUM_FLAGS, WIDE
from tests.e2e.test_desk import AXE
from tests.support.asterisk import pbx, programs, session_pbx
from tests.support.desk import PASSWORD
from tests.support.eventually import eventually
from tests.support.telephony import Exchange, customer_at, exchange

__all__ = ["pbx", "programs", "session_pbx"]
pytestmark = [pytest.mark.browser, pytest.mark.pbx, pytest.mark.asyncio(loop_scope="module")]

MEDIA_FLAGS = [
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
    "--allow-loopback-in-peer-connection",
]
WITHIN_MS = 20_000
CALLER = "13800000001"
OpenDesk = Callable[..., Awaitable[Page]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def serving(session_pbx: PrivatePbx, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Exchange]:
    """A server whose agents ``wang`` and ``lee`` have their phones in the browser."""
    async with exchange(session_pbx, tmp_path_factory.mktemp("exchange")) as it:
        await it.add_agent("wang", phone="web1", extension="111", name="王芳", language="zh-CN")
        await it.add_agent("lee", phone="web2", extension="112", name="Ann Lee", language="en")
        yield it


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncIterator[Browser]:
    """A browser with a microphone that beeps."""
    names = ("chromium", "chromium-headless-shell", "google-chrome")
    path = next(found for name in names if (found := shutil.which(name)))
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=[*CHROMIUM_FLAGS, *MEDIA_FLAGS])
        try:
            yield browser
        finally:
            await browser.close()


@pytest_asyncio.fixture(loop_scope="module")
async def centre(serving: Exchange, chromium: Browser, pbx: PrivatePbx) -> AsyncIterator[Exchange]:
    """The server, on a PBX without calls and members; every browser is closed before those are counted."""
    yield serving
    for context in chromium.contexts:
        await context.close()


@pytest_asyncio.fixture(loop_scope="module")
async def open_desk(centre: Exchange, chromium: Browser) -> AsyncIterator[OpenDesk]:
    """Opens an agent's desk whose phone is ready; complaints of any page fail the test."""
    complaints: list[str] = []

    async def open_(login: str, *, join: bool = True, **options: Any) -> Page:
        context = await chromium.new_context(
            **{"locale": "zh-CN", "viewport": WIDE, "permissions": ["microphone"], **options}
        )
        context.set_default_timeout(WITHIN_MS)
        page = await context.new_page()
        page.on("pageerror", lambda error: complaints.append(f"{login}: {error}"))
        page.on(
            "console",
            lambda said: complaints.append(f"{login}: {said.text} {said.location}") if said.type == "error" else None,
        )
        await page.goto(centre.url)
        await page.locator("input[name=login]").fill(login)
        await page.locator("input[name=password]").fill(PASSWORD)
        await page.keyboard.press("Enter")
        await expect(page.locator("cti-phone .chip.good")).to_be_visible(timeout=WITHIN_MS)
        if join:
            await page.locator("cti-status button.primary").click()
            await expect(page.locator("cti-status .chip.good")).to_be_visible(timeout=WITHIN_MS)
        return page

    yield open_
    assert complaints == []


async def _hears_and_is_heard(page: Page, caller: SipPhone) -> None:
    """Sound flows both ways: what the browser counts grows, and so does what the caller's phone has heard."""

    async def stats() -> dict[str, float]:
        return dict(
            await page.evaluate("document.querySelector('cti-app').renderRoot.querySelector('cti-phone').phone.stats()")
        )

    before, heard_s = await stats(), caller.heard_s()

    async def grown() -> dict[str, bool]:
        now = await stats()
        return {
            "sent": now["sent"] > before["sent"] + 20,
            "received": now["received"] > before["received"] + 20,
            "energy": now["energy"] > before["energy"],
            "heard": caller.heard_s() > heard_s,
        }

    await eventually(grown, lambda seen: all(seen.values()), within_s=15)


async def _ask(page: Page, extension: str) -> None:
    await page.keyboard.press("Alt+T")
    await expect(page.get_by_label("分机、号码或姓名")).to_be_focused()
    await page.keyboard.type(extension)
    await page.get_by_role("button", name="先咨询").click()


async def test_a_caller_is_popped_then_answered_in_the_browser_with_sound_both_ways(
    centre: Exchange, open_desk: OpenDesk, programs: Programs
) -> None:
    page = await open_desk("wang")
    async with SipPhone.caller(programs, centre.pbx, CALLER) as caller:
        await caller.dial("7101")
        await expect(page.locator("cti-pop")).to_contain_text("话机正在振铃", timeout=WITHIN_MS)
        await expect(page.locator("cti-phone")).to_contain_text("正在振铃")
        await page.keyboard.press("Alt+A")
        await expect(page.locator("cti-phone")).to_contain_text("通话中", timeout=WITHIN_MS)
        await expect(page.locator("cti-pop")).to_contain_text("正在通话")
        await _hears_and_is_heard(page, caller)
        await page.keyboard.press("Alt+H")
        await caller.ended()
        await expect(page.locator("cti-phone")).to_contain_text("电话就绪")


async def test_a_call_is_handed_to_a_colleague_at_once(
    centre: Exchange, open_desk: OpenDesk, programs: Programs
) -> None:
    mine, other = await open_desk("wang"), await open_desk("lee", join=False)
    async with SipPhone.caller(programs, centre.pbx, CALLER) as caller:
        await caller.dial("7101")
        await mine.get_by_role("button", name="接听").click()
        await expect(mine.locator("cti-phone")).to_contain_text("通话中", timeout=WITHIN_MS)
        await mine.get_by_role("button", name="转接").click()
        await mine.get_by_role("option", name="Ann Lee").click()
        await mine.get_by_role("button", name="立即转接").click()
        await other.get_by_role("button", name="Answer").click()
        await expect(other.locator("cti-phone")).to_contain_text("Talking", timeout=WITHIN_MS)
        await _hears_and_is_heard(other, caller)
        await expect(mine.locator("cti-phone")).to_contain_text("电话就绪")
        await other.keyboard.press("Alt+H")
        await caller.ended()


async def test_a_colleague_is_asked_first_then_all_three_talk(
    centre: Exchange, open_desk: OpenDesk, programs: Programs
) -> None:
    mine, other = await open_desk("wang"), await open_desk("lee", join=False)
    async with SipPhone.caller(programs, centre.pbx, CALLER) as caller:
        await caller.dial("7101")
        await mine.get_by_role("button", name="接听").click()
        await expect(mine.locator("cti-phone")).to_contain_text("通话中", timeout=WITHIN_MS)
        await _ask(mine, "112")
        await other.get_by_role("button", name="Answer").click()
        await expect(mine.locator("cti-phone")).to_contain_text("咨询中", timeout=WITHIN_MS)
        await mine.get_by_role("button", name="回到来电者").click()
        await expect(other.locator("cti-phone")).to_contain_text("Phone is ready", timeout=WITHIN_MS)
        await _hears_and_is_heard(mine, caller)

        await _ask(mine, "112")
        await other.get_by_role("button", name="Answer").click()
        await mine.get_by_role("button", name="三方通话").click()
        await expect(mine.locator("cti-phone")).to_contain_text("三方通话", timeout=WITHIN_MS)
        await _hears_and_is_heard(mine, caller)
        await _hears_and_is_heard(other, caller)
        await mine.keyboard.press("Alt+H")
        await _hears_and_is_heard(other, caller)
        await other.keyboard.press("Alt+H")
        await caller.ended()


async def test_a_page_that_is_loaded_anew_in_mid_call_has_its_caller_back(
    centre: Exchange, open_desk: OpenDesk, programs: Programs
) -> None:
    page = await open_desk("wang")
    async with SipPhone.caller(programs, centre.pbx, CALLER) as caller:
        await caller.dial("7101")
        await page.get_by_role("button", name="接听").click()
        await expect(page.locator("cti-phone")).to_contain_text("通话中", timeout=WITHIN_MS)
        await _hears_and_is_heard(page, caller)
        await page.reload()
        await expect(page.locator("cti-phone")).to_contain_text("通话中", timeout=WITHIN_MS)
        await _hears_and_is_heard(page, caller)
        await expect(page.locator("cti-pop")).to_contain_text("正在通话")
        await page.keyboard.press("Alt+H")
        await caller.ended()


async def test_a_caller_whose_agent_does_not_come_back_is_the_next_in_the_queue(
    centre: Exchange, open_desk: OpenDesk, programs: Programs
) -> None:
    await centre.pbx.cli("dialplan set global CTI_LOST_S 2")
    page = await open_desk("wang")
    other = await open_desk("lee")
    await other.get_by_role("button", name="Pause").click()  # so that there is somebody to wait for
    await expect(other.locator("cti-status")).to_contain_text("Paused")
    async with (
        SipPhone.caller(programs, centre.pbx, CALLER) as caller,
        SipPhone.caller(programs, centre.pbx, "13800000002") as waiting,
    ):
        await caller.dial("7101")
        await page.get_by_role("button", name="接听").click()
        await expect(page.locator("cti-phone")).to_contain_text("通话中", timeout=WITHIN_MS)
        await waiting.dial("7101")
        await waiting.answered()
        heard_s = caller.heard_s()
        await page.close()

        async def music() -> bool:
            return caller.heard_s() > heard_s + 0.5

        await eventually(music, within_s=10)

        async def in_queue() -> list[str]:
            lines = (await centre.pbx.cli("queue show repair")).splitlines()
            return [line.split("prio: ")[1].rstrip(")") for line in lines if "prio: " in line]

        await eventually(in_queue, lambda seen: seen == ["1000000", "0"], within_s=15)
        await other.keyboard.press("Alt+R")
        await other.get_by_role("button", name="Answer").click()
        await _hears_and_is_heard(other, caller)
        await other.keyboard.press("Alt+H")
    await centre.pbx.cli("dialplan set global CTI_LOST_S 20")


async def test_a_contact_is_called_from_the_desk_and_ones_own_phone_needs_no_answer(
    centre: Exchange, open_desk: OpenDesk, programs: Programs
) -> None:
    await centre.app.features.contacts.find_or_create("13900000001", "李娜")
    page = await open_desk("wang", join=False)
    async with (
        customer_at(centre.pbx, "+8613900000001", "agent3"),
        SipPhone.agent(programs, centre.pbx, "agent3") as customer,
    ):
        await page.get_by_role("searchbox", name="查找联系人").fill("李娜")
        await page.get_by_role("button", name="拨打 李娜").click()
        assert await customer.ringing() == "4008001234"
        await customer.answer()
        await _hears_and_is_heard(page, customer)
        await page.keyboard.press("Alt+M")
        await expect(page.locator("cti-phone")).to_contain_text("已静音")
        await page.keyboard.press("Alt+M")
        await page.keyboard.press("Alt+K")
        await page.get_by_role("group", name="键盘").get_by_role("button", name="5").click()

        async def keys() -> str:
            return customer.keys_heard

        await eventually(keys, lambda heard: heard == "5")
        await _hears_and_is_heard(page, customer)
        await page.keyboard.press("Alt+O")
        await expect(page.locator("cti-phone")).to_contain_text("已保持")
        # At once, while the PBX is still being told of the hold: taken back, and no key lost.
        await page.keyboard.press("Alt+O")
        await page.get_by_role("group", name="键盘").get_by_role("button", name="7").click()
        await eventually(keys, lambda heard: heard == "57")
        await _hears_and_is_heard(page, customer)
        await page.keyboard.press("Alt+H")
        await customer.ended()


async def test_one_tab_is_the_phone_and_another_takes_over(centre: Exchange, open_desk: OpenDesk) -> None:
    page = await open_desk("wang", join=False)
    second = await page.context.new_page()
    await second.goto(centre.url)
    await expect(second.locator("cti-phone")).to_contain_text("电话在另一个标签页中", timeout=WITHIN_MS)
    await second.get_by_role("button", name="在此使用电话").click()
    await expect(second.locator("cti-phone")).to_contain_text("电话就绪", timeout=WITHIN_MS)
    await expect(page.locator("cti-phone")).to_contain_text("电话在另一个标签页中")
    await second.close()
    await expect(page.locator("cti-phone")).to_contain_text("电话就绪", timeout=WITHIN_MS)


async def test_the_bar_can_be_used_by_everybody_in_both_languages(
    centre: Exchange, open_desk: OpenDesk, programs: Programs
) -> None:
    await centre.app.features.contacts.find_or_create("13900000003", "赵敏")
    page = await open_desk("wang")
    async with SipPhone.caller(programs, centre.pbx, CALLER) as caller:
        await caller.dial("7101")
        await expect(page.get_by_role("alert").filter(has_text="按 Alt A 接听")).to_be_attached(timeout=WITHIN_MS)
        await page.keyboard.press("Alt+A")
        await expect(page.locator("cti-phone")).to_contain_text("通话中", timeout=WITHIN_MS)
        await page.keyboard.press("Alt+T")
        await expect(page.get_by_label("分机、号码或姓名")).to_be_focused()
        await page.keyboard.type("赵敏")
        await expect(page.get_by_role("option", name=re.compile("赵敏.*13900000003"))).to_be_visible(timeout=WITHIN_MS)
        # A script of the test's own would be refused by the page's policy.
        await page.evaluate(AXE.read_text())
        for name in ("English", "中文"):
            await page.get_by_role("button", name=name).click()
            found = await page.evaluate(
                "axe.run({resultTypes: ['violations']}).then((it) => it.violations"
                ".filter((one) => ['serious', 'critical'].includes(one.impact)).map((one) => one.id))"
            )
            assert found == []
        await page.keyboard.press("Alt+H")
        await caller.ended()


async def test_a_line_that_breaks_ends_no_talk_and_the_page_learns_of_the_end(
    centre: Exchange, open_desk: OpenDesk, programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by a restart of the server: nobody is there to see a page lost, and sound does not pass through it."""
    owner = centre.app.features.lines
    page = await open_desk("wang")
    async with SipPhone.caller(programs, centre.pbx, CALLER) as caller:
        await caller.dial("7101")
        await page.get_by_role("button", name="接听").click()
        await expect(page.locator("cti-phone")).to_contain_text("通话中", timeout=WITHIN_MS)
        monkeypatch.setattr(owner, "_lost", lambda _: None)
        for socket in list(owner._open):
            await socket.close(code=1012)
        await expect(page.locator("cti-phone")).to_contain_text("线路正在恢复", timeout=WITHIN_MS)
        await _hears_and_is_heard(page, caller)
        await expect(page.locator("cti-phone")).not_to_contain_text("线路正在恢复", timeout=WITHIN_MS)
        await _hears_and_is_heard(page, caller)
        await caller.hang_up()
        await expect(page.locator("cti-phone")).to_contain_text("电话就绪", timeout=WITHIN_MS)
