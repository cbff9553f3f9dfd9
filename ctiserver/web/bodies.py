"""What a request's body may be, decided from its header alone: before one byte of it is read, on every address.

A compressed body of 194 kB unpacks to 200 MB, which kept the event loop, and with it every caller, for 4.5 s. So
nothing is ever unpacked: aiohttp is told not to, and who sends such a body is answered 415.
"""

from __future__ import annotations

from aiohttp import web

from ctiserver.web.problems import TooLarge, UnknownEncoding

#: A request's JSON: notes are long.
BODY_MAX_BYTES = 256 * 1024
#: The same where nobody has logged in yet: a name and a password.
PUBLIC_BODY_MAX_BYTES = 4 * 1024
#: Of a Content-Type: reading one of 8 kB took 0.5 s, and one full of brackets more stack than there is.
_TYPE_MAX = 200
#: How long what a refused request still sends is read and dropped, so that its sender gets to read the answer.
LINGER_S = 1.0


def is_plain(request: web.BaseRequest) -> bool:
    """Whether the body is sent as it is: neither compressed, nor wrapped in anything but chunks."""
    encodings = ",".join(request.headers.getall("Content-Encoding", ())).split(",")
    transfers = ",".join(request.headers.getall("Transfer-Encoding", ())).split(",")
    return all(one.strip().lower() in ("", "identity") for one in encodings) and all(
        one.strip().lower() in ("", "identity", "chunked") for one in transfers
    )


def check_kind(request: web.BaseRequest) -> None:
    """Raises UnknownEncoding unless the body is sent as it is, and says of what kind it is in a few words."""
    if not is_plain(request):
        raise UnknownEncoding("send the body uncompressed: this server unpacks no Content-Encoding")
    if len(request.headers.get("Content-Type", "")) > _TYPE_MAX:
        raise UnknownEncoding(f"a Content-Type has at most {_TYPE_MAX} characters")


def check_size(request: web.BaseRequest, most_bytes: int) -> None:
    """Raises TooLarge where the header says that the body is larger. One in chunks is counted as it is read."""
    if (request.content_length or 0) > most_bytes:
        raise TooLarge(f"the request's body is too large: at most {most_bytes:,} bytes")


async def go_on(request: web.Request) -> None:
    """Answer ``Expect: 100-continue``: who sends what is going to be refused is not asked for it."""
    if request.headers.get("Expect", "").lower() != "100-continue":
        raise web.HTTPExpectationFailed(text="Expect: 100-continue is the only one known here")
    if is_plain(request):
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # that was not part of the answer
