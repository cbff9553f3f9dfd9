"""A whole server on the session's Asterisk, with agents whose phones are browsers, desks or tests."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from ctiserver.app.composition import App, running
from ctiserver.lab.privatepbx.lifecycle import PrivatePbx
from ctiserver.model.person import Role
from ctiserver.settings import AgiSettings, BrowserPhoneSettings, PbxSettings, Settings, WebSettings
from tests.support.desk import PASSWORD

#: Straight into the queue, without a flow.
NUMBERS = {
    "cti-inbound": {"7101": ("Answer()", "Set(CTI_QUEUE=repair)", "Queue(repair,ctb(cti-pop^s^1),,,60)", "Hangup()")}
}
#: A site where calls to a country's numbers are allowed, and one queue shows its own.
SITE = {
    "dialling.yaml": "outbound: {allow: ['+86'], refuse: ['+86400']}\n",
    "queues.yaml": """\
queues:
  repair:
    title: {zh-CN: 报修, en: Repairs}
    members: {skills: [repair]}
    wrap_up: {limit: 60s}
    presented: "4008001234"
  operators: {members: {skills: [general]}}
""",
    "calendars/service_desk.yaml": """\
schema: calendar/1
calendar: service_desk
weekly:
  mon-sun: ["00:00-24:00"]
""",
}
READY_S = 20.0


@dataclass
class Exchange:
    """What a test needs of it."""

    app: App
    pbx: PrivatePbx

    @property
    def url(self) -> str:
        return self.app.url

    async def add_agent(self, login: str, *, phone: str, extension: str, **more: Any) -> None:
        """An agent in the queue ``repair``, with the tests' password."""
        role: Role = more.pop("role", "agent")
        more = {"name": login.title(), "skills": ("repair",), "interface": f"PJSIP/{phone}", **more}
        await self.app.features.users.add(login, role=role, password=PASSWORD, extension=extension, **more)
        await self.app.features.agents.load()


@asynccontextmanager
async def exchange(pbx: PrivatePbx, folder: Path) -> AsyncIterator[Exchange]:
    """The server that ``pbx`` asks, and its numbers, for the length of the block."""
    for name, text in SITE.items():
        path = folder / "config" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for context, extensions in NUMBERS.items():
        for extension, steps in extensions.items():
            for priority, step in enumerate(steps, 1):
                await pbx.cli(f"dialplan add extension {extension},{priority},{step} into {context} replace")
    settings = Settings(
        data_dir=folder / "data",
        config_dir=folder / "config",
        pbxs={
            "main": PbxSettings(
                port=pbx.ami_port,
                username=pbx.ami_username,
                secret=SecretStr(pbx.ami_secret),
                browser_phones=BrowserPhoneSettings(
                    url=pbx.phones_url,
                    secrets={name: SecretStr(secret) for name, secret in pbx.phone_secrets.items() if "web" in name},
                ),
            )
        },
        agi=AgiSettings(port=int(pbx.agi.rpartition(":")[2]), command_margin_s=10),
        web=WebSettings(port=0),
    )
    try:
        async with running(settings) as app:
            await app.ready(READY_S)
            yield Exchange(app, pbx)
    finally:
        for context, extensions in NUMBERS.items():
            for extension in extensions:
                await pbx.cli(f"dialplan remove extension {extension}@{context}")


@asynccontextmanager
async def customer_at(pbx: PrivatePbx, number: str, phone: str) -> AsyncIterator[None]:
    """Calls to this number outside end at one of the PBX's phones: baresip answers to no number but its own, as a
    trunk would call it."""
    steps = ("Set(CALLERID(num)=${CTI_PRESENTED})", f"Dial(PJSIP/{phone},20,g${{CTI_OUT_OPTIONS}})", "Hangup()")
    for priority, step in enumerate(steps, 1):
        await pbx.cli(f"dialplan add extension {number},{priority},{step} into cti-outbound replace")
    try:
        yield
    finally:
        await pbx.cli(f"dialplan remove extension {number}@cti-outbound")


def invites(exchange: Exchange, phone: str) -> list[dict[str, str]]:
    """The headers of every INVITE that the PBX has sent to a phone, by its own log of SIP."""
    text = exchange.pbx.log_path.read_text(encoding="utf-8", errors="replace")
    found = []
    for message in re.findall(rf"(INVITE sip:{phone}[^@ ]*@.*?)\n\s*\n", text, re.DOTALL):
        lines = [line.strip() for line in message.splitlines()[1:]]
        found.append(dict(line.split(": ", 1) for line in lines if ": " in line))
    return found
