"""``ctiserver replay``: any input gives what can be known, exit status 0; a missing file is one sentence."""

from __future__ import annotations

import json
import lzma
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ctiserver.cli.replay import command
from ctiserver.errors import UserFault
from ctiserver.pbx.codec import AmiDecoder, AmiMessage

RECORDINGS = Path(__file__).parent.parent.parent / "protocol" / "recordings"
ANSWERED = RECORDINGS / "answered.ami"


def replay(*arguments: str, stdin: bytes = b"") -> Result:
    result = CliRunner().invoke(command, list(arguments), input=stdin, catch_exceptions=False)
    assert result.exit_code == 0
    return result


def calls(*arguments: str, stdin: bytes = b"") -> list[dict[str, object]]:
    return [json.loads(line) for line in replay(*arguments, "--json", stdin=stdin).stdout.splitlines()]


def as_events() -> list[dict[str, str]]:
    return [dict(message.items()) for message in AmiDecoder().feed(ANSWERED.read_bytes()) if message.name]


@pytest.fixture(scope="module")
def expected() -> list[dict[str, object]]:
    found = calls(str(ANSWERED))
    assert found[0]["answered_by"] == ["PJSIP/agent1"]
    return found


def test_from_a_file_and_from_standard_input(expected: list[dict[str, object]]) -> None:
    assert calls("-", stdin=ANSWERED.read_bytes()) == expected


def test_unpacks_xz(tmp_path: Path, expected: list[dict[str, object]]) -> None:
    packed = tmp_path / "answered.ami.xz"
    packed.write_bytes(lzma.compress(ANSWERED.read_bytes()))
    assert calls(str(packed)) == expected


def test_json_one_object_a_line(expected: list[dict[str, object]]) -> None:
    lines = "\n".join(json.dumps(event) for event in as_events())
    assert calls("-", stdin=lines.encode()) == expected


def test_json_one_array_with_any_layout(expected: list[dict[str, object]]) -> None:
    assert calls("-", stdin=b"\xef\xbb\xbf \n" + json.dumps(as_events(), indent=2).encode()) == expected


def test_json_with_rubbish_between(expected: list[dict[str, object]]) -> None:
    lines = [json.dumps(event) for event in as_events()]
    lines[5:5] = ["{broken", '"text"', "7", '{"no": "event"}']
    result = replay("-", "--json", stdin="\n".join(lines).encode())
    assert [json.loads(line) for line in result.stdout.splitlines()] == expected
    assert result.stderr == "unparsable parts: 4\n"


def test_json_that_ends_anywhere() -> None:
    text = json.dumps(as_events()).encode()
    for at in range(0, len(text), 5000):
        for call in calls("-", stdin=text[:at]):
            assert call["call_id"]


def test_lines_without_carriage_returns(expected: list[dict[str, object]]) -> None:
    assert calls("-", stdin=ANSWERED.read_bytes().replace(b"\r\n", b"\n")) == expected


@pytest.mark.parametrize("rubbish", [b"", b"\0" * 1000, b"\xff\xfe\r\n\r\n" * 10, b"[", b"{", b"[[[1, 2]]]", b"null"])
def test_rubbish_gives_no_call_and_no_traceback(rubbish: bytes) -> None:
    assert calls("-", stdin=rubbish) == []


def test_rubbish_is_counted_on_stderr() -> None:
    result = replay("-", "--json", stdin=b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + ANSWERED.read_bytes())
    assert result.stderr == "unparsable parts: 2\n"
    assert len(result.stdout.splitlines()) == 1


def test_what_breaks_our_code_is_counted_and_told_on_stderr(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(message: AmiMessage) -> None:
        raise RuntimeError("a bug of ours")

    monkeypatch.setattr("ctiserver.pbx.intake.translate", broken)
    result = replay("-", "--json", stdin=ANSWERED.read_bytes())
    assert result.stdout == ""
    assert "a bug of ours" in result.stderr
    assert "unparsable parts: " in result.stderr


def test_a_call_that_goes_on_is_shown_incomplete() -> None:
    data = ANSWERED.read_bytes()
    [call] = calls("-", stdin=data[: data.index(b"Event: HangupRequest")])
    assert call["complete"] is False
    assert call["ended_at"] is None
    assert call["outcome"] == "answered"
    assert call["hangup"] == {"cause": None, "by": None}


def test_the_pbxs_name_is_in_the_call_id(expected: list[dict[str, object]]) -> None:
    [call] = calls(str(ANSWERED), "--pbx", "north")
    assert call["pbx"] == "north"
    assert call["call_id"] != expected[0]["call_id"]


def test_trunks_can_be_told() -> None:
    [call] = calls(str(ANSWERED), "--trunk", "PJSIP/other")
    assert call["direction"] == "internal"


def test_table() -> None:
    shown = replay(str(RECORDINGS / "attended_transfer_refer.ami")).stdout
    assert "905550011" in shown
    assert "PJSIP/agent1 → PJSIP/agent3" in shown
    goes_on = replay("-", stdin=ANSWERED.read_bytes()[:20_000]).stdout
    assert "(goes on)" in goes_on


@pytest.mark.parametrize("name", ["missing.ami", "broken.ami.xz", "."])
def test_what_cannot_be_read_is_one_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / "broken.ami.xz").write_bytes(b"not xz")
    with pytest.raises(UserFault, match="can't be read"):
        CliRunner().invoke(command, [str(tmp_path / name)], catch_exceptions=False)
