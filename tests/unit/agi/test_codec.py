import pytest

from ctiserver.agi.codec import HANGUP, AgiGarbage, Reply, ReplyReader, Request, RequestReader, command
from ctiserver.errors import UnsafeValue
from tests.support.fake_asterisk import header


def read(data: bytes, size: int = 7) -> Request | None:
    reader = RequestReader()
    found = None
    for start in range(0, len(data), size):
        found = reader.feed(data[start : start + size]) or found
    return found


def test_a_header_is_read_in_whatever_pieces_it_comes() -> None:
    data = header(network_script="flow?dnis=400800%201234&pbx=main")
    for size in (1, 7, 64, 10_000):
        request = read(data, size)
        assert request is not None
        assert request.script == "flow"
        assert dict(request.query) == {"dnis": "400800 1234", "pbx": "main"}
        assert request["uniqueid"] == "1795295764.0"
        assert request["calleridname"] == ""  # Asterisk's word for nothing is "unknown"


def test_a_caller_name_in_any_encoding_is_no_reason_to_lose_the_call() -> None:
    data = header(calleridname="@@").replace(b"@@", "王".encode("gbk"))
    request = read(data)
    assert request is not None
    assert "\ufffd" in request["calleridname"]


@pytest.mark.parametrize(
    "data",
    [
        header().replace(b"agi_callerid:", b"agi_channel:"),  # the same name twice: a newline in a value forged it
        header(callerid="@@").replace(b"@@", b"\xff\xfe"),
        b"GET / HTTP/1.1\r\n",
        b"agi_network: yes\nsomething else\n\n",
        b"agi_network: yes\n" * 600,
        b"agi_x: " + b"y" * 9000,
    ],
)
def test_what_is_no_header_is_refused(data: bytes) -> None:
    with pytest.raises(AgiGarbage):
        read(data)


def replies(data: bytes) -> list[object]:
    reader = ReplyReader()
    found: list[object] = []
    for byte in data:
        found += reader.feed(bytes([byte]))
    return found


def test_replies_as_asterisk_writes_them() -> None:
    assert replies(b"200 result=0\n") == [Reply(200, "0")]
    assert replies(b"200 result=53 endpos=12000\n") == [Reply(200, "53", endpos=12000)]
    assert replies(b"200 result=1 (PJSIP/a (b))\n") == [Reply(200, "1", "PJSIP/a (b)")]
    assert replies(b"200 result= (timeout)\n") == [Reply(200, "", "timeout")]
    assert replies(b"510 Invalid or unknown command\n") == [Reply(510, usage="Invalid or unknown command")]
    assert replies(b"100 result=0 Trying...\n200 result=0 Gosub complete\n") == [Reply(200, "0")]
    assert replies(b"HANGUP\n200 result=-1\n") == [HANGUP, Reply(200, "-1")]


def test_a_520_is_one_reply_however_many_lines_it_has() -> None:
    text = (
        b"520-Invalid command syntax.  Proper usage follows:\n Usage: WAIT FOR DIGIT\n more\n520 End of proper usage.\n"
    )
    assert replies(text + b"200 result=1\n") == [Reply(520, usage=" Usage: WAIT FOR DIGIT\n more"), Reply(200, "1")]


def test_a_value_with_a_newline_does_not_put_replies_out_of_step() -> None:
    assert replies(b"200 result=1 (one\ntwo)\n200 result=0\n") == [Reply(200, "1", "one\ntwo"), Reply(200, "0")]


@pytest.mark.parametrize("data", [b"what?\n", b"200 nothing\n", b"2000 result=1\n", b"x" * 70_000])
def test_what_is_no_reply_is_refused(data: bytes) -> None:
    reader = ReplyReader()
    with pytest.raises(AgiGarbage):
        reader.feed(data)


def test_arguments_are_quoted_and_never_carry_a_second_command() -> None:
    assert command("STREAM FILE", 'a "b" \\c', "#", 0) == b'STREAM FILE "a \\"b\\" \\\\c" "#" "0"\n'
    for bad in ("a\nHANGUP", "a\r", "a\0b", "x" * 3000):
        with pytest.raises(UnsafeValue):
            command("SET VARIABLE", "X", bad)
