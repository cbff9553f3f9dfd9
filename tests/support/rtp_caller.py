"""A caller at the level of packets: SIP over UDP with one codec, voice every 20 ms, one key by RFC 4733.

It notes when which packets came, to the millisecond, which a telephone does not; for benchmarks.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import struct
import time
from dataclasses import dataclass, field

PACKET_S = 0.02
_SAMPLES = 160
_PCMA, _EVENT = 8, 101
_SILENCE = b"\xd5" * _SAMPLES
#: A key is held this many packets before it is let go.
_HELD = 3
END_OF_KEY = 3  #: RFC 4733 sends the end of a key three times, since a packet may be lost


def _linear(code: int) -> int:
    """A-law, ITU-T G.711."""
    code ^= 0x55
    exponent, mantissa = (code >> 4) & 7, code & 15
    value = (mantissa << 4) + 8 if exponent == 0 else ((mantissa << 4) + 0x108) << (exponent - 1)
    return value if code & 0x80 else -value


_LOUDNESS = [abs(_linear(code)) for code in range(256)]


def event(key: int, held: int, *, end: bool) -> bytes:
    """The payload of a key's packet; ``held`` in samples."""
    return struct.pack("!BBH", key, (0x80 if end else 0) | 10, held)


def rtp(kind: int, number: int, stamp: int, ssrc: int, payload: bytes, *, marker: bool = False) -> bytes:
    """One RTP packet."""
    return struct.pack("!BBHII", 0x80, kind | (0x80 if marker else 0), number & 0xFFFF, stamp, ssrc) + payload


def key_stream(key: int, *, voice: int, ssrc: int) -> list[tuple[float, bytes]]:
    """Packets with their times in seconds: ``voice`` packets of silence, then one key, held for 60 ms."""
    sent = [(n * PACKET_S, rtp(_PCMA, n, n * _SAMPLES, ssrc, _SILENCE, marker=n == 0)) for n in range(voice)]
    stamp, at = voice * _SAMPLES, voice * PACKET_S
    for n in range(_HELD):
        payload = event(key, (n + 1) * _SAMPLES, end=False)
        sent.append((at + n * PACKET_S, rtp(_EVENT, voice + n, stamp, ssrc, payload, marker=n == 0)))
    for n in range(END_OF_KEY):
        payload = event(key, (_HELD + 1) * _SAMPLES, end=True)
        sent.append((at + _HELD * PACKET_S, rtp(_EVENT, voice + _HELD + n, stamp, ssrc, payload)))
    return sent


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.arrived: asyncio.Queue[bytes] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.arrived.put_nowait(data)


class _Ears(asyncio.DatagramProtocol):
    """Notes when the first packet came, and the first loud one."""

    def __init__(self, loud: int) -> None:
        self._loud = loud
        self.first_at = 0.0
        self.loud_at = 0.0
        self.first = asyncio.Event()
        self.loud = asyncio.Event()

    def datagram_received(self, data: bytes, addr: object) -> None:
        now = time.perf_counter()
        if data[1] & 0x7F != _PCMA:
            return
        if not self.first_at:
            self.first_at = now
            self.first.set()
        if not self.loud_at and max(_LOUDNESS[code] for code in data[12:]) >= self._loud:
            self.loud_at = now
            self.loud.set()


@dataclass(slots=True)
class Timed:
    """What one call saw, by ``time.perf_counter``."""

    pressed_at: float = 0.0
    released_at: float = 0.0
    loud_at: float = 0.0


