"""A menu on a real Asterisk, by the flow over FastAGI and by the bare dialplan, in one run.

Both do the same: answer, a prompt of 200 ms that a key interrupts, one key, another prompt of 200 ms, hang up. SIPp calls
at rising rates, both sides by turns; a rate counts as carried where no call failed, nothing was retransmitted, and calls
took at most a tenth longer than at the lowest rate. SIPp, Asterisk and the server share the machine's cores, so the
highest rate is the machine's, and only the ratio of the two sides says something of us. CPU times are the kernel's, by
process. Two servers of ours are measured: ``fastagi`` is the AGI server, the flow engine and the log, with a store in
memory; ``whole_server`` is ``ctiserver serve``: AMI, call log, SQLite with every commit on disk, and every other feature.
"""

from __future__ import annotations

import asyncio
import csv
import multiprocessing
import os
import statistics
import struct
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from ctiserver import logs
from ctiserver.agi.server import AgiServer
from ctiserver.agi.session import Session
from ctiserver.clock import SystemClock
from ctiserver.ivr.speech.prompts import Shelf, Text
from ctiserver.lab.privatepbx.lifecycle import PrivatePbx, choose_ports, silent
from ctiserver.lab.privatepbx.ports import free_port
from ctiserver.lab.privatepbx.tree import Programs, find_programs
from ctiserver.settings import AgiSettings, LogSettings, PromptSettings
from ctiserver.sound import Sound, write_wav
from tests.bench._server import Server, cpu_s
from tests.support.flow_server import flow_server
from tests.support.rtp_caller import RtpCaller, key_stream

OURS, WHOLE, BARE, ROUND_TRIPS = "100", "101", "900", "901"
RATES = (50, 100, 150, 200, 250, 300, 350)
WHOLE_RATES = (10, 20, 40, 60, 80)
SECONDS = 2.0
_PROMPT_S = 0.2
_LONGER = 1.1
_KEYS = 50  #: calls whose key is timed, each side
_KEYS_AT_ONCE = 5
_TRIPS = 1000
_LOUD = 4000

FLOW = """\
schema: callflow/1
flow: menu
version: "1"
languages: [en]
start: ask
nodes:
  ask:
    kind: menu
    prompt: {en: Press one.}
    choices: {"1": bye}
    on: {exhausted: bye}
  bye: {kind: hangup, prompt: {en: Goodbye.}}
"""
BARE_DIALPLAN = """
[cti-inbound](+)
exten => %(bare)s,1,Answer()
 same => n,Read(KEY,%(ask)s,1,,1,5)
 same => n,GotoIf($["${KEY}" != "1"]?done)
 same => n,Playback(%(bye)s,noanswer)
 same => n(done),Hangup()
exten => %(whole_exten)s,1,Set(CTI_AGI=agi://%(whole)s)
 same => n,Set(CTI_DNIS=%(whole_exten)s)
 same => n,Goto(cti-call,flow,1)
exten => %(trips)s,1,Answer()
 same => n,AGI(agi://%(agi)s/trips)
 same => n,Playback(%(bye)s,noanswer)
 same => n,Hangup()
"""
SCENARIO = """\
<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="one key in a menu">
 <send retrans="500"><![CDATA[
INVITE sip:[service]@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: <sip:13800138000@[local_ip]:[local_port]>;tag=[pid]-[call_number]
To: <sip:[service]@[remote_ip]:[remote_port]>
Call-ID: [call_id]
CSeq: 1 INVITE
Contact: <sip:caller@[local_ip]:[local_port]>
Max-Forwards: 70
Content-Type: application/sdp
Content-Length: [len]

v=0
o=u 1 1 IN IP4 [local_ip]
s=-
c=IN IP4 [media_ip]
t=0 0
m=audio [auto_media_port] RTP/AVP 8 101
a=rtpmap:8 PCMA/8000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-15
]]></send>
 <recv response="100" optional="true"/>
 <recv response="183" optional="true"/>
 <recv response="200"/>
 <send><![CDATA[
ACK sip:[service]@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: <sip:13800138000@[local_ip]:[local_port]>;tag=[pid]-[call_number]
To: <sip:[service]@[remote_ip]:[remote_port]>[peer_tag_param]
Call-ID: [call_id]
CSeq: 1 ACK
Content-Length: 0

]]></send>
 <nop><action><exec play_pcap_audio="key.pcap"/></action></nop>
 <recv request="BYE" timeout="20000"/>
 <send><![CDATA[
SIP/2.0 200 OK
[last_Via:]
[last_From:]
[last_To:]
[last_Call-ID:]
[last_CSeq:]
Content-Length: 0

]]></send>
</scenario>
"""


