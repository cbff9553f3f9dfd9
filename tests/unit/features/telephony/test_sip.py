"""What of a browser's SIP is written again, and what is refused."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctiserver.features.telephony.sip import Dialogue, SipAccount, SipRefused

ACCOUNT = SipAccount("web1", "of the session", "of the PBX")


def _md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


def _response(secret: str, method: str = "REGISTER", *, qop: bool = True) -> str:
    known, asked = _md5(f"web1:asterisk:{secret}"), _md5(f"{method}:sip:ctiserver.invalid")
    return _md5(f"{known}:n0nce:00000001:c0nce:auth:{asked}") if qop else _md5(f"{known}:n0nce:{asked}")


def _request(method: str = "INVITE", *, body: str = "", **changes: str) -> str:
    """A request as JsSIP writes it, with some of its lines otherwise; an empty one is left out."""
    lines = {
        "first": f"{method} sip:0019005551234@ctiserver.invalid SIP/2.0",
        "via": "Via: SIP/2.0/WS abc.invalid;branch=z9hG4bK1",
        "forwards": "Max-Forwards: 69",
        "to": "To: <sip:0019005551234@ctiserver.invalid>",
        "sender": 'From: "W" <sip:web1@ctiserver.invalid>;tag=1',
        "call": "Call-ID: k3jq9",
        "cseq": f"CSeq: 7 {method}",
        "contact": "Contact: <sip:k3j@abc.invalid;transport=ws;ob>",
        "more": "",
        "length": f"Content-Length: {len(body.encode())}",
    }
    return "\r\n".join(line for line in {**lines, **changes}.values() if line) + "\r\n\r\n" + body


def _register(response: str, *, user: str = "web1", qop: bool = True) -> str:
    quality = ', qop=auth, cnonce="c0nce", nc=00000001' if qop else ""
    return _request(
        "REGISTER",
        first="REGISTER sip:ctiserver.invalid SIP/2.0",
        to="To: <sip:web1@ctiserver.invalid>",
        more=f'Authorization: Digest algorithm=MD5, username="{user}", realm="asterisk", nonce="n0nce", '
        f'uri="sip:ctiserver.invalid", response="{response}"{quality}',
    )


def to_pbx(message: str) -> str | None:
    return Dialogue(ACCOUNT).to_pbx(message)


@pytest.mark.parametrize("qop", [True, False])
def test_a_digest_right_by_the_sessions_secret_becomes_one_by_the_phones(qop: bool) -> None:
    sent = _register(_response("of the session", qop=qop), qop=qop)
    assert to_pbx(sent) == _register(_response("of the PBX", qop=qop), qop=qop)


@pytest.mark.parametrize("secret", ["of the PBX", "a guess", ""])
def test_any_other_digest_goes_on_as_it_is_for_the_pbx_to_refuse(secret: str) -> None:
    # Not even the phone's own password opens this way: who knows it has no need of it.
    sent = _register(_response(secret))
    assert to_pbx(sent) == sent


def test_a_digest_of_another_user_is_not_touched() -> None:
    sent = _register(_response("of the session"), user="web2")
    assert to_pbx(sent) == sent


@pytest.mark.parametrize("method", ["ACK", "BYE", "CANCEL", "INFO", "INVITE", "PRACK", "REGISTER", "UPDATE"])
def test_what_a_phone_asks_passes(method: str) -> None:
    sent = _request(method)
    assert to_pbx(sent) == sent


def test_within_a_dialog_the_name_is_what_the_pbx_called_the_phone() -> None:
    sent = _request(
        "BYE", to='To: "张三" <sip:13800000001@127.0.0.1>;tag=2', sender="From: <sip:k3j@abc.invalid>;tag=1"
    )
    assert to_pbx(sent) == sent


def test_a_body_is_not_read_for_headers_and_counted_in_bytes() -> None:
    sent = _request(body="v=0\r\ns=张三\r\nFrom: <sip:other@x>\r\n")
    assert to_pbx(sent) == sent


#: A line of a request, and what it is put in its place. None of it may reach Asterisk.
MALFORMED = {
    "a method in small letters": {"first": "invite sip:1@x SIP/2.0"},
    "a method in mixed letters": {"first": "Invite sip:1@x SIP/2.0"},
    "an empty line in front": {"first": "\r\nINVITE sip:1@x SIP/2.0"},
    "two empty lines in front": {"first": "\r\n\r\nINVITE sip:1@x SIP/2.0"},
    "a line feed in front": {"first": "\nINVITE sip:1@x SIP/2.0"},
    "a blank in front": {"first": " INVITE sip:1@x SIP/2.0"},
    "two blanks": {"first": "INVITE  sip:1@x SIP/2.0"},
    "a tab": {"first": "INVITE\tsip:1@x SIP/2.0"},
    "a blank behind": {"first": "INVITE sip:1@x SIP/2.0 "},
    "no version": {"first": "INVITE sip:1@x"},
    "another version": {"first": "INVITE sip:1@x SIP/3.0"},
    "a version in small letters": {"first": "INVITE sip:1@x sip/2.0"},
    "another scheme": {"first": "INVITE tel:110 SIP/2.0"},
    "a method of none": {"first": "FROB sip:1@x SIP/2.0", "cseq": "CSeq: 7 FROB"},
    "a transfer": {"first": "REFER sip:1@x SIP/2.0", "cseq": "CSeq: 7 REFER"},
    "a message": {"first": "MESSAGE sip:1@x SIP/2.0", "cseq": "CSeq: 7 MESSAGE"},
    "a byte order mark": {"first": "\ufeffINVITE sip:1@x SIP/2.0"},
    "a forged line in the address": {"first": "INVITE sip:1%0d%0aUniqueid:1@x SIP/2.0"},
    "a forged line in the name": {"sender": 'From: "W%0D%0AEvent: Hangup" <sip:web1@x>;tag=1'},
    "a trunk": {"sender": "From: <sip:trunk@x>;tag=1"},
    "a number": {"sender": "From: <sip:13800000001@x>;tag=1"},
    "a name that looks like an address": {"sender": 'From: "<sip:web1@x>" <sip:trunk@x>;tag=1'},
    "two addresses": {"sender": "From: <sip:web1@x> <sip:trunk@x>;tag=1"},
    "an address without brackets": {"sender": "From: sip:web1@x;tag=1"},
    "two From": {"more": "From: <sip:trunk@x>;tag=2"},
    "two From, one short": {"more": "f: <sip:trunk@x>;tag=2"},
    "no From": {"sender": ""},
    "a line feed alone": {"sender": "From: <sip:web1@x>;tag=1\nFrom: <sip:trunk@x>;tag=1"},
    "a carriage return alone": {"more": "Supported: a\rFrom: <sip:trunk@x>;tag=1"},
    "a folded line": {"more": "Supported: a\r\n From: <sip:trunk@x>;tag=1"},
    "a folded From": {"sender": "From:\r\n <sip:trunk@x>;tag=1"},
    "a blank before the colon": {"sender": "From : <sip:web1@x>;tag=1"},
    "a tab before the colon": {"sender": "From\t: <sip:web1@x>;tag=1"},
    "a NUL": {"more": "Supported: a\0b"},
    "a tag within the address": {"to": "To: <sip:1@x;tag=2>", "sender": "From: <sip:trunk@x>;tag=1"},
    "a tag within the name": {"to": 'To: "a;tag=2" <sip:1@x>', "sender": "From: <sip:trunk@x>;tag=1"},
    "a tag after brackets": {"to": "To: <sip:1@x>;x=<y>;tag=2", "sender": "From: <sip:trunk@x>;tag=1"},
    "an asserted identity": {"more": "P-Asserted-Identity: <sip:13800000001@x>"},
    "a remote party": {"more": "Remote-Party-ID: <sip:13800000001@x>"},
    "a diversion": {"more": "Diversion: <sip:13800000001@x>"},
    "another's call": {"more": "Replaces: abc;to-tag=1;from-tag=2"},
    "a header of none": {"more": "X-Secret: 1"},
    "two Via": {"more": "v: SIP/2.0/WS other.invalid;branch=z9hG4bK2"},
    "another method in CSeq": {"cseq": "CSeq: 7 OPTIONS"},
    "no CSeq": {"cseq": ""},
    "no Call-ID": {"call": ""},
    "no length": {"length": ""},
    "a length too short": {"length": "Content-Length: -1"},
    "a length that hides a second message": {
        "length": "Content-Length: 0\r\n\r\nINVITE sip:110@x SIP/2.0\r\nFrom: <sip:trunk@x>;tag=1"
    },
    "two lengths": {"more": "l: 0"},
}


@pytest.mark.parametrize("what", MALFORMED)
def test_what_is_not_written_as_browsers_write_is_refused(what: str) -> None:
    with pytest.raises(SipRefused):
        to_pbx(_request(**MALFORMED[what]))


@pytest.mark.parametrize(
    "sent", ["", "\n", "\r\n\r\n\r\n", "hello", "GET / HTTP/1.1\r\n\r\n", "SIP/2.0 200 OK\r\n\r\n"]
)
def test_what_is_no_sip_is_refused(sent: str) -> None:
    with pytest.raises(SipRefused):
        to_pbx(sent)


@pytest.mark.parametrize("sent", ["\r\n\r\n", "\r\n"])
def test_a_keep_alive_passes(sent: str) -> None:
    assert to_pbx(sent) == sent


def _asked(branch: str) -> str:
    return f"INVITE sip:k3j@abc.invalid SIP/2.0\r\nVia: SIP/2.0/WS 127.0.0.1:8088;rport;branch={branch};alias\r\n\r\n"


def _answer(branch: str, first: str = "SIP/2.0 200 OK") -> str:
    via = f"Via: SIP/2.0/WS 127.0.0.1:8088;rport;branch={branch};alias"
    return _request(first=first, via=via, sender="From: <sip:13800000001@x>;tag=9", to="To: <sip:web1@x>;tag=2")


def test_a_response_passes_to_what_the_pbx_asked_on_this_line() -> None:
    line = Dialogue(ACCOUNT)
    line.from_pbx(_asked("z9hG4bKPj1"))
    assert line.to_pbx(_answer("z9hG4bKPj1")) == _answer("z9hG4bKPj1")
    # A line that broke took the question with it: that is not a fault of the browser's, and nothing for the PBX.
    assert line.to_pbx(_answer("z9hG4bKPj2")) is None


def test_a_callers_odd_name_costs_the_agent_no_line() -> None:
    """It comes in the PBX's INVITE, and the browser repeats it."""
    line = Dialogue(ACCOUNT)
    line.from_pbx(_asked("z9hG4bKPj1"))
    escaped = _answer("z9hG4bKPj1").replace("<sip:13800000001@x>", "<sip:1%0d%0aEvent@x>")
    assert line.to_pbx(escaped) == escaped
    assert line.to_pbx(_answer("z9hG4bKPj1").replace("<sip:138", '"a\tb" <sip:138')) is None
    bye = _request("BYE", to="To: <sip:1%0d%0aEvent@x>;tag=2")
    assert line.to_pbx(bye) == bye


