"""What is read and changed of the SIP that passes between a browser and the PBX.

The browser proves itself with a secret that is good for its log-in session alone; the phone's real password never
leaves the server. So a digest that is right by the session's secret is written anew by the real one, and whatever is
not right goes on as it is, for the PBX to refuse (RFC 3261 section 22, RFC 2617 section 3.2.2).
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass

from ctiserver.errors import CtiError

_DIGEST = re.compile(r"^((?:proxy-)?authorization)[ \t]*:[ \t]*digest[ \t]+(.*)$", re.IGNORECASE)
_FIELD = re.compile(r'([A-Za-z]+)=(?:"((?:[^"\\]|\\.)*)"|([^",\s]+))')
_FROM = re.compile(r"^(?:from|f)[ \t]*:[^<]*<?sips?:([^@>;]*)@", re.IGNORECASE)
_TO = re.compile(r"^(?:to|t)[ \t]*:(?:[^<>]*<[^<>]*>[^<>]*|[^<>]*);[ \t]*tag=[^<>]*$", re.IGNORECASE)
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_REQUEST = re.compile(r"^([A-Z]+) \S+ SIP/2\.0$")


class NotYours(CtiError):
    """The browser speaks for a phone that is not its own, or says something that could be read in two ways."""


@dataclass(frozen=True, slots=True)
class Account:
    """One browser's phone."""

    user: str  #: the phone's name, which is its SIP user
    session_secret: str  #: what the browser was given
    secret: str  #: what the PBX knows


def to_pbx(message: str, account: Account) -> str:
    """A browser's message as the PBX shall have it.

    Raises NotYours for a request outside any dialog that comes from another user: a PBX that knows its trunks by
    address must not take a browser, whose address is ctiserver's, for one of them. Likewise for line ends that a PBX
    may or may not take for such, and for folded lines: browsers send neither.
    """
    head, gap, body = message.partition("\r\n\r\n")
    lines = head.split("\r\n")
    request = _REQUEST.match(lines[0])
    if request is None:
        return message
    if any(re.search(r"[\r\n\0]|^[ \t]", line) for line in lines):
        raise NotYours(f"a {request[1]} with odd line ends on the line of {account.user}")
    plain = [_QUOTED.sub("", line) for line in lines]
    if not any(_TO.match(line) for line in plain):
        users = [found[1] for line in plain if (found := _FROM.match(line))]
        if users != [account.user]:
            raise NotYours(f"a {request[1]} from {users or 'nobody'} on the line of {account.user}")
    return "\r\n".join(_digested(line, request[1], account) for line in lines) + gap + body


def _digested(line: str, method: str, account: Account) -> str:
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
