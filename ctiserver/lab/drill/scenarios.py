"""SIPp's scenarios: a caller, and an agent's telephone that registers, logs in and answers.

Injected fields of a caller: 0 the number, 1 where it listens. Of a telephone: 0 its name, 1 its password.
"""

from __future__ import annotations

#: For so long a telephone is registered; a load may last longer.
REGISTERED_S = 3600

_HEAD = '<?xml version="1.0" encoding="ISO-8859-1" ?>\n<scenario name="{name}">\n'
_TAIL = "</scenario>\n"

_OK = """ <send><![CDATA[
SIP/2.0 200 OK
[last_Via:]
[last_From:]
[last_To:]
[last_Call-ID:]
[last_CSeq:]
Content-Length: 0

]]></send>
"""

_SDP = """v=0
o=drill 1 1 IN IP4 127.0.0.1
s=-
c=IN IP4 127.0.0.1
t=0 0
m=audio [auto_media_port] RTP/AVP {codec} 101
a=rtpmap:{codec} {encoding}/8000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-15
"""


def _request(method: str, dialled: str, user: str, *, cseq: int = 1, to_tag: str = "", more: str = "") -> str:
    return (
        f"{method} sip:{dialled}@[remote_ip]:[remote_port] SIP/2.0\n"
        "Via: SIP/2.0/UDP [local_ip]:[local_port];branch=[branch]\n"
        f"From: <sip:{user}@[local_ip]:[local_port]>;tag=[pid]-[call_number]\n"
        f"To: <sip:{dialled}@[remote_ip]:[remote_port]>{to_tag}\n"
        "Call-ID: [call_id]\n"
        f"CSeq: {cseq} {method}\n"
        f"Contact: <sip:{user}@[local_ip]:[local_port]>\n"
        f"Max-Forwards: 70\n{more}"
    )


def _send(text: str, body: str = "", *, attributes: str = "") -> str:
    length = "Content-Type: application/sdp\nContent-Length: [len]\n" if body else "Content-Length: 0\n"
    return f" <send{attributes}><![CDATA[\n{text}{length}\n{body}\n]]></send>\n"


def _log(text: str) -> str:
    return f' <nop><action><log message="{text}"/></action></nop>\n'


def caller(capture: str | None, hold_ms: int, *, listens: bool = False) -> str:
    """Calls ``[service]``, presses what the capture holds, and hangs up ``hold_ms`` after the answer.

    With ``listens`` field 1 is the port where it wants to hear. It logs how its call ended: ``NUMBER hung_up`` by
    itself, ``NUMBER ended`` by the PBX.
    """
    offer = _SDP.format(codec=8, encoding="PCMA")
    if listens:
        offer = offer.replace("[auto_media_port]", "[field1]")
    user, tag = "[field0]", "[peer_tag_param]"
    return (
        _HEAD.format(name="caller")
        + _send(_request("INVITE", "[service]", user), offer, attributes=' retrans="500"')
        + ' <recv response="100" optional="true"/>\n <recv response="180" optional="true"/>\n'
        + ' <recv response="183" optional="true"/>\n <recv response="200" timeout="20000"/>\n'
        + _send(_request("ACK", "[service]", user, to_tag=tag))
        + (f' <nop><action><exec play_pcap_audio="{capture}"/></action></nop>\n' if capture else "")
        + f' <recv request="BYE" timeout="{hold_ms}" ontimeout="2"/>\n'
        + _OK
        + _log("[field0] ended")
        + ' <nop next="3"/>\n <label id="2"/>\n'
        + _send(_request("BYE", "[service]", user, cseq=2, to_tag=tag), attributes=' retrans="500"')
        # Both may hang up in the same moment.
        + ' <recv request="BYE" optional="true" next="4"/>\n <recv response="200" timeout="4000"/>\n'
        + _log("[field0] hung_up")
        + ' <nop next="3"/>\n <label id="4"/>\n'
        + _OK
        + _log("[field0] hung_up")
        + ' <label id="3"/>\n <nop/>\n'
        + _TAIL
    )


def registering(contact_port: int) -> str:
    """A telephone says where it is to be found: at the port where :func:`answering` listens."""
    more = f"Expires: {REGISTERED_S}\n"

    def register(cseq: int, authentication: str) -> str:
        return (
            "REGISTER sip:[remote_ip]:[remote_port] SIP/2.0\n"
            "Via: SIP/2.0/UDP [local_ip]:[local_port];branch=[branch]\n"
            "From: <sip:[field0]@[remote_ip]>;tag=[pid]-[call_number]\nTo: <sip:[field0]@[remote_ip]>\n"
            f"Call-ID: [call_id]\nCSeq: {cseq} REGISTER\n"
            f"Contact: <sip:[field0]@127.0.0.1:{contact_port}>\nMax-Forwards: 70\n{more}{authentication}"
        )

    credentials = "[authentication username=[field0] password=[field1]]\n"
    return (
        _HEAD.format(name="registering")
        + _send(register(1, ""), attributes=' retrans="500"')
        + ' <recv response="100" optional="true"/>\n <recv response="401" auth="true"/>\n'
        + _send(register(2, credentials), attributes=' retrans="500"')
        + ' <recv response="100" optional="true"/>\n <recv response="200"/>\n'
        + _TAIL
    )


def logging_in() -> str:
    """A telephone dials ``[service]`` (*11), listens, and is hung up on."""
    offer = _SDP.format(codec=0, encoding="PCMU")
    credentials = "[authentication username=[field0] password=[field1]]\n"
    ack = " <send><![CDATA[\n{}Content-Length: 0\n\n]]></send>\n"
    user, tag = "[field0]", "[peer_tag_param]"
    return (
        _HEAD.format(name="logging in")
        + _send(_request("INVITE", "[service]", user), offer, attributes=' retrans="500"')
        + ' <recv response="100" optional="true"/>\n <recv response="401" auth="true"/>\n'
        + ack.format(_request("ACK", "[service]", user, to_tag=tag))
        + _send(_request("INVITE", "[service]", user, cseq=2, more=credentials), offer, attributes=' retrans="500"')
        + ' <recv response="100" optional="true"/>\n <recv response="183" optional="true"/>\n'
        + ' <recv response="200" timeout="10000"/>\n'
        + _send(_request("ACK", "[service]", user, cseq=2, to_tag=tag))
        + ' <recv request="BYE" timeout="30000"/>\n'
        + _OK
        + _TAIL
    )


def answering(ring_ms: int) -> str:
    """Every telephone, at one port: rings so long, answers, echoes what it hears, and is hung up on."""
    again = "[last_Via:]\n[last_From:]\n[last_To:];tag=[pid]-[call_number]\n[last_Call-ID:]\n[last_CSeq:]\n"
    contact = "Contact: <sip:agent@[local_ip]:[local_port]>\n"
    answer = _SDP.format(codec=0, encoding="PCMU").replace("[auto_media_port]", "[media_port]")
    return (
        _HEAD.format(name="answering")
        + ' <recv request="INVITE"/>\n'
        + f" <send><![CDATA[\nSIP/2.0 180 Ringing\n{again}{contact}Content-Length: 0\n\n]]></send>\n"
        + f' <pause milliseconds="{ring_ms}"/>\n'
        + f' <send retrans="500"><![CDATA[\nSIP/2.0 200 OK\n{again}{contact}'
        + f"Content-Type: application/sdp\nContent-Length: [len]\n\n{answer}\n]]></send>\n"
        + ' <recv request="ACK"/>\n <recv request="BYE"/>\n'
        + _OK
        + _TAIL
    )
