"""What is read and changed of the SIP that passes between a browser and the PBX.

The browser proves itself with a secret that is good for its log-in session alone; the phone's real password never
leaves the server. So a digest that is right by the session's secret is written again by the real one; a wrong one goes
on as it is, for the PBX to refuse (RFC 3261 section 22, RFC 2617 section 3.2.2).

Everything else is closed: what is not a request of this phone in exactly the form that browsers write, nor a response
to one of the PBX's, is refused. Asterisk's SIP stack is lenient (it takes `invite`, a second blank, an empty line in
front, two messages in one frame), so what we could not read must not be left to it to read.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections import OrderedDict
from dataclasses import dataclass

from ctiserver.errors import CtiError

_DIGEST = re.compile(r"^((?:proxy-)?authorization): ?digest[ ]+(.*)$", re.IGNORECASE)
_FIELD = re.compile(r'([A-Za-z]+)=(?:"((?:[^"\\]|\\.)*)"|([^",\s]+))')
#: What a phone asks. It transfers over the console, so REFER is none of them; nor are messages and subscriptions.
_METHODS = frozenset({"ACK", "BYE", "CANCEL", "INFO", "INVITE", "PRACK", "REGISTER", "UPDATE"})
_REQUEST = re.compile(r"([A-Z]+) sips?:[!-~]+ SIP/2\.0")
_RESPONSE = re.compile(r"SIP/2\.0 [1-6][0-9]{2} [^\r\n]*")
_ANY_REQUEST = re.compile(r"[A-Z]+ \S+ SIP/2\.0")  #: the PBX's
_HEADER = re.compile(r"([A-Za-z][A-Za-z-]*): ?(.*)")
_CALL_ID = re.compile(r"[!-~]{1,255}")
_CSEQ = re.compile(r"[0-9]{1,10} ([A-Z]+)")
_BRANCH = re.compile(r";[ ]?branch=([A-Za-z0-9.!%*_+`'~-]+)")
_ADDRESS = re.compile(
    r"""(?:"(?:[^"\\]|\\.)*"|[A-Za-z0-9 .!%*_+`'~-]*)\ ?"""  # a name, quoted or in plain words
    r"""<sips?:(?:([^@<>"\s]*)@)?[^@<>"\s;]+(?:;[^@<>"\s]*)?>"""
    r"""((?:;[A-Za-z0-9._-]+(?:=[^;,<>"\s]*)?)*)"""
)
_TAG = re.compile(r";tag=[^;]+")
#: Line ends and control characters, as they are and as a lenient reader may make of them.
_ODD = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_ESCAPED = re.compile(r"%(?:0[0-9a-f]|1[0-9a-f]|7f)", re.IGNORECASE)
_COMPACT = {
    **{
        "c": "content-type",
        "e": "content-encoding",
        "f": "from",
        "i": "call-id",
        "k": "supported",
        "l": "content-length",
    },
    **{"m": "contact", "s": "subject", "t": "to", "u": "allow-events", "v": "via", "x": "session-expires"},
}
_ONCE = ("from", "to", "call-id", "cseq", "content-length")
_AT_MOST_ONCE = ("contact", "max-forwards", "content-type", "expires", "authorization", "proxy-authorization")
#: What browsers write; none of these makes a PBX take the caller for another one, or join calls of others.
_KNOWN = frozenset(
    {
        *_ONCE,
        *_AT_MOST_ONCE,
        *("via", "allow", "supported", "user-agent", "session-expires", "min-se", "reason", "require", "rack", "rseq"),
        *("accept", "allow-events", "warning", "server", "retry-after", "record-route", "route", "content-disposition"),
    }
)
_KEEP_ALIVE = ("\r\n\r\n", "\r\n")  # RFC 5626 section 4.4.1
_MOST_ASKED = 256


class SipRefused(CtiError):
    """The browser speaks for a phone that is not its own, or says something that could be read in two ways."""


@dataclass(frozen=True, slots=True)
class SipAccount:
    """One browser's phone."""

    user: str  #: the phone's name, which is its SIP user
    session_secret: str  #: what the browser was given
    secret: str  #: what the PBX knows


