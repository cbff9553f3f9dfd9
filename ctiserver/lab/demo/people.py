"""Who works in the demo's contact centre, and who calls it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import timedelta

from ctiserver.app.composition import App
from ctiserver.model.contact import Device, Premises
from ctiserver.model.ids import ContactId, DeviceId, SiteId, new_ulid

AGENT, TECHNICIAN, SUPERVISOR = "agent1", "technician1", "supervisor1"
#: Whose phone is the browser in which she logs in.
AGENT_IN_BROWSER = "agent2"
#: What a caller dials. Any number leads to the front desk.
HOTLINE = "4008001234"


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who calls."""

    number: str
    name: str
    firm: str
    tier: str
    address: str
    model: str
    serial: str
    keys: str  #: what they press in the front desk's menus: language, then service


CALLERS = (
    Caller("13800138000", "王芳", "", "gold", "北京市朝阳区建国路 88 号 3 单元 502", "KF-35GW", "SN0012345678", "11"),
    Caller("13912345678", "李建国", "锦江宾馆", "", "成都市锦江区人民南路 80 号", "RF-120", "SN0087654321", "11"),
    Caller("13600136000", "Anna Keller", "Harbour Café", "", "12 Zhongshan Rd, Shanghai", "WM-9", "SN0055500055", "21"),
    Caller("18621000001", "", "", "", "", "", "", "12"),  # nobody that the centre knows
)  # fmt: skip


async def hire(app: App, language: str) -> str:
    """Make the accounts; returns the password that all of them have."""
    password = f"demo-{secrets.token_hex(3)}"
    await app.features.users.add(
        AGENT,
        name="李敏" if language == "zh-CN" else "Min Li",
        role="agent",
        password=password,
        language=language,
        skills=("repair", "general"),
        extension="101",
        interface="PJSIP/agent1",
    )
    await app.features.users.add(
        AGENT_IN_BROWSER,
        name="王芳" if language == "zh-CN" else "Fang Wang",
        role="agent",
        password=password,
        language=language,
        skills=("repair", "general"),
        extension="111",
        interface="PJSIP/web1",
    )
    await app.features.users.add(
        TECHNICIAN,
        name="张伟" if language == "zh-CN" else "Wei Zhang",
        role="technician",
        password=password,
        language=language,
        skills=("repair",),
    )
    await app.features.users.add(
        SUPERVISOR,
        name="陈静" if language == "zh-CN" else "Jing Chen",
        role="supervisor",
        password=password,
        language=language,
    )
    await app.features.agents.load()
    return password


async def introduce(app: App) -> None:
    """Put the callers that the centre knows into its address book, with what they own."""
    today = app.clock.now().date()
    for caller in CALLERS:
        if not caller.name:
            continue
        contacts = app.features.contacts
        known = (await contacts.find_or_create(caller.number, caller.name))[0]
        await contacts.rename(known.id, known.revision, name=caller.name, organisation=caller.firm, note="")
        async with app.database.unit_of_work() as uow:
            site = Premises(
                id=SiteId(new_ulid(app.clock.now())),
                contact_id=known.id,
                name=caller.address[:12],
                address=caller.address,
            )
            await uow.contacts.add_site(site)
            await uow.contacts.add_device(
                Device(
                    id=DeviceId(new_ulid(app.clock.now())),
                    contact_id=ContactId(known.id),
                    site_id=site.id,
                    serial=caller.serial,
                    model=caller.model,
                    bought_on=today - timedelta(days=400),
                    warranty_until=today + timedelta(days=330 if caller.tier else -35),
                )
            )
