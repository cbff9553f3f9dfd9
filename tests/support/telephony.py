"""A whole server on the session's Asterisk, with agents whose phones are browsers, desks or tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from ctiserver.app.composition import App, running
from ctiserver.model.person import Role
from ctiserver.privatepbx.lifecycle import PrivatePbx
from ctiserver.resources import shipped
from ctiserver.settings import AgiSettings, BrowserPhoneSettings, PbxSettings, Settings, WebSettings
from tests.support.desk import PASSWORD

#: Straight into the queue, without a flow.
NUMBERS = {"cti-inbound": {"7101": ("Answer()", "Set(CTI_QUEUE=repair)", "Queue(repair,ct,,,60)", "Hangup()")}}
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
async def exchange(pbx: PrivatePbx, folder: Path, config: Path | None = None) -> AsyncIterator[Exchange]:
    """The server that ``pbx`` asks, and its numbers, for the length of the block."""
    for context, extensions in NUMBERS.items():
        for extension, steps in extensions.items():
            for priority, step in enumerate(steps, 1):
                await pbx.cli(f"dialplan add extension {extension},{priority},{step} into {context} replace")
    settings = Settings(
        data_dir=folder / "data",
        config_dir=config or shipped("config"),
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
        agi=AgiSettings(port=int(pbx.agi.rpartition(":")[2])),
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