@dataclass
class RtpCaller:
    """Calls a PBX on 127.0.0.1 as its trunk does."""

    sip_port: int
    loud: int  #: what counts as loud, of 32767
    number: str = "13800138000"
    _tag: str = field(default_factory=lambda: secrets.token_hex(4))

    async def call(self, dialled: str, key: int) -> Timed:
        """Call, hear the first packet, press ``key`` 60 ms later, hear the first loud packet, and wait for the BYE.

        Raises TimeoutError where one of that does not happen within ten seconds.
        """
        loop = asyncio.get_running_loop()
        sip_end, sip = await loop.create_datagram_endpoint(
            _Datagrams, local_addr=("127.0.0.1", 0), remote_addr=("127.0.0.1", self.sip_port)
        )
        rtp_end, ears = await loop.create_datagram_endpoint(lambda: _Ears(self.loud), local_addr=("127.0.0.1", 0))
        try:
            async with asyncio.timeout(10.0):
                me, media = sip_end.get_extra_info("sockname")[1], rtp_end.get_extra_info("sockname")[1]
                call_id = secrets.token_hex(8)
                invite = self._request("INVITE", dialled, me, call_id, body=self._offer(media))
                sip_end.sendto(invite.encode())
                answer = ""
                while not answer.startswith("SIP/2.0 200"):
                    answer = (await sip.arrived.get()).decode()
                    if re.match(r"SIP/2\.0 [3-6]", answer):
                        raise TimeoutError(answer.partition("\r\n")[0])
                found = re.search(r";tag=(\S+)", re.search(r"(?m)^To:.*$", answer).group())  # type: ignore[union-attr]
                assert found is not None
                sip_end.sendto(self._request("ACK", dialled, me, call_id, to_tag=found[1]).encode())
                theirs = re.search(r"m=audio (\d+)", answer)
                assert theirs is not None
                timed = Timed()
                speaking = asyncio.create_task(self._speak(rtp_end, ("127.0.0.1", int(theirs[1])), ears, key, timed))
                try:
                    await ears.loud.wait()
                    timed.loud_at = ears.loud_at
                    while not (request := (await sip.arrived.get()).decode()).startswith("BYE"):
                        pass
                finally:
                    speaking.cancel()
                kept = [line for line in request.split("\r\n") if re.match(r"(?i)(via|from|to|call-id|cseq):", line)]
                sip_end.sendto(("\r\n".join(["SIP/2.0 200 OK", *kept, "Content-Length: 0"]) + "\r\n\r\n").encode())
                return timed
        finally:
            sip_end.close()
            rtp_end.close()

    async def _speak(
        self, end: asyncio.DatagramTransport, peer: tuple[str, int], ears: _Ears, key: int, timed: Timed
    ) -> None:
        ssrc, number, began = secrets.randbits(32), 0, time.perf_counter()

        async def pace() -> None:
            await asyncio.sleep(max(0.0, began + number * PACKET_S - time.perf_counter()))

        pause = 3
        while pause:
            end.sendto(rtp(_PCMA, number, number * _SAMPLES, ssrc, _SILENCE, marker=number == 0), peer)
            number += 1
            pause -= ears.first.is_set()
            await pace()
        stamp = number * _SAMPLES
        timed.pressed_at = time.perf_counter()
        for held in range(1, _HELD + 1):
            payload = event(key, held * _SAMPLES, end=False)
            end.sendto(rtp(_EVENT, number, stamp, ssrc, payload, marker=held == 1), peer)
            number += 1
            await pace()
        timed.released_at = time.perf_counter()
        for _ in range(END_OF_KEY):
            payload = event(key, (_HELD + 1) * _SAMPLES, end=True)
            end.sendto(rtp(_EVENT, number, stamp, ssrc, payload), peer)
            number += 1
        while True:
            await pace()
            end.sendto(rtp(_PCMA, number, number * _SAMPLES, ssrc, _SILENCE), peer)
            number += 1

    def _request(self, method: str, dialled: str, me: int, call_id: str, *, to_tag: str = "", body: str = "") -> str:
        branch = f"z9hG4bK{secrets.token_hex(8)}"
        head = [
            f"{method} sip:{dialled}@127.0.0.1:{self.sip_port} SIP/2.0",
            f"Via: SIP/2.0/UDP 127.0.0.1:{me};branch={branch}",
            f"From: <sip:{self.number}@127.0.0.1:{me}>;tag={self._tag}{call_id[:4]}",
            f"To: <sip:{dialled}@127.0.0.1:{self.sip_port}>" + (f";tag={to_tag}" if to_tag else ""),
            f"Call-ID: {call_id}",
            f"CSeq: 1 {method}",
            f"Contact: <sip:{self.number}@127.0.0.1:{me}>",
            "Max-Forwards: 70",
            *(["Content-Type: application/sdp"] if body else []),
            f"Content-Length: {len(body)}",
        ]
        return "\r\n".join(head) + "\r\n\r\n" + body

    @staticmethod
    def _offer(port: int) -> str:
        lines = [
            "v=0",
            "o=caller 1 1 IN IP4 127.0.0.1",
            "s=-",
            "c=IN IP4 127.0.0.1",
            "t=0 0",
            f"m=audio {port} RTP/AVP {_PCMA} {_EVENT}",
            f"a=rtpmap:{_PCMA} PCMA/8000",
            f"a=rtpmap:{_EVENT} telephone-event/8000",
            f"a=fmtp:{_EVENT} 0-15",
        ]
        return "\r\n".join(lines) + "\r\n"
