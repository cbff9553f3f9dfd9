"""Callers at the level of packets who mean harm: whatever bytes in the user parts, names and headers of an INVITE."""

from __future__ import annotations

import asyncio
import re
import secrets
from dataclasses import dataclass, field
from urllib.parse import quote

_OFFER = "v=0\r\no=c 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\n"


@dataclass(frozen=True)
class Hostile:
    """One INVITE. The user parts are escaped by ``%`` as they are sent, unless ``raw``."""

    dialled: str = "4000"
    number: str = "13800138000"
    name: str = ""
    headers: tuple[str, ...] = ()
    raw: bool = False


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.arrived: asyncio.Queue[bytes] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.arrived.put_nowait(data)


@dataclass
class HostileCaller:
    """Sends INVITEs to a PBX on 127.0.0.1 as its trunk does."""

    sip_port: int
    answer_within_s: float = 5.0
    answers: list[int] = field(default_factory=list)

    async def call(self, hostile: Hostile) -> int:
        """The final status of the INVITE; 0 where there is none in time. Anyone who is answered hangs up."""
        loop = asyncio.get_running_loop()
        end, sip = await loop.create_datagram_endpoint(
            _Datagrams, local_addr=("127.0.0.1", 0), remote_addr=("127.0.0.1", self.sip_port)
        )
        try:
            me, call_id = end.get_extra_info("sockname")[1], secrets.token_hex(8)
            end.sendto(self._request("INVITE", hostile, me, call_id))
            status, to = 0, ""
            try:
                async with asyncio.timeout(self.answer_within_s):
                    while status < 200:
                        answer = (await sip.arrived.get()).decode("utf-8", "replace")
                        found = re.match(r"SIP/2\.0 (\d{3})", answer)
                        status = int(found[1]) if found else status
                        to = next((line for line in answer.split("\r\n") if line.lower().startswith("to:")), to)
            except TimeoutError:
                status = 0
            if status:
                end.sendto(self._request("ACK", hostile, me, call_id, to=to))
            if 200 <= status < 300:
                end.sendto(self._request("BYE", hostile, me, call_id, to=to, number=2))
            self.answers.append(status)
            return status
        finally:
            end.close()

    def _request(self, method: str, hostile: Hostile, me: int, call_id: str, *, to: str = "", number: int = 1) -> bytes:
        def user(text: str) -> str:
            return text if hostile.raw else quote(text, safe="", errors="surrogateescape")

        body = _OFFER if method == "INVITE" else ""
        head = [
            f"{method} sip:{user(hostile.dialled)}@127.0.0.1:{self.sip_port} SIP/2.0",
            f"Via: SIP/2.0/UDP 127.0.0.1:{me};branch=z9hG4bK{call_id}{number}{method[0]}",
            f"From: {hostile.name}<sip:{user(hostile.number)}@127.0.0.1:{me}>;tag={call_id[:6]}",
            to or f"To: <sip:{user(hostile.dialled)}@127.0.0.1:{self.sip_port}>",
            f"Call-ID: {call_id}",
            f"CSeq: {number} {method}",
            f"Contact: <sip:caller@127.0.0.1:{me}>",
            "Max-Forwards: 70",
            *hostile.headers,
            *(["Content-Type: application/sdp"] if body else []),
            f"Content-Length: {len(body)}",
        ]
        return ("\r\n".join(head) + "\r\n\r\n" + body).encode("utf-8", "surrogateescape")