@pytest.mark.parametrize(
    "first", ["SIP/2.0 999 OK", "SIP/2.0 200", "sip/2.0 200 OK", "SIP/2.0  200 OK", "\r\nSIP/2.0 200 OK"]
)
def test_a_malformed_response_is_refused(first: str) -> None:
    line = Dialogue(ACCOUNT)
    line.from_pbx(_asked("z9hG4bKPj1"))
    with pytest.raises(SipRefused):
        line.to_pbx(_answer("z9hG4bKPj1", first))


def test_what_is_remembered_of_the_pbx_is_bounded() -> None:
    line = Dialogue(ACCOUNT)
    for number in range(1000):
        line.from_pbx(_asked(f"z9hG4bKPj{number}"))
    assert line.to_pbx(_answer("z9hG4bKPj0")) is None
    assert line.to_pbx(_answer("z9hG4bKPj999")) is not None


_PIECES = st.sampled_from(
    [" ", "  ", "\t", "\r", "\n", "\r\n", "\r\n\r\n", "\0", "%0d%0a", ":", ";", "<", ">", '"', "@", "sip:", "trunk"]
)


@settings(deadline=None)
@given(st.data())
def test_no_change_of_a_request_lets_it_speak_for_another(data: st.DataObject) -> None:
    """Pieces put anywhere into a request from the trunk, or taken out: none of it ever passes."""
    sent = _request(sender="From: <sip:trunk@x>;tag=1")
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(sent)))
        sent = (
            sent[:at] + data.draw(st.one_of(_PIECES, st.text(max_size=2))) + sent[at + data.draw(st.integers(0, 3)) :]
        )
    try:
        passed = Dialogue(ACCOUNT).to_pbx(sent)
    except SipRefused:
        return
    # What passes must then be a keep-alive, or a whole request within a dialog.
    assert passed in (None, "\r\n", "\r\n\r\n") or ";tag=" in passed.partition("To: ")[2].partition("\r\n")[0]


@settings(deadline=None)
@given(st.text())
def test_any_text_passes_or_is_refused(text: str) -> None:
    try:
        assert Dialogue(ACCOUNT).to_pbx(text) in (None, "\r\n", "\r\n\r\n")
    except SipRefused:
        pass
