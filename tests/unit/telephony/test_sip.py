"""What of a browser's SIP is written anew, and what is refused."""

from __future__ import annotations

import hashlib

import pytest

from ctiserver.features.telephony.sip import Account, NotYours, to_pbx

ACCOUNT = Account("web1", "of the session", "of the PBX")


def _md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


def _response(secret: str, method: str = "REGISTER", *, qop: bool = True) -> str:
    known, asked = _md5(f"web1:asterisk:{secret}"), _md5(f"{method}:sip:ctiserver.invalid")
    return _md5(f"{known}:n0nce:00000001:c0nce:auth:{asked}") if qop else _md5(f"{known}:n0nce:{asked}")


def _register(response: str, *, user: str = "web1", sender: str = "web1", more: str = "", qop: bool = True) -> str:
    quality = ', qop=auth, cnonce="c0nce", nc=00000001' if qop else ""
    return (
        "REGISTER sip:ctiserver.invalid SIP/2.0\r\n"
        "Via: SIP/2.0/WS abc.invalid;branch=z9hG4bK1\r\n"
        "To: <sip:web1@ctiserver.invalid>\r\n"
        f'From: "W" <sip:{sender}@ctiserver.invalid>;tag=1\r\n'
        f'Authorization: Digest algorithm=MD5, username="{user}", realm="asterisk", nonce="n0nce", '
        f'uri="sip:ctiserver.invalid", response="{response}"{quality}\r\n'
        f"{more}Content-Length: 0\r\n\r\n"
    )


@pytest.mark.parametrize("qop", [True, False])
def test_a_digest_right_by_the_sessions_secret_becomes_one_by_the_phones(qop: bool) -> None:
    sent = _register(_response("of the session", qop=qop), qop=qop)
    assert to_pbx(sent, ACCOUNT) == _register(_response("of the PBX", qop=qop), qop=qop)


@pytest.mark.parametrize("secret", ["of the PBX", "a guess", ""])
def test_any_other_digest_goes_on_as_it_is_for_the_pbx_to_refuse(secret: str) -> None:
    # Not even the phone's own password opens this way: who knows it has no need of it.
    sent = _register(_response(secret))
    passed = to_pbx(sent, ACCOUNT)
    assert passed == sent


def test_a_digest_of_another_user_is_not_touched() -> None:
    sent = _register(_response("of the session"), user="web2")
    assert to_pbx(sent, ACCOUNT) == sent


@pytest.mark.parametrize("sender", ["web2", "13800000001", "trunk"])
def test_a_request_that_begins_something_in_another_name_is_refused(sender: str) -> None:
    with pytest.raises(NotYours):
        to_pbx(_register("x", sender=sender), ACCOUNT)


def test_two_from_headers_are_refused() -> None:
    with pytest.raises(NotYours):
        to_pbx(_register("x", more="f: <sip:13800000001@evil>\r\n"), ACCOUNT)


def test_within_a_dialog_the_name_is_what_the_pbx_called_the_phone() -> None:
    bye = (
        "BYE sip:asterisk@127.0.0.1 SIP/2.0\r\nTo: <sip:13800000001@127.0.0.1>;tag=2\r\n"
        "From: <sip:k3j@abc.invalid>;tag=1\r\nContent-Length: 0\r\n\r\n"
    )
    assert to_pbx(bye, ACCOUNT) == bye


@pytest.mark.parametrize(
    "to",
    [
        "To: <sip:1@x;tag=2>",
        'To: "a;tag=2" <sip:1@x>',
        'To: "a<b>;tag=2" <sip:1@x>',
        "To: <sip:1@x>;x=<y>;tag=2",
        "To: <sip:1@x>\r\n ;tag=2",
    ],
)
def test_what_only_looks_like_a_tag_makes_no_dialog(to: str) -> None:
    with pytest.raises(NotYours):
        to_pbx(f"INVITE sip:1@x SIP/2.0\r\n{to}\r\nFrom: <sip:trunk@x>;tag=1\r\n\r\n", ACCOUNT)


@pytest.mark.parametrize(
    "sender",
    [
        'From: "<sip:web1@x>" <sip:trunk@x>;tag=1',
        "From: <sip:web1@x>;tag=1\nFrom: <sip:trunk@x>;tag=1",
        "X: a\nFrom: <sip:trunk@x>;tag=1\r\nFrom: <sip:web1@x>;tag=1",
        "X: a\rFrom: <sip:trunk@x>;tag=1\r\nFrom: <sip:web1@x>;tag=1",
        "X: a\r\n From: <sip:trunk@x>;tag=1\r\nFrom: <sip:web1@x>;tag=1",
    ],
)
def test_no_trick_of_writing_hides_who_speaks(sender: str) -> None:
    with pytest.raises(NotYours):
        to_pbx(f"INVITE sip:1@x SIP/2.0\r\nTo: <sip:1@x>\r\n{sender}\r\n\r\n", ACCOUNT)


@pytest.mark.parametrize("sent", ["SIP/2.0 200 OK\r\nCSeq: 1 INVITE\r\n\r\nv=0\r\n", "\r\n\r\n", ""])
def test_answers_and_keep_alives_pass(sent: str) -> None:
    assert to_pbx(sent, ACCOUNT) == sent


def test_a_body_is_not_read_for_headers() -> None:
    sent = (
        "INVITE sip:1@x SIP/2.0\r\nTo: <sip:1@x>\r\nFrom: <sip:web1@x>;tag=1\r\n\r\nFrom: <sip:other@x>\r\n"
        f'Authorization: Digest username="web1", realm="asterisk", nonce="n0nce", uri="sip:ctiserver.invalid", '
        f'response="{_response("of the session", "INVITE", qop=False)}"\r\n'
    )
    assert to_pbx(sent, ACCOUNT) == sent


def test_a_folded_or_oddly_spaced_from_header_is_not_taken_for_ones_own() -> None:
    for line in ("From\t: <sip:trunk@x>;tag=1", "FROM:<sip:trunk@x>;tag=1", "From:\r\n <sip:trunk@x>;tag=1"):
        sent = f"INVITE sip:1@x SIP/2.0\r\nTo: <sip:1@x>\r\n{line}\r\n\r\n"
        with pytest.raises(NotYours):
            to_pbx(sent, ACCOUNT)
