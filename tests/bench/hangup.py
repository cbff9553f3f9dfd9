"""From a caller's hanging up to the end of their session, on a real Asterisk, at every node kind that holds a session.

Whatever a node waits for besides the caller (a lookup, a record being opened, an event being told) never answers here:
what ends the session is the hang-up alone. Measured from the telephone's being told to hang up, SIP included, to the
AGI handler's return; on_hangup has run by then.
"""

from __future__ import annotations

import asyncio
import logging
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import structlog

from ctiserver.ivr.language.library import load_world
from ctiserver.ivr.language.requests import Find, Listen, OpenRecord, Request, Speak, Tell
from ctiserver.ivr.runtime.ports import MemoryPorts
from ctiserver.lab.privatepbx.lifecycle import PrivatePbx, silent
from ctiserver.lab.privatepbx.phone import SipPhone
from ctiserver.lab.privatepbx.ports import free_port
from ctiserver.lab.privatepbx.tree import find_programs
from ctiserver.model.expression.expression import Value
from ctiserver.model.ids import CallId
from ctiserver.resources import shipped
from ctiserver.settings import load_settings
from ctiserver.site.files import NumberConfig
from ctiserver.site.load import load_site
from tests.support.flow_server import flow_server

_HEAD = 'schema: callflow/1\nversion: "1"\nlanguages: [en]\non_hangup: left\non_error: bye\nstart: it\n'
_ENDS = "  left: {kind: event, event: call.left, next: bye}\n  bye: {kind: hangup, prompt: {en: Goodbye.}}\n"
_FIRST = "  it: {kind: play, prompt: {en: Hello.}, next: then}\n"  # a call is answered before it looks something up
_ASK = "prompt: {en: Please press a key.}, on: {exhausted: bye"
#: kind → (its nodes, the request in which the caller hangs up)
KINDS: dict[str, tuple[str, type[Request]]] = {
    "play": ("  it: {kind: play, prompt: {en: A long prompt.}, next: bye}\n", Speak),
    "say": ('  it: {kind: say, value: "=call.dnis", as: digits, next: bye}\n', Speak),
    "menu, in its prompt": (f'  it: {{kind: menu, choices: {{"1": bye}}, {_ASK}}}}}\n', Speak),
    "menu, listening": (f'  it: {{kind: menu, choices: {{"1": bye}}, {_ASK}}}}}\n', Listen),
    "input, listening": (f"  it: {{kind: input, {_ASK}, ok: bye}}}}\n", Listen),
    "confirm, listening": (f"  it: {{kind: confirm, {_ASK}, yes: bye, no: bye}}}}\n", Listen),
    "lookup": (
        _FIRST + '  then: {kind: lookup, find: device, by: {serial: "1"}, within: 5s, '
        "on: {found: bye, several: bye, none: bye, error: bye}}\n",
        Find,
    ),
    "service_record": (
        _FIRST + "  then: {kind: service_record, type: repair, on: {error: bye}, next: bye}\n",
        OpenRecord,
    ),
    "event": (_FIRST + "  then: {kind: event, event: slow.one, next: bye}\n", Tell),
    "voicemail, in its prompt": (
        "  it: {kind: voicemail, prompt: {en: Leave a message.}, next: bye, on: {error: bye}}\n",
        Speak,
    ),
    "hangup, in its prompt": ("  it: {kind: hangup, prompt: {en: Goodbye to you.}}\n", Speak),
}
AIM_MS = 100
#: How long into the request the caller hangs up.
_WITHIN_S = 0.1


class NeverAnswering(MemoryPorts):
    """Ports that keep a call waiting until somebody gives it up."""

    async def find(
        self, what: Literal["contact", "device", "record"], by: Mapping[str, Value]
    ) -> Sequence[Mapping[str, Value]]:
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

    async def open_record(self, call_id: CallId, kind: str, fields: Mapping[str, Value]) -> Mapping[str, Value]:
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

    async def tell(self, call_id: CallId, event: str, data: Mapping[str, Value]) -> None:
        if event == "slow.one":
            await asyncio.get_running_loop().create_future()
        await super().tell(call_id, event, data)


def run() -> dict[str, Any]:
    """``CTISERVER_BENCH_CALLS`` says how many calls hang up at each kind (5 unless told)."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with tempfile.TemporaryDirectory(prefix="ctiserver-bench-") as folder:
        return asyncio.run(_run(Path(folder), int(os.environ.get("CTISERVER_BENCH_CALLS", "5"))))


async def _run(folder: Path, calls: int) -> dict[str, Any]:
    programs, port = await find_programs(silent), free_port()
    (folder / "flows").mkdir()
    numbers: dict[str, NumberConfig] = {}
    for number, (nodes, _) in enumerate(KINDS.values()):
        text = f"flow: kind{number}\n{_HEAD}nodes:\n{nodes}{_ENDS}"
        (folder / f"flows/kind{number}.flow.yaml").write_text(text, encoding="utf-8")
        numbers[f"5{number:02}"] = NumberConfig(flow=f"kind{number}", calendar="always")
    settings = load_settings(shipped("config", "ctiserver.yaml"), {})
    site = replace(load_site(settings.config_dir), numbers=numbers)
    took_ms: dict[str, list[float]] = {}
    async with (
        PrivatePbx.start(folder / "pbx", agi=f"127.0.0.1:{port}", programs=programs) as pbx,
        flow_server(
            folder, flow="kind0", flows=folder / "flows", port=port, ports=NeverAnswering(), tone_s=1.0
        ) as server,
        SipPhone.caller(programs, pbx, "13800138000") as phone,
    ):
        service = server.service
        service.configure(site, load_world(site, settings))
        for number, (kind, (_, request)) in enumerate(KINDS.items()):
            took_ms[kind] = []
            for _ in range(calls):
                at, sessions = len(service.asked), len(service.ended_at)
                await phone.dial(f"5{number:02}")
                await service.until(lambda _, asked, request=request: isinstance(asked, request), after=at)  # type: ignore[misc]
                await asyncio.sleep(_WITHIN_S)
                began = time.perf_counter()
                await phone.hang_up()
                took_ms[kind].append(1000 * (await service.until_ended(sessions + 1) - began))
        left = [event for event, _ in server.ports.events]
        failed = server.server.counts.failed
    together = [one for some in took_ms.values() for one in some]
    return {
        "calls": len(together),
        "hang_up_to_session_end": {**_percentiles(together), "aim_ms": AIM_MS},
        "by_kind": {kind: _percentiles(some) for kind, some in took_ms.items()},
        "on_hangup_ran": len(left),
        "sessions_failed": failed,
    }


def _percentiles(values_ms: list[float]) -> dict[str, float]:
    ordered = sorted(values_ms)
    return {
        "p50_ms": round(ordered[len(ordered) // 2], 1),
        "p99_ms": round(ordered[int(len(ordered) * 0.99)], 1),
        "worst_ms": round(ordered[-1], 1),
    }
