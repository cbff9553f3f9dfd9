"""A site that calls its customers: configuration, an Asterisk of its own, and the customer's telephone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from ctiserver.lab.privatepbx.lifecycle import PrivatePbx
from ctiserver.lab.privatepbx.phone import SipPhone
from ctiserver.lab.privatepbx.tree import Programs
from ctiserver.settings import AgiSettings, PbxSettings, Settings, WebSettings, WorkflowSettings
from ctiserver.site.load import load_site
from tests.support.eventually import eventually

CUSTOMER = "+8613800000001"

_DIALLING = """\
outbound:
  allow: ["+86138"]
  refuse: ["+861380000009"]
automatic: {enabled: true, presented: "4008001234", ring: 55s, calls_per_s: 10}
"""

#: A repair whose waits are over in a second; the customer is called afterwards.
_REPAIR = """\
schema: process/1
process: repair
version: 1
for: {type: repair}
start: visit
steps:
  visit:
    order: dispatch
    to: {role: technician}
    complete_within: 1 day
    on: {done: follow_up, late: {escalate: supervisor, stay: true}}
  follow_up:
    order: follow_up
    after: 1 second
    by: [{call: satisfaction}, {person: owner}]
    within: {calendar: always}
    attempts: 2
    retry_after: 1 second
    on:
      satisfied: close_resolved
      dissatisfied: {go: visit, raise_priority: 1, notify: supervisor, max: 2, then: supervisor}
      unreachable: close_unconfirmed
  close_resolved: {close: resolved}
  close_unconfirmed: {close: unconfirmed}
"""


@dataclass(frozen=True)
class CustomerSite:
    """Its folder, and the ports that everything agrees on."""

    folder: Path
    trunk_port: int
    agi_port: int

    @classmethod
    def write(cls, folder: Path, *, trunk_port: int, agi_port: int) -> CustomerSite:
        (folder / "config/processes").mkdir(parents=True)
        for name, text in (
            ("dialling.yaml", _DIALLING),
            ("trunks.yaml", f"trunks: [{{name: trunk, host: 127.0.0.1, port: {trunk_port}}}]\n"),
            ("processes/repair.yaml", _REPAIR),
        ):
            (folder / "config" / name).write_text(text, encoding="utf-8")
        return cls(folder, trunk_port, agi_port)

    @asynccontextmanager
    async def pbx(self, programs: Programs) -> AsyncIterator[PrivatePbx]:
        """Its Asterisk, whose trunk leads to the customer's telephone."""
        site = load_site(self.folder / "config")
        async with PrivatePbx.start(
            self.folder / "pbx", site=site, agi=f"127.0.0.1:{self.agi_port}", programs=programs
        ) as pbx:
            yield pbx

    @asynccontextmanager
    async def phone(self, programs: Programs, pbx: PrivatePbx) -> AsyncIterator[SipPhone]:
        """The customer's telephone."""
        async with SipPhone.caller(programs, pbx, CUSTOMER, port=self.trunk_port) as phone:
            yield phone

    def settings(self, ami_port: int, ami_secret: str) -> Settings:
        """What a server on this site is started with."""
        return Settings(
            data_dir=self.folder / "data",
            config_dir=self.folder / "config",
            pbxs={
                "main": PbxSettings(port=ami_port, secret=SecretStr(ami_secret)),
            },
            agi=AgiSettings(port=self.agi_port, command_margin_s=10),
            web=WebSettings(port=0),
            workflow=WorkflowSettings(polling_s=0.05),
        )


async def answers(phone: SipPhone, *keys: str) -> None:
    """The customer answers, and presses each key once something new is heard, as people do."""
    heard_s = phone.heard_s()

    async def hears() -> bool:
        return phone.heard_s() > heard_s + 0.5

    await phone.answer()
    for key in keys:
        await eventually(hears, within_s=15.0)
        await phone.press(key)
        heard_s = phone.heard_s()
