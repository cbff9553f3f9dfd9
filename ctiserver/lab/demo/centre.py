"""The demo's contact centre: PBX, server, phones; everything in one folder that vanishes with it."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from ctiserver.app.composition import App, running
from ctiserver.lab.demo import people
from ctiserver.lab.demo.people import Caller
from ctiserver.lab.privatepbx.debian import Progress
from ctiserver.lab.privatepbx.lifecycle import PrivatePbx
from ctiserver.lab.privatepbx.phone import SipPhone
from ctiserver.lab.privatepbx.ports import free_port
from ctiserver.lab.privatepbx.tree import Programs, find_programs
from ctiserver.resources import shipped
from ctiserver.settings import AgiSettings, BrowserPhoneSettings, LogSettings, PbxSettings, Settings, WebSettings
from ctiserver.site.load import load_site

#: The shipped site closes at night; anyone who tries the demo then shall see it open.
_ALWAYS_OPEN = """schema: calendar/1
calendar: service_desk
weekly:
  mon-sun: ["00:00-24:00"]
"""
_PBX_READY_S = 15.0
#: How much of a prompt a caller listens to before pressing a key, and how long at most.
_LISTEN_S, _PATIENCE_S, _LOOK_EVERY_S = 1.0, 20.0, 0.05


@dataclass(frozen=True, slots=True)
class Centre:
    """Everything that runs."""

    app: App
    pbx: PrivatePbx
    programs: Programs
    phone: SipPhone  #: the agent's, registered
    password: str  #: of every account


@asynccontextmanager
async def centre(
    progress: Progress, *, language: str = "zh-CN", web_port: int = 0, logs: LogSettings | None = None
) -> AsyncIterator[Centre]:
    """A centre with one agent, whose phone is registered and logged in to the queues, and one technician.

    Raises UserFault where no Asterisk can be had or a port is in use. Nothing is left when the block ends.
    """
    folder = Path(tempfile.mkdtemp(prefix="ctiserver-demo-"))
    async with AsyncExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        shutil.copytree(shipped("config"), folder / "config")
        (folder / "config/calendars/service_desk.yaml").write_text(_ALWAYS_OPEN, encoding="utf-8")
        site = load_site(folder / "config")
        programs = await find_programs(progress)
        agi_port = free_port()
        pbx = await stack.enter_async_context(
            PrivatePbx.start(
                folder / "pbx", site=site, agi=f"127.0.0.1:{agi_port}", programs=programs, progress=progress
            )
        )
        settings = Settings(
            data_dir=folder / "data",
            config_dir=folder / "config",
            pbxs={
                "main": PbxSettings(
                    host=pbx.ami_host,
                    port=pbx.ami_port,
                    username=pbx.ami_username,
                    secret=SecretStr(pbx.ami_secret),
                    queue_log=pbx.queue_log_path,
                    cdr=pbx.epoch_cdr_path,
                    recordings_dir=pbx.recordings_dir,
                    browser_phones=BrowserPhoneSettings(
                        url=pbx.phones_url,
                        secrets={
                            phone.name: SecretStr(pbx.phone_secrets[phone.name])
                            for phone in site.phones
                            if phone.webrtc
                        },
                    ),
                )
            },
            agi=AgiSettings(port=agi_port),
            web=WebSettings(port=web_port),
            logs=logs or LogSettings(),
        )
        progress("starting ctiserver", 1.0)
        app = await stack.enter_async_context(running(settings))
        password = await people.hire(app, language)
        await people.introduce(app)
        await app.ready(_PBX_READY_S)
        progress("registering the agent's phone", 1.0)
        phone = await stack.enter_async_context(SipPhone.agent(programs, pbx, people.AGENT))
        await log_in(phone)
        yield Centre(app=app, pbx=pbx, programs=programs, phone=phone, password=password)


async def log_in(phone: SipPhone) -> None:
    """Log an agent in to the queues, as an agent does it: by dialling *11."""
    await phone.dial("*11")
    await phone.answered()
    await phone.ended(timeout_s=20.0)


@asynccontextmanager
async def call(here: Centre, caller: Caller) -> AsyncIterator[SipPhone]:
    """A call from outside, in the queue: the caller has listened to each prompt for a moment and pressed a key."""
    async with SipPhone.caller(here.programs, here.pbx, caller.number) as phone:
        await phone.dial(people.HOTLINE)
        await phone.answered()
        for key in caller.keys:
            await _hears_more(phone)
            await phone.press(key)
        yield phone


async def _hears_more(phone: SipPhone) -> None:
    """Wait until the caller has heard a moment of whatever is spoken now."""
    before_s = phone.heard_s()
    async with asyncio.timeout(_PATIENCE_S):
        while phone.heard_s() < before_s + _LISTEN_S:
            await asyncio.sleep(_LOOK_EVERY_S)
