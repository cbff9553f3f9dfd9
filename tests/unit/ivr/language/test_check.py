"""Every check code has a flow that earns it, with its place, and is documented."""

import re
from pathlib import Path

import pytest

from ctiserver.errors import FileFault
from ctiserver.ivr.language.check import check
from ctiserver.ivr.language.loader import load_flow
from tests.support.flows import ENDS, HEAD, NAMES, flow_of, problems_of, shipped_world

OK = '  start: {kind: menu, prompt: {en: a}, choices: {"1": good, "2": bad}, on: {exhausted: bad}}\n'
QUEUE = "on: {empty: good, full: bad}"
CODES = Path(__file__).parents[4] / "docs" / "reference" / "check-codes.md"

#: code → (nodes, top-level lines, what the message says)
CASES: list[tuple[str, str, str, str]] = [
    ("CF-010", OK.replace('"1": good', '"1": goof'), "", "did you mean 'good'?"),
    ("CF-010", OK, "on_error: nowhere\n", "on_error"),
    ("CF-011", OK + "  island: {kind: hangup, prompt: {en: b}}\n", "", "nothing leads to the node 'island'"),
    ("CF-012", OK.replace("on: {exhausted: bad}", "on: {noinput_max: bad}"), "", "'nomatch_max'"),
    ("CF-012", "  start: {kind: queue, queue: repair, on: {empty: good}}\n" + OK.replace("start", "x"), "", "'full'"),
    ("CF-013", OK.replace("exhausted: bad", "exhausted: bad, exausted: bad"), "", "did you mean 'exhausted'?"),
    ("CF-014", OK.replace("on: {ex", "next: good, on: {ex"), "", "next:"),
    (
        "CF-015",
        "  start: {kind: play, prompt: {en: a}, next: again}\n  again: {kind: play, prompt: {en: b}, next: start}\n",
        "",
        "again → start → again",
    ),
    ("CF-015", OK.replace("exhausted: bad", "exhausted: start"), "", "goes round for ever"),
    (
        "CF-016",
        OK + "  x: {kind: branch, when: [{if: \"=typed == '1'\", go: good}], else: bad}\n".replace("  x", "  y"),
        "vars: {typed: {type: text}}\nagent: y\n",
        "'typed' is read here",
    ),
    ("CF-017", OK.replace("{en: a}", "{zh-CN: 甲}"), "", "missing in en"),
    ("CF-018", OK.replace("{en: a}", "{en: a, fr: b}"), "", "'fr'"),
    ("CF-018", OK.replace('"1": good', '"1": {set: {language: fr}, go: good}'), "", "'fr' is not a language"),
    ("CF-019", f"  start: {{kind: queue, queue: repaire, {QUEUE}}}\n", "", "did you mean 'repair'?"),
    (
        "CF-019",
        "  start: {kind: branch, when: [{if: \"=queue('x').waiting > 1\", go: good}], else: bad}\n",
        "",
        "no queue 'x'",
    ),
    ("CF-020", "  start: {kind: hours, calendar: nine_to_five, on: {open: good, closed: bad}}\n", "", "no calendar"),
    ("CF-021", "  start: {kind: dial, to: {roster: x}, on: {bye: good, nobody: bad}}\n", "", "no roster 'x'"),
    ("CF-022", "  start: {kind: service_record, type: x, next: good, on: {error: bad}}\n", "", "no record type 'x'"),
    (
        "CF-023",
        "  start: {kind: service_record, type: repair, fields: {falt: a}, next: good, on: {error: bad}}\n",
        "",
        "did you mean 'fault'?",
    ),
    (
        "CF-030",
        '  start: {kind: branch, when: [{if: "=contact.open_record > 0", go: good}], else: bad}\n',
        "",
        "did you mean 'open_records'?",
    ),
    (
        "CF-031",
        '  start: {kind: branch, when: [{if: "=contact.open_records", go: good}], else: bad}\n',
        "",
        "a boolean is needed",
    ),
    (
        "CF-031",
        "  start: {kind: input, prompt: {en: a}, grammar: date, store: typed, on: {ok: good, exhausted: bad}}\n",
        "vars: {typed: {type: text}}\n",
        "is a date",
    ),
    ("CF-032", OK.replace('"1": good', '"1": {set: {typed: x}, go: good}'), "", "no variable 'typed'"),
    ("CF-040", "  start: {kind: hours, on: {open: good, closed: rude}}\n  rude: {kind: hangup}\n", "", "hung up on"),
    ("CF-050", OK, "on_hangup: start\n", "but the caller has hung up"),
    (
        "CF-053",
        "  start: {kind: input, sensitive: true, store: card, prompt: {en: a}, next: told, on: {exhausted: bad}}\n"
        "  told: {kind: event, event: keyed, data: {number: =card}, next: good, on: {error: bad}}\n",
        "vars: {card: {type: text}}\n",
        "'card' holds what a sensitive node stored, and this event would pass it on",
    ),
    ("CF-051", OK.replace("on: {ex", "cancel_key: '1', on: {ex"), "", "cancel_key"),
    ("CF-052", OK.replace('"2": bad', '"12": bad'), "", "waits 2 s"),
]