def run() -> dict[str, object]:
    """Everything; ``CTISERVER_BENCH_ROUNDS`` says how often the rates rise (3 unless told, a minute each)."""
    with tempfile.TemporaryDirectory(prefix="ctiserver-bench-") as folder:
        return asyncio.run(_measured(Path(folder), int(os.environ.get("CTISERVER_BENCH_ROUNDS", "3"))))


async def _measured(folder: Path, rounds: int) -> dict[str, object]:
    programs = await find_programs(silent)
    (folder / "flows").mkdir()
    (folder / "flows/menu.flow.yaml").write_text(FLOW, encoding="utf-8")
    (folder / "menu.xml").write_text(SCENARIO, encoding="utf-8")
    _write_pcap(folder / "key.pcap", key_stream(1, voice=5, ssrc=1))
    ask, bye = _prompts(folder / "prompts")
    agi, whole_agi = free_port(), free_port()
    trips = AgiServer(AgiSettings(port=0), {"trips": (timer := _RoundTrips()).serve}, SystemClock())
    ports = choose_ports()
    wide = replace(ports, rtp_first=20_000, rtp_last=29_999)  # four a call
    async with (
        asyncio.TaskGroup() as group,
        PrivatePbx.start(folder / "pbx", agi=f"127.0.0.1:{agi}", ports=wide, programs=programs) as pbx,
    ):
        trips_run = group.create_task(trips.run())
        with (folder / "pbx/etc/extensions.conf").open("a", encoding="utf-8") as dialplan:
            names = {"bare": BARE, "trips": ROUND_TRIPS, "ask": ask, "bye": bye, "whole_exten": WHOLE}
            addresses = {"agi": f"127.0.0.1:{await trips.listening()}", "whole": f"127.0.0.1:{whole_agi}"}
            dialplan.write(BARE_DIALPLAN % {**names, **addresses})
        await pbx.cli("dialplan reload")
        server = _Server(folder, agi)
        try:
            callers = [RtpCaller(pbx.sip_port, _LOUD) for _ in range(_KEYS_AT_ONCE)]
            await callers[0].call(ROUND_TRIPS, 1)
            key_to_prompt = {
                "fastagi": await _keys(callers, OURS),
                "bare_dialplan": await _keys(callers, BARE),
                "aim_p99_ms": 200,
            }
            rig = _Rig(folder, programs, pbx, server)
            found = [await rig.rising({"fastagi": OURS, "bare_dialplan": BARE}, RATES) for _ in range(rounds)]
        finally:
            server.stop()
            trips_run.cancel()
        whole = await _whole(folder, programs, pbx, whole_agi)
    return {
        "agi_round_trip_us": {
            "p50": round(1e6 * statistics.median(timer.took)),
            "p99": round(1e6 * sorted(timer.took)[int(len(timer.took) * 0.99)]),
            "n": len(timer.took),
        },
        "key_to_next_prompt": key_to_prompt,
        "rounds": [_summary(one) for one in found],
        "medians": _medians([_summary(one) for one in found]),
        "aims": {"ratio": 0.9, "our_cpu_ms_per_call": 1.3},
        "whole_server": whole,
        "steps": found,
    }


Steps = dict[str, list[dict[str, float]]]


