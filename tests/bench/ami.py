"""A busy PBX's stream (58,846 events, 26 MB) to domain events, against panoramisk's Manager with a bare callback.

Every figure is events of the stream per CPU second, the median of the rounds; rounds alternate between the
competitors, so that a busy machine hurts all alike. "wanted" is the stream without the events that we don't consume:
the same names are parsed then on both sides.
"""

from __future__ import annotations

import asyncio
import gc
import lzma
import statistics
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

from panoramisk.ami_protocol import AMIProtocol
from panoramisk.manager import Manager

from ctiserver.model.ids import PbxName
from ctiserver.pbx.codec import AmiDecoder
from ctiserver.pbx.intake import Intake
from ctiserver.pbx.translate import WANTED

STREAM = Path(__file__).parent.parent / "protocol" / "recordings" / "stream-58k-events.ami.xz"
CHUNK = 65_536
ROUNDS = 7


def _chunks(data: bytes) -> list[bytes]:
    return [data[at : at + CHUNK] for at in range(0, len(data), CHUNK)]


def _codec(chunks: list[bytes]) -> int:
    decoder = AmiDecoder(WANTED)
    return sum(len(decoder.feed(chunk)) for chunk in chunks)


def _codec_all_names(chunks: list[bytes]) -> int:
    """Every event parsed into its headers, as panoramisk does."""
    decoder = AmiDecoder()
    return sum(len(dict(message.items())) > 0 for chunk in chunks for message in decoder.feed(chunk))


def _pipeline(chunks: list[bytes]) -> int:
    decoder, intake = AmiDecoder(WANTED), Intake(PbxName("lab"))
    return sum(len(intake.take(message)) for chunk in chunks for message in decoder.feed(chunk))


def _panoramisk(chunks: list[bytes]) -> int:
    heard = 0

    def bare(manager: Any, event: Any) -> None:
        nonlocal heard
        heard += 1

    async def feed() -> None:
        manager = Manager(loop=asyncio.get_running_loop())
        manager.register_event("*", bare)
        protocol = AMIProtocol()
        protocol.connection_made(None)
        protocol.factory = manager
        protocol.encoding = "utf8"
        for chunk in chunks:
            protocol.data_received(chunk)

    asyncio.run(feed())
    return heard


def _seconds(task: Callable[[list[bytes]], int], chunks: list[bytes]) -> tuple[float, int]:
    gc.collect()
    before = time.process_time()
    result = task(chunks)
    return time.process_time() - before, result


def run() -> dict[str, object]:
    """All figures."""
    data = lzma.decompress(STREAM.read_bytes())
    blocks = data.split(b"\r\n\r\n")
    names = tuple(b"Event: " + name + b"\r\n" for name in WANTED)
    wanted = b"\r\n\r\n".join(
        block
        for block in (block.lstrip(b"\r\n") for block in blocks)
        if block.startswith(names) and WANTED[block[7 : block.index(b"\r")]] in block
    )
    whole, part = _chunks(data), _chunks(wanted + b"\r\n\r\n")
    events = {"whole": data.count(b"Event: "), "wanted": wanted.count(b"Event: ")}
    tasks: dict[str, tuple[Callable[[list[bytes]], int], list[bytes], int]] = {
        "codec_wanted_names": (_codec, whole, events["whole"]),
        "codec_all_names": (_codec_all_names, whole, events["whole"]),
        "pipeline_to_domain_events": (_pipeline, whole, events["whole"]),
        "panoramisk_all_names": (_panoramisk, whole, events["whole"]),
        "pipeline_on_wanted_only": (_pipeline, part, events["wanted"]),
        "panoramisk_on_wanted_only": (_panoramisk, part, events["wanted"]),
    }
    rates: dict[str, list[float]] = {name: [] for name in tasks}
    results: dict[str, int] = {}
    for _ in range(ROUNDS):
        for name, (task, chunks, count) in tasks.items():
            seconds, results[name] = _seconds(task, chunks)
            rates[name].append(count / seconds)
    median = {name: statistics.median(values) for name, values in rates.items()}
    tracemalloc.start()
    _pipeline(whole)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return {
        "events": events,
        "rounds": ROUNDS,
        "events_per_cpu_second": {name: round(rate) for name, rate in median.items()},
        "spread": {name: [round(min(values)), round(max(values))] for name, values in rates.items()},
        "domain_events": results["pipeline_to_domain_events"],
        "times_panoramisk": {
            "whole_stream": round(median["pipeline_to_domain_events"] / median["panoramisk_all_names"], 2),
            "same_names": round(median["pipeline_on_wanted_only"] / median["panoramisk_on_wanted_only"], 2),
        },
        "pipeline_peak_memory_mb": round(peak / 2**20, 1),
    }