@pytest.mark.parametrize(("code", "nodes", "top", "says"), CASES)
def test_each_rule(code: str, nodes: str, top: str, says: str) -> None:
    used = "".join(
        line for line in ENDS.splitlines(keepends=True) if re.search(rf"\b{line.split(':')[0].strip()}\b", nodes)
    )
    found = problems_of(nodes, top=top, ends=ENDS if code == "CF-010" else used)
    fitting = [problem for problem in found if problem.code == code and says in f"{problem.message} ({problem.fix})"]
    assert fitting, found
    assert all(problem.place.line > 1 for problem in fitting)


def test_what_is_right_has_no_problem() -> None:
    assert problems_of(OK, ends=ENDS) == []


def test_a_long_way_is_a_warning_with_the_way() -> None:
    menus = "".join(
        f'  m{n}: {{kind: menu, prompt: {{en: {"long " * 80}}}, choices: {{"1": m{n + 1}}}, on: {{exhausted: bad}}}}\n'
        for n in range(5)
    )
    found = problems_of(
        f"{menus}  m5: {{kind: hangup, prompt: {{en: b}}}}\n",
        ends="  bad: {kind: hangup, prompt: {en: b}}\n",
        start="m0",
    )
    assert [(problem.code, problem.warning) for problem in found] == [("CF-041", True)]
    assert "m0 → m1 → m2" in found[0].message


@pytest.mark.parametrize(
    ("wrong", "code", "says"),
    [
        (OK.replace("kind: menu", "kind: manu"), "CF-004", "did you mean 'menu'?"),
        (OK.replace("choices", "choises"), "CF-001", "did you mean 'choices'?"),
        (OK.replace('"1": good', "1: good"), "YA-009", '"1"'),
        (OK.replace("choices: {", "choices: {22:00: x, "), "YA-009", '"22:00"'),
        (OK.replace("kind: menu", "kind：menu"), "YA-005", "write ':'"),
        (OK.replace("{en: a}", "{en: a, b and c}"), "YA-011", "on a line of its own"),
        (OK.replace('"2": bad', '"1": bad'), "YA-010", "appears twice"),
        (OK.replace("{en: a}", '{en: "{{ contact. }}"}'), "CF-006", "after the dot"),
        (OK.replace('"1": good', '"1x": good'), "CF-006", "not keys of a telephone"),
        (OK.replace("on: {ex", "initial_timeout: 5, on: {ex"), "CF-006", "5s"),
    ],
)
def test_what_is_no_flow_says_where_and_what_to_write(wrong: str, code: str, says: str) -> None:
    with pytest.raises(FileFault) as caught:
        flow_of(wrong)
    found = [problem for problem in caught.value.problems if problem.code == code]
    assert found, caught.value.problems
    assert any(says in f"{problem.message} {problem.fix}" for problem in found), found
    assert found[0].place.line > 5


def test_a_version_that_yaml_would_cut_is_refused() -> None:
    with pytest.raises(FileFault, match=r'"1\.10"'):
        load_flow(f"{HEAD.replace(chr(34) + '1' + chr(34), '1.10')}start: good\nnodes:\n{ENDS}", file="x")


def test_every_code_is_documented_with_cause_example_and_fix() -> None:
    text = CODES.read_text(encoding="utf-8")
    source = (Path(__file__).parents[4] / "ctiserver" / "ivr" / "language" / "check.py").read_text(encoding="utf-8")
    used = set(re.findall(r'"(CF-\d{3})"', source)) | {code for code, *_ in CASES} | {"CF-007", "CF-061"}
    for code in sorted(used):
        section = re.search(rf"^## {code}\b.*?(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
        assert section is not None, f"{code} is not in check-codes.md"
        assert "```yaml" in section[0], code
        assert "**Fix:**" in section[0], code
    assert set(re.findall(r"^## (CF-\d{3})", text, re.MULTILINE)) >= used


def test_shipped_flows_are_right() -> None:
    _, names = shipped_world()
    for path in sorted((Path(__file__).parents[4] / "ivr_flows").glob("*.flow.yaml")):
        assert check(load_flow(path), names) == [], path


def test_a_thousand_nodes_are_checked_in_seconds() -> None:
    """The bench measures it (half a second); here it must not become quadratic."""
    import time

    nodes = "".join(
        f'  n{i}: {{kind: menu, prompt: {{en: a}}, choices: {{"1": n{i + 1}, "2": good}}, on: {{exhausted: bad}}}}\n'
        for i in range(1000)
    )
    flow = flow_of(nodes.replace("n1000", "good"), start="n0")
    began = time.process_time()
    check(flow, NAMES)
    assert time.process_time() - began < 3.0