def _summary(steps: Steps) -> dict[str, float | None]:
    """What one round says: the rates carried, and CPU a call, at the best rate that both sides carried."""
    carried = {name: max((one["rate"] for one in some if one["carried"]), default=0) for name, some in steps.items()}
    both = min(carried["fastagi"], carried["bare_dialplan"])
    at = {name: next((one for one in some if one["rate"] == both), None) for name, some in steps.items()}
    ours, bare = at["fastagi"], at["bare_dialplan"]
    return {
        "fastagi_calls_per_s": carried["fastagi"],
        "bare_dialplan_calls_per_s": carried["bare_dialplan"],
        "ratio": round(carried["fastagi"] / carried["bare_dialplan"], 2) if carried["bare_dialplan"] else None,
        "our_cpu_ms_per_call": ours["server_cpu_ms_per_call"] if ours else None,
        "asterisk_cpu_ms_per_call": ours["asterisk_cpu_ms_per_call"] if ours else None,
        "bare_asterisk_cpu_ms_per_call": bare["asterisk_cpu_ms_per_call"] if bare else None,
    }


def _medians(rounds: list[dict[str, float | None]]) -> dict[str, float | None]:
    def median(name: str) -> float | None:
        known = [value for one in rounds if (value := one[name]) is not None]
        return round(statistics.median(known), 2) if known else None

    return {name: median(name) for name in rounds[0]}


async def _whole(folder: Path, programs: Programs, pbx: PrivatePbx, agi: int) -> dict[str, object]:
    """The same call through ``ctiserver serve``, and what calls that it only follows by AMI cost it."""
    server = Server(folder / "site", pbx, agi, numbers={WHOLE: "menu"})
    (folder / "site/flows/menu.flow.yaml").write_text(FLOW, encoding="utf-8")
    _prompts(server.prompts)
    server.start()
    try:
        idle = await server.quiet()
        rig = _Rig(folder, programs, pbx, server)
        steps = await rig.rising({"whole_server": WHOLE}, WHOLE_RATES)
        followed = await rig._at(WHOLE_RATES[1], BARE)
    finally:
        server.stop()
    best = [one for one in steps["whole_server"] if one["carried"]][-1:]
    return {
        "calls_per_s_carried": best[0]["rate"] if best else 0,
        "cpu_ms_per_call": best[0]["server_cpu_ms_per_call"] if best else None,
        "cpu_ms_per_call_followed_only": followed["server_cpu_ms_per_call"],
        "idle_cpu_share": round(idle, 3),
        "steps": steps["whole_server"],
    }


class _RoundTrips:
    """An AGI script that asks a channel for a variable, again and again."""

    def __init__(self) -> None:
        self.took: list[float] = []

    async def serve(self, session: Session) -> None:
        await session.hold(30.0)
        for _ in range(_TRIPS):
            began = time.perf_counter()
            await session.get_variable("CHANNEL(state)")
            self.took.append(time.perf_counter() - began)
        await session.release()


class _Server:
    """The FastAGI server with the flow, in a process of its own, so that its CPU time is its own."""

    def __init__(self, folder: Path, port: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._ours, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(folder, port, theirs))
        self._process.start()
        self._ours.recv()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def stop(self) -> None:
        self._ours.send("stop")
        self._process.join()


def _serve(folder: Path, port: int, pipe: Connection) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stderr.fileno())
    logs.configure(LogSettings())  # as ``ctiserver serve`` does: what is logged is part of what a call costs

    async def served() -> None:
        async with flow_server(folder, flow="menu", flows=folder / "flows", port=port):
            pipe.send("listening")
            await asyncio.get_running_loop().run_in_executor(None, pipe.recv)

    asyncio.run(served())


def _prompts(folder: Path) -> tuple[str, str]:
    """Both prompts as tones, the second loud, so that its first packet is known by its sound."""
    shelf = Shelf(PromptSettings(), folder)
    found = []
    for text, level in (("Press one.", 500), ("Goodbye.", 16_000)):
        tone = Sound(8000, np.array([level, level, -level, -level] * int(2000 * _PROMPT_S), np.int16))
        path = folder / "en" / shelf._key(Text("en", text), "espeak-ng")
        write_wav(path.with_suffix(".wav"), tone)
        found.append(str(path))
    return found[0], found[1]


def _write_pcap(path: Path, packets: list[tuple[float, bytes]]) -> None:
    """A capture as SIPp plays it: Ethernet, IPv4, UDP; ports are SIPp's own to fill in."""
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for at, payload in packets:
            udp = struct.pack("!HHHH", 4000, 4000, 8 + len(payload), 0) + payload
            ip = struct.pack("!BBHHHBBHII", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, 0x7F000001, 0x7F000001)
            frame = bytes(12) + b"\x08\x00" + ip + udp
            file.write(struct.pack("<IIII", int(at), round(at % 1 * 1e6), len(frame), len(frame)) + frame)


