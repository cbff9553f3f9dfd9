"""The console's words: the same keys in every language, every key used, every used key there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from ctiserver.features.dispatch.assigning import How
from ctiserver.features.users.service import LANGUAGES
from ctiserver.model.agent import AgentState
from ctiserver.model.audit import ACTS
from ctiserver.model.calls.missed import MISSED_STATES
from ctiserver.model.calls.recording import RecordingState
from ctiserver.model.events import CallOutcome, QueueOutcome
from ctiserver.model.message import MESSAGE_STATES, Via
from ctiserver.model.person import ROLES
from ctiserver.model.set_aside import SET_ASIDE_KINDS
from ctiserver.model.work.assignment import Against
from ctiserver.model.work.chain import BreakKind, LinkKind
from ctiserver.model.work.stock import MOVE_KINDS
from ctiserver.model.work.work_order import ORDER_KINDS, OrderState
from ctiserver.pbx.trouble import TROUBLE_KINDS
from ctiserver.resources import package_file
from ctiserver.web import problems

STATIC = package_file("web", "static")
_ENTRY = re.compile(r'^  "([^"]+)": "((?:[^"\\]|\\.)*)",$', re.MULTILINE)


def catalogue(language: str) -> dict[str, str]:
    text = (STATIC / "words" / f"{language}.js").read_text()
    entries = _ENTRY.findall(text)
    lines = [line for line in text.splitlines()[1:-1] if line.strip()]
    assert len(entries) == len(lines), "each line is one entry"
    assert len({key for key, _ in entries}) == len(entries), "a key stands twice"
    return dict(entries)


def sources() -> str:
    return "\n".join(path.read_text() for path in STATIC.rglob("*.js") if path.parent.name not in ("words", "vendor"))


def test_every_language_has_the_same_keys_and_places() -> None:
    first, *rest = (catalogue(language) for language in LANGUAGES)
    for other in rest:
        assert set(first) == set(other)
        for key, text in first.items():
            assert set(re.findall(r"{\w+}", text)) == set(re.findall(r"{\w+}", other[key])), key
    assert {path.stem for path in (STATIC / "words").glob("*.js")} == set(LANGUAGES)


def test_chinese_is_chinese_and_english_is_not() -> None:
    han = re.compile(r"[\u4e00-\u9fff]")
    same = {"app.name", "app.zh-CN", "app.en", "tasks.comma"}
    assert [key for key, text in catalogue("zh-CN").items() if not han.search(text) and key not in same] == []
    assert [key for key, text in catalogue("en").items() if han.search(text) and key not in same] == []


def _used() -> tuple[set[str], set[str]]:
    """Keys that the pages name, and the prefixes of those that they build."""
    code = re.sub(r"`fields\.\$", "", sources())  # a name of the draft's, no word
    named = set(re.findall(r'"([a-z_]+\.[\w.-]*)"', code))
    built = set(re.findall(r"`([a-z_.]+)\.\$\{", code)) | set(re.findall(r'\bword\("([a-z_.]+)"', code))
    return named, built


def test_every_word_that_the_pages_use_is_there() -> None:
    known = catalogue("en")
    called = set(re.findall(r'\bt\(\s*"([^"]+)"', sources()))
    assert called - set(known) == set()
    _, built = _used()
    assert {prefix for prefix in built if not any(key.startswith(f"{prefix}.") for key in known)} == set()


#: What the server says, which the pages look up.
SAID_BY_SERVER = {
    "no_record",
    "pop_reason",
    "state",
    "order",
    "order_state",
    "call_outcome",
    "timeline",
    "outcome",
    "fault",
    "save",
    "chain",
    "chain_break",
    "goods",
    "phone.fault",
    "phone.refused",
    "phone.doing",
    "via",
    "message_state",
    "recording_state",
    "resolution",
    "role",
    "visit_outcome",
    "pause_reason",
    "missed_state",
    "audit_act",
    "aside_kind",
    "aside_tried",
    "callback_reason",
    "field_fault",
    "assigned",
    "considered",
    "pbx_trouble",
}


def test_every_word_is_used() -> None:
    named, built = _used()
    quoted = set(re.findall(r'"([\w-]*)"', sources())) | set(re.findall(r"^\s+(\w+):", sources(), re.MULTILINE))
    unused = []
    for key in catalogue("en"):
        prefix, _, rest = key.rpartition(".")
        if key not in named and not (prefix in built and (prefix in SAID_BY_SERVER or rest in quoted)):
            unused.append(key)
    assert unused == []


@pytest.mark.parametrize(
    ("prefix", "values"),
    [
        ("state", get_args(AgentState)),
        ("order", ORDER_KINDS),
        ("order_state", get_args(OrderState)),
        ("call_outcome", get_args(CallOutcome)),
        ("chain", get_args(LinkKind)),
        ("chain_break", get_args(BreakKind)),
        ("role", ROLES),
        ("goods", MOVE_KINDS),
        ("message_state", MESSAGE_STATES),
        ("via", get_args(Via)),
        ("recording_state", get_args(RecordingState)),
        ("visit_outcome", get_args(QueueOutcome)),
        ("audit_act", ACTS),
        ("aside_kind", SET_ASIDE_KINDS),
        ("missed_state", MISSED_STATES),
        ("assigned", get_args(How)),
        ("considered", get_args(Against)),
        ("pbx_trouble", TROUBLE_KINDS),
    ],
)
def test_every_word_that_the_server_says_has_a_text(prefix: str, values: tuple[str, ...]) -> None:
    known = catalogue("en")
    assert [value for value in values if f"{prefix}.{value}" not in known] == []


def test_every_refusal_of_the_server_has_a_text_or_speaks_for_itself() -> None:
    # These carry a sentence that says what is wrong with what was sent; a general text would say less.
    speak = {"bad_request", "invalid"}
    codes = {kind.code for kind in [problems.Refusal, *problems.Refusal.__subclasses__()]}
    # What only the phone can be refused has its text there.
    known = {key.rpartition(".")[2] for key in catalogue("en") if key.startswith(("fault.", "phone.fault."))}
    assert codes - speak - known == set()


def test_no_page_says_a_word_of_its_own() -> None:
    """Texts between tags come from the catalogue."""
    offenders = []
    for path in [*Path(STATIC / "pages").glob("*.js"), *Path(STATIC / "parts").glob("*.js")]:
        for text in re.findall(
            r">\s*([A-Za-z\u4e00-\u9fff][^<>${}`]*)<", re.sub(r"<kbd.*?</kbd>", "", path.read_text())
        ):
            offenders.append(f"{path.name}: {text.strip()}")
    assert offenders == []
