"""What a caller's telephone sends: voice every 20 ms, and keys as RFC 4733 events in the same stream.

SIPp plays it from a capture file. It is one stream with one clock: Asterisk takes a key whose timestamp it has seen
before for the same key.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

_PACKET_S, _SAMPLES = 0.02, 160
_PCMA, _EVENT = 8, 101
_SILENCE = b"\xd5" * _SAMPLES
_SSRC = 0xC71
#: A key is held for three packets, and its end is said three times, since a packet may be lost.
_HELD = _ENDS = 3


def write_keys(path: Path, keys: Sequence[tuple[float, str]]) -> None:
    """Write a capture in which each key follows so many seconds of voice after the one before."""
    packets: list[tuple[float, bytes]] = []
    stamp = sequence = 0

    def send(kind: int, at_stamp: int, payload: bytes) -> None:
        nonlocal sequence
        header = struct.pack("!BBHII", 0x80, kind, sequence & 0xFFFF, at_stamp, _SSRC)
        packets.append((stamp / 8000, header + payload))
        sequence += 1

    for wait_s, key in keys:
        for _ in range(round(wait_s / _PACKET_S)):
            send(_PCMA, stamp, _SILENCE)
            stamp += _SAMPLES
        code, began = "0123456789*#ABCD".index(key), stamp
        for held in range(1, _HELD + 1):
            send(_EVENT, began, struct.pack("!BBH", code, 10, held * _SAMPLES))
            stamp += _SAMPLES
        for _ in range(_ENDS):
            send(_EVENT, began, struct.pack("!BBH", code, 0x80 | 10, (_HELD + 1) * _SAMPLES))
        stamp += _SAMPLES
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for at, payload in packets:
            udp = struct.pack("!HHHH", 4000, 4000, 8 + len(payload), 0) + payload
            ip = struct.pack("!BBHHHBBHII", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, 0x7F000001, 0x7F000001)
            frame = bytes(12) + b"\x08\x00" + ip + udp
            file.write(struct.pack("<IIII", int(at), round(at % 1 * 1e6), len(frame), len(frame)) + frame)