async def _keys(callers: list[RtpCaller], dialled: str) -> dict[str, float]:
    """Calls by packets: from the key's first packet, and from its last, to the next prompt's first."""
    pressed: list[float] = []
    released: list[float] = []

    async def line(caller: RtpCaller) -> None:
        for _ in range(_KEYS // len(callers)):
            timed = await caller.call(dialled, 1)
            pressed.append(1000 * (timed.loud_at - timed.pressed_at))
            released.append(1000 * (timed.loud_at - timed.released_at))

    async with asyncio.TaskGroup() as group:
        for caller in callers:
            group.create_task(line(caller))
    pressed.sort()
    released.sort()
    return {
        "calls": len(pressed),
        "from_press_p50_ms": round(pressed[len(pressed) // 2], 1),
        "from_press_p99_ms": round(pressed[int(len(pressed) * 0.99)], 1),
        "key_held_ms": 60,
        "from_release_p50_ms": round(released[len(released) // 2], 1),
    }


@dataclass(frozen=True, slots=True)
class _Rig:
    """What calls go through."""

    folder: Path
    programs: Programs
    pbx: PrivatePbx
    server: _Server | Server

    async def rising(self, sides: Mapping[str, str], rates: Sequence[int]) -> Steps:
        """The sides (name → number dialled) by turns, each until a rate is not carried twice."""
        steps: Steps = {name: [] for name in sides}
        for rate in rates:
            for name, dialled in sides.items():
                before = steps[name]
                if before and not before[-1]["carried"]:
                    continue
                for _ in range(2):  # what else the machine did may have spoilt it
                    step = await self._at(rate, dialled)
                    slow = bool(before) and step["call_ms"] > _LONGER * before[0]["call_ms"]
                    step["carried"] = not (step["failed"] or step["retransmissions"] or slow)
                    if step["carried"]:
                        break
                before.append(step)
                print(f"  {name}: {step}", file=sys.stderr, flush=True)
        return steps

    async def _at(self, rate: int, dialled: str) -> dict[str, float]:
        """One rate for a few seconds."""
        stat = self.folder / "stat.csv"
        stat.unlink(missing_ok=True)
        calls = round(rate * SECONDS)
        before = cpu_s(self.server.pid), cpu_s(self.pbx.pid)
        sipp = await asyncio.create_subprocess_exec(
            *self.programs.command("sipp"),
            *("-sf", str(self.folder / "menu.xml"), "-s", dialled, "-i", "127.0.0.1", "-mi", "127.0.0.1"),
            *("-p", str(free_port()), "-mp", "31000", "-r", str(rate), "-m", str(calls), "-l", str(calls), "-nostdin"),
            *("-trace_stat", "-stf", str(stat), "-fd", "1", "-timeout", "30s", f"127.0.0.1:{self.pbx.sip_port}"),
            cwd=self.folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        await sipp.wait()
        after = cpu_s(self.server.pid), cpu_s(self.pbx.pid)
        with stat.open(encoding="utf-8") as file:
            last = list(csv.DictReader(file, delimiter=";"))[-1]
        return {
            "rate": rate,
            "calls": int(last["SuccessfulCall(C)"]),
            "failed": int(last["FailedCall(C)"]),
            "retransmissions": int(last["Retransmissions(C)"]),
            "call_ms": _milliseconds(last["CallLength(C)"]),
            "server_cpu_ms_per_call": round(1000 * (after[0] - before[0]) / calls, 2),
            "asterisk_cpu_ms_per_call": round(1000 * (after[1] - before[1]) / calls, 2),
        }


def _milliseconds(text: str) -> float:
    """SIPp's ``00:00:00:612000`` (hours, minutes, seconds, microseconds)."""
    hours, minutes, seconds, micro = (int(part) for part in text.split(":"))
    return round(((hours * 60 + minutes) * 60 + seconds) * 1000 + micro / 1000, 1)