class Dialogue:
    """What passes over one line: the browser's messages one way, the PBX's the other."""

    def __init__(self, account: SipAccount) -> None:
        self._account = account
        self._asked: OrderedDict[str, None] = OrderedDict()  #: branches of the PBX's requests, oldest first

    def from_pbx(self, message: str) -> None:
        """Take note of a request of the PBX, so that it may be answered."""
        first, _, rest = message.lstrip("\r\n").partition("\r\n")
        branch = _BRANCH.search(rest.partition("\r\n\r\n")[0])
        if branch is None or _ANY_REQUEST.fullmatch(first) is None:
            return
        self._asked[branch[1]] = None
        self._asked.move_to_end(branch[1])
        while len(self._asked) > _MOST_ASKED:
            self._asked.popitem(last=False)

    def to_pbx(self, message: str) -> str | None:
        """A browser's message as the PBX shall have it; None for a response to what it did not ask on this line.

        Such a one is not a fault of the browser: a line that broke took the question with it. Raises NotYours.
        """
        if message in _KEEP_ALIVE:
            return message
        user = self._account.user
        head, gap, body = message.partition("\r\n\r\n")
        first, *lines = head.split("\r\n")
        answers = _RESPONSE.fullmatch(first) is not None
        if not gap or _ODD.search(first) or any(_ODD.search(line) for line in lines):
            if answers:
                return None  # it repeats what the PBX asked: a caller's odd name must not cost an agent the line
            raise SipRefused(f"odd line ends or characters on the line of {user}")
        headers = _headers(lines, user)
        if headers["content-length"] != [str(len(body.encode("utf-8", "surrogatepass")))]:
            raise SipRefused(f"a message with more or less than its length on the line of {user}")
        if answers:
            branch = _BRANCH.search(headers["via"][0])
            return message if branch is not None and branch[1] in self._asked else None
        request = _REQUEST.fullmatch(first)
        if request is None or request[1] not in _METHODS:
            raise SipRefused(f"{first[:40]!r} is not a request of a phone, on the line of {user}")
        if not _refuse_others(request[1], headers, user) and any(_ESCAPED.search(line) for line in (first, *lines)):
            raise SipRefused(f"an escaped control character on the line of {user}")
        return "\r\n".join([first, *(_digested(line, request[1], self._account) for line in lines)]) + gap + body


def _headers(lines: list[str], user: str) -> dict[str, list[str]]:
    """Values by their full names in small letters. Raises NotYours for what no browser writes."""
    found: dict[str, list[str]] = {}
    for line in lines:
        header = _HEADER.fullmatch(line)
        name = "" if header is None else _COMPACT.get(header[1].lower(), header[1].lower())
        if header is None or name not in _KNOWN:
            raise SipRefused(f"the header {line.partition(':')[0][:40]!r} on the line of {user}")
        found.setdefault(name, []).append(header[2])
    if any(len(found.get(name, ())) != 1 for name in _ONCE) or any(len(found.get(n, ())) > 1 for n in _AT_MOST_ONCE):
        raise SipRefused(f"a message that lacks a header, or has one twice, on the line of {user}")
    if "via" not in found or _CALL_ID.fullmatch(found["call-id"][0]) is None:
        raise SipRefused(f"a message without Via or Call-ID on the line of {user}")
    return found


def _refuse_others(method: str, headers: dict[str, list[str]], user: str) -> bool:
    """Whether a request is within a dialog. Raises NotYours for one outside any dialog that comes from another user.

    A PBX that knows its trunks by address must not take a browser, whose address is ctiserver's, for one of them.
    """
    cseq = _CSEQ.fullmatch(headers["cseq"][0])
    sender, to = _ADDRESS.fullmatch(headers["from"][0]), _ADDRESS.fullmatch(headers["to"][0])
    if cseq is None or cseq[1] != method or len(headers["via"]) != 1 or sender is None or to is None:
        raise SipRefused(f"a malformed {method} on the line of {user}")
    in_dialog = _TAG.search(to[2]) is not None and method != "REGISTER"
    if not in_dialog and sender[1] != user:
        raise SipRefused(f"a {method} from {sender[1] or 'nobody'} on the line of {user}")
    return in_dialog


def _digested(line: str, method: str, account: SipAccount) -> str:
    header = _DIGEST.match(line)
    if header is None:
        return line
    said = {name.lower(): quoted or bare for name, quoted, bare in _FIELD.findall(header[2])}
    if said.get("username") != account.user or said.get("algorithm", "MD5").upper() != "MD5":
        return line
    claimed = said.get("response", "")
    if not hmac.compare_digest(claimed.encode(), _response(said, method, account.session_secret).encode()):
        return line
    return line.replace(f'"{claimed}"', f'"{_response(said, method, account.secret)}"', 1)


def _response(said: dict[str, str], method: str, secret: str) -> str:
    known = _md5(f"{said.get('username', '')}:{said.get('realm', '')}:{secret}")
    asked = _md5(f"{method}:{said.get('uri', '')}")
    nonce = said.get("nonce", "")
    if "qop" in said:
        return _md5(f"{known}:{nonce}:{said.get('nc', '')}:{said.get('cnonce', '')}:{said['qop']}:{asked}")
    return _md5(f"{known}:{nonce}:{asked}")


def _md5(text: str) -> str:
    # The digest that SIP phones and PBXs agree on; nothing is kept by it.
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
