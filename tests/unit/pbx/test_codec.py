"""AMI's bytes: what is read from them, and what is refused to be written."""

from __future__ import annotations

import pytest

from ctiserver.errors import UnsafeValue
from ctiserver.pbx.codec import AmiDecoder, AmiMessage, refuse_unsafe

GREETING = b"Asterisk Call Manager/11.0.0\r\n"


def read(data: bytes, **options: object) -> list[AmiMessage]:
    return AmiDecoder(**options).feed(data)  # type: ignore[arg-type]


def test_greeting_then_response_without_an_empty_line() -> None:
    decoder = AmiDecoder()
    [message] = decoder.feed(GREETING + b"Response: Success\r\nActionID: 1\r\n\r\n")
    assert decoder.greeting == "11.0.0"
    assert (message.name, message.get("Response"), message.get("ActionID")) == ("", "Success", "1")
    assert decoder.unparsable == 0


def test_a_stream_may_begin_without_greeting() -> None:
    [message] = read(b"Event: Hangup\r\nCause: 16\r\n\r\n")
    assert (message.name, message.get("Cause")) == ("Hangup", "16")


def test_a_greeting_that_never_ends_is_no_greeting() -> None:
    decoder = AmiDecoder()
    assert decoder.feed(GREETING.strip() + b"x" * 300) == []
    assert decoder.greeting is None


def test_values_with_colons_empty_values_and_missing_keys() -> None:
    [message] = read(b"Event: X\r\nA: b: c\r\nEmpty: \r\nBare:\r\nLast: 1\r\n\r\n")
    assert message.get("A") == "b: c"
    assert message.get("Empty", "?") == ""
    assert message.get("Bare") == ""
    assert message.get("Last") == "1"
    assert message.get("Missing", "?") == "?"


def test_a_key_is_found_whole_only() -> None:
    [message] = read(b"Event: X\r\nDestUniqueid: 2\r\nNote: Uniqueid: 3\r\nUniqueid: 1\r\n\r\n")
    assert message.get("Uniqueid") == "1"


def test_repeated_keys() -> None:
    [message] = read(b"Event: X\r\nChanVariable: a=1\r\nB: 2\r\nChanVariable: c=3\r\n\r\n")
    assert message.get("ChanVariable") == "a=1"
    assert message.all("ChanVariable") == ["a=1", "c=3"]
    assert message.all("Missing") == []


def test_output_lines() -> None:
    [message] = read(b"Response: Success\r\nOutput: a: 1\r\nOutput: \r\nOutput:    b\r\n\r\n")
    assert message.all("Output") == ["a: 1", "", "   b"]


def test_utf8_split_over_packets() -> None:
    data = "Event: X\r\nName: 张三 Jörg\r\n\r\n".encode()
    for at in range(len(data)):
        decoder = AmiDecoder()
        messages = decoder.feed(data[:at]) + decoder.feed(data[at:])
        assert [message.get("Name") for message in messages] == ["张三 Jörg"]


def test_latin1_survives_beside_utf8() -> None:
    [message] = read(b"Event: X\r\nOld: J\xf6rg\r\nNew: " + "日本".encode() + b"\r\n\r\n")
    assert (message.get("Old"), message.get("New")) == ("Jörg", "日本")


def test_wanted_names_are_parsed_and_the_others_counted() -> None:
    decoder = AmiDecoder({b"Keep": b"", b"VarSet": b"\r\nVariable: WANTED\r\n"})
    kept = decoder.feed(
        b"Event: Keep\r\nA: 1\r\n\r\nEvent: Drop\r\n\r\nEvent: VarSet\r\nVariable: WANTED\r\nValue: 1\r\n\r\n"
        b"Event: VarSet\r\nVariable: OTHER\r\nValue: 1\r\n\r\nResponse: Success\r\n\r\n"
    )
    assert [message.name for message in kept] == ["Keep", "VarSet", ""]
    assert decoder.unwanted == {b"Drop": 1, b"VarSet": 1}


def test_two_empty_lines_end_a_message_once() -> None:
    decoder = AmiDecoder()
    assert [m.name for m in decoder.feed(b"Event: A\r\n\r\n\r\nEvent: B\r\n\r\n")] == ["A", "B"]
    assert decoder.unparsable == 0


def test_rubbish_is_counted_and_what_follows_is_read() -> None:
    decoder = AmiDecoder()
    messages = decoder.feed(b"GET / HTTP/1.1\r\nHost: x\r\n\r\nEvent: A\r\nrubbish\r\nB: 1\r\n\r\n\r\n\r\n")
    assert [(message.name, message.get("B")) for message in messages] == [("A", "1")]
    assert decoder.unparsable == 2


def test_a_message_too_long_is_dropped_and_what_follows_is_read() -> None:
    decoder = AmiDecoder(longest=1000)
    for _ in range(50):
        assert decoder.feed(b"Event: X\r\nA: " + b"x" * 100) == []
        assert len(decoder._rest) <= 1100
    assert [m.name for m in decoder.feed(b"\r\n\r\nEvent: B\r\n\r\n")] == ["B"]
    assert decoder.unparsable == 1


def test_a_stream_that_ends_inside_a_message_counts_it() -> None:
    decoder = AmiDecoder()
    decoder.feed(b"Event: A\r\n\r\nEvent: B\r\nC")
    decoder.close()
    assert decoder.unparsable == 1


@pytest.mark.parametrize("value", ["a\rb", "a\nb", "a\0b", "half \ud83d"])
def test_what_could_forge_a_header_is_refused(value: str) -> None:
    with pytest.raises(UnsafeValue, match="Name"):
        refuse_unsafe("Name", value)


def test_a_fine_value_passes() -> None:
    assert refuse_unsafe("Name", "张三: ok") == "张三: ok"
