"""The check refuses whatever could strand a record, and says where."""

import re
from pathlib import Path

import pytest

from ctiserver.errors import FileFault
from ctiserver.features.dispatch.definitions import load_definitions, revived
from ctiserver.model.process import check as process_check
from ctiserver.strict_yaml import load

GOOD = """\
schema: process/1
process: p
version: 1
for: {type: repair}
start: visit
steps:
  visit:
    order: dispatch
    to: {role: technician}
    complete_within: 1 day
    on:
      done: close
      not_home: {go: visit, max: 2, then: dispatcher}
      late: {escalate: supervisor, stay: true}
  close: {close: resolved}
"""


def problems(text: str) -> list[str]:
    document = load(text, file="p.yaml")
    try:
        process_check.read(document, calendars=("desk",), record_types=("repair",))
    except FileFault as fault:
        return [f"{problem.place} {problem.code}" for problem in fault.problems]
    return []


def test_a_good_definition_passes() -> None:
    assert problems(GOOD) == []


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("order: dispatch", "order: dipatch", "p.yaml:8:12 PF-004"),
        ("to: {role: technician}", "to: {role: technician, skill: x}", "p.yaml:9:28 PF-001"),
        ("complete_within: 1 day", "complete_within: 1", "p.yaml:10:22 PF-006"),
        ("complete_within: 1 day", "complete_within: soon", "p.yaml:10:22 PF-006"),
        ("start: visit", "start: vist", "p.yaml:5:8 PF-010"),
        ("for: {type: repair}", "for: {type: repiar}", "p.yaml:4:13 PF-011"),
        ("version: 1", "version: 1\ncalendar: dsk", "p.yaml:4:11 PF-012"),
        ("not_home:", "won:", "p.yaml:13:7 PF-013"),
        ("      done: close\n", "", "p.yaml:7:3 PF-014"),
        ("      late: {escalate: supervisor, stay: true}\n", "", "p.yaml:7:3 PF-014"),
        ("    complete_within: 1 day\n", "", "p.yaml:7:3 PF-015"),
        ("complete_within: 1 day", "complete_within: 1 working hours", "p.yaml:10:22 PF-017"),
        ("{role: technician}", '{role: technician, skills: "=record.prodct"}', "p.yaml:9:36 PF-018"),
        ("{go: visit, max: 2, then: dispatcher}", "{notify: owner}", "p.yaml:13:17 PF-019"),
        ("{escalate: supervisor, stay: true}", "{stay: true}", "p.yaml:14:13 PF-020"),
        ("{go: visit, max: 2, then: dispatcher}", "{go: visit, max: 2}", "p.yaml:13:17 PF-021"),
        ("then: dispatcher", "then: dispacher", "p.yaml:13:43 PF-010"),
        ("max: 2, then", "redo: [x], max: 2, then", "p.yaml:13:36 PF-022"),
        ("{close: resolved}", "{close: resolved, notify: nobdy}", "p.yaml:15:36 PF-023"),
        ("  close: {close: resolved}", "  close: {close: resolved}\n  spare: {close: x}", "p.yaml:16:3 PF-024"),
        ("done: close", "done: {go: visit, max: 2, then: dispatcher}", "p.yaml:7:3 PF-025"),
        ("{go: visit, max: 2, then: dispatcher}", "visit", "p.yaml:13:17 PF-026"),
    ],
)
def test_what_could_strand_a_record_is_refused(old: str, new: str, found: str) -> None:
    assert old in GOOD
    assert found in problems(GOOD.replace(old, new, 1))


def test_two_orders_with_one_name_are_refused() -> None:
    twice = GOOD.replace(
        "  close: {close",
        """\
  both:
    all:
      visit: {order: parts, to: {role: storekeeper}, complete_within: 1 day}
    on: {done: close, late: {escalate: supervisor, stay: true}}
  close: {close""",
    ).replace("done: close\n      not", "done: both\n      not")
    assert problems(twice) == ["p.yaml:17:7 PF-027"]


def test_the_shipped_definitions_pass_and_come_back_from_their_copies(tmp_path: Path) -> None:
    found = load_definitions(tmp_path, calendars=("service_desk",), record_types=("repair",))
    assert set(found) == {"repair", "callback"}  # the others are for records that this site does not have
    everything = ("repair", "complaint", "installation")
    found = load_definitions(tmp_path, calendars=("service_desk",), record_types=everything, flows=("satisfaction",))
    assert set(found) == {*everything, "callback"}
    assert [call for one in found.values() for _, call in process_check.calls(one.file)] == ["satisfaction"] * 2
    for definition in found.values():
        assert revived(definition.data) == definition.file


def test_every_problem_of_every_file_is_told_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "processes"
    folder.mkdir()
    (folder / "a.yaml").write_text(GOOD.replace("start: visit", "start: x"))
    (folder / "b.yaml").write_text(GOOD.replace("type: repair", "type: x"))
    (folder / "c.yaml").write_text(GOOD)
    (folder / "d.yaml").write_text(GOOD)
    with pytest.raises(FileFault) as raised:
        load_definitions(tmp_path, calendars=(), record_types=("repair",))
    assert {(Path(p.place.file).name, p.code) for p in raised.value.problems} >= {
        ("a.yaml", "PF-010"),
        ("b.yaml", "PF-011"),
        ("d.yaml", "PF-028"),
    }


def test_the_references_example_passes() -> None:
    page = (Path(__file__).parents[4] / "docs/reference/processes.md").read_text()
    example = re.search(r"```yaml\n(schema: process/1.*?)```", page, re.DOTALL)
    assert example is not None
    assert problems(example[1].replace("calendar: service_desk", "calendar: desk")) == []


def test_a_shipped_process_is_done_by_people_where_its_flow_is_not_there(tmp_path: Path) -> None:
    found = load_definitions(tmp_path, calendars=("service_desk",), record_types=("repair",), flows=("own",))
    repair = found["repair"]
    assert list(process_check.calls(repair.file)) == []
    assert [way.person for way in repair.file.steps["follow_up"].by] == ["owner"]
    assert revived(repair.data) == repair.file
    (tmp_path / "processes").mkdir()
    (tmp_path / "processes" / "p.yaml").write_text(CALLED)  # the site's own says what it means
    with pytest.raises(FileFault, match="PF-032"):
        load_definitions(tmp_path, calendars=("desk",), record_types=("repair",), flows=("own",))


CALLED = GOOD.replace(
    "  close: {close: resolved}",
    """\
  ask:
    order: follow_up
    by: [{call: satisfaction}, {person: owner}]
    within: {calendar: desk}
    on: {satisfied: close, dissatisfied: close, unreachable: close}
  close: {close: resolved}""",
).replace("done: close", "done: ask")


def test_a_follow_up_may_be_a_call() -> None:
    assert problems(CALLED) == []


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("order: follow_up", "order: follow_up\n    to: {role: agent}", "p.yaml:16:5 PF-006"),
        ("    by: [{call: satisfaction}, {person: owner}]\n", "", "p.yaml:16:5 PF-006"),
        ("{person: owner}", "{person: ownr}", "p.yaml:17:41 PF-023"),
        ("    within: {calendar: desk}\n", "", "p.yaml:17:5 PF-030"),
        ("{calendar: desk}", "{calendar: dsk}", "p.yaml:18:24 PF-012"),
        ("{calendar: desk}", "{calendar: desk}\n    open: desk", "p.yaml:19:5 PF-031"),
        ("{calendar: desk}", "{calendar: desk}\n    window: 2h", "p.yaml:19:5 PF-029"),
        ("{calendar: desk}", '{calendar: desk}\n    at: "=nothing.window"', "p.yaml:19:9 PF-018"),
        ("{calendar: desk}", '{calendar: desk}\n    at: "=visit.window"\n    after: 1 day', "p.yaml:20:5 PF-031"),
    ],
)
def test_what_a_call_needs(old: str, new: str, found: str) -> None:
    assert old in CALLED
    assert found in problems(CALLED.replace(old, new, 1))


def test_a_flow_that_customers_are_called_with_must_be_there() -> None:
    def read(flows: tuple[str, ...]) -> None:
        process_check.read(load(CALLED, file="p.yaml"), calendars=("desk",), record_types=("repair",), flows=flows)

    read(("satisfaction",))
    with pytest.raises(FileFault, match=r"p\.yaml:17:17: error PF-032"):
        read(("satisfation",))


ROOT = Path(__file__).parents[4]
CODES = (ROOT / "docs/reference/process-codes.md").read_text(encoding="utf-8")
#: What each code is raised for, as the reference has it: what stands in GOOD, or else in CALLED, and what instead of it.
#: PF-028 is about two files; see test_every_problem_of_every_file_is_told_at_once.
EXAMPLES = {
    "PF-001": ("to: {role: technician}", "to: {role: technician, skill: boilers}"),
    "PF-002": ("to: {role: technician}", "to: {skills: boilers}"),
    "PF-003": ("not_home: {go: visit, max: 2,", "not_home: {go: visit, max: twice,"),
    "PF-004": ("order: dispatch", "order: dipatch"),
    "PF-005": ("for: {type: repair}", "for: {type: 12}"),
    "PF-006": ("complete_within: 1 day", "complete_within: soon"),
    "PF-010": ("start: visit", "start: vist"),
    "PF-011": ("for: {type: repair}", "for: {type: repiar}"),
    "PF-012": ("start: visit", "calendar: dsk\nstart: visit"),
    "PF-013": ("not_home: {go: visit,", "won: {go: visit,"),
    "PF-014": ("on:\n      done: close\n", "on:\n"),
    "PF-015": ("    complete_within: 1 day\n", ""),
    "PF-016": ("    within: {calendar: desk}\n", "    within: {calendar: desk}\n    remind: [50%]\n"),
    "PF-017": ("complete_within: 1 day", "complete_within: 1 working hours"),
    "PF-018": ("to: {role: technician}", 'to: {role: technician, skills: "=record.prodct"}'),
    "PF-019": ("not_home: {go: visit, max: 2, then: dispatcher}", "not_home: {notify: owner}"),
    "PF-020": ("late: {escalate: supervisor, stay: true}", "late: {stay: true}"),
    "PF-021": ("{go: visit, max: 2, then: dispatcher}", "{go: visit, max: 2}"),
    "PF-022": ("{go: visit, max: 2, then: dispatcher}", "{go: visit, redo: [x], max: 2, then: dispatcher}"),
    "PF-023": ("close: {close: resolved}", "close: {close: resolved, notify: nobdy}"),
    "PF-024": ("  close: {close: resolved}", "  close: {close: resolved}\n  spare: {close: resolved}"),
    "PF-025": ("done: close", "done: {go: visit, max: 2, then: dispatcher}"),
    "PF-026": ("not_home: {go: visit, max: 2, then: dispatcher}", "not_home: visit"),
    "PF-027": (
        "  close: {close: resolved}",
        "  close: {close: resolved}\n  both:\n    all:\n"
        "      visit: {order: parts, to: {role: storekeeper}, complete_within: 1 day}\n    on: {done: close, late: close}",
    ),
    "PF-029": ("    complete_within: 1 day\n", "    complete_within: 1 day\n    window: 2h\n"),
    "PF-030": ("    within: {calendar: desk}\n", ""),
    "PF-031": ("    within: {calendar: desk}\n", "    within: {calendar: desk}\n    open: desk\n"),
    "PF-032": ("by: [{call: satisfaction}, {person: owner}]", "by: [{call: satisfation}, {person: owner}]"),
    "PF-033": (
        "    within: {calendar: desk}\n",
        "    within: {calendar: desk}\n    checklist: {greeted: {required: true}}\n",
    ),
    "PF-034": ("unreachable: close", "unreachable: {stay: true}"),
}


@pytest.mark.parametrize("code", EXAMPLES)
def test_a_code_is_documented_with_what_raises_it_and_a_fix(code: str) -> None:
    section = re.search(rf"^## {code} .*?(?=^## |\Z)", CODES, re.MULTILINE | re.DOTALL)
    assert section is not None, f"{code} is not in process-codes.md"
    assert "**Fix:**" in section[0]
    example = re.search(r"```yaml\n(.*?)```", section[0], re.DOTALL)
    assert example is not None
    old, new = EXAMPLES[code]
    text = GOOD if old in GOOD else CALLED
    with pytest.raises(FileFault) as fault:
        process_check.read(
            load(text.replace(old, new, 1), file="p.yaml"),
            calendars=("desk",),
            record_types=("repair",),
            flows=("satisfaction",),
        )
    assert code in {problem.code for problem in fault.value.problems}
    changed = text.replace(old, new, 1)
    lines = [line.strip() for line in example[1].splitlines()]
    assert all(line in changed for line in lines), f"the example of {code} is not what is tested"
    assert any(line not in text for line in lines) or len(new) < len(old), f"the example of {code} is right"


def test_a_role_that_nobody_has_is_a_warning_with_its_place() -> None:
    document = load(CALLED.replace("{person: owner}", "{person: cashier}"), file="p.yaml")
    definition = process_check.read(document, calendars=("desk",), record_types=("repair",))
    found = list(process_check.vacant(document, definition, ("agent",)))
    assert [(str(problem.place), problem.code, problem.warning) for problem in found] == [
        ("p.yaml:9:16", "PF-035", True),
        ("p.yaml:17:41", "PF-035", True),
    ]
    assert list(process_check.vacant(document, definition, ("technician", "cashier"))) == []


def test_every_code_is_documented_and_no_other() -> None:
    documented = set(re.findall(r"^## (PF-\d\d\d) ", CODES, re.MULTILINE))
    sources = ("ctiserver/model/process/check.py", "ctiserver/features/dispatch/definitions.py")
    used = {code for source in sources for code in re.findall(r'"(PF-\d\d\d)"', (ROOT / source).read_text())}
    assert documented == used | {f"PF-00{number}" for number in range(1, 7)} == {*EXAMPLES, "PF-028", "PF-035"}


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        # A way of no end may also lead through what comes after a bound.
        ("then: dispatcher}", "then: again}\n  again:\n    order: parts\n    to: {role: storekeeper}\n"
         "    complete_within: 1 day\n    on: {done: visit, late: {escalate: supervisor, stay: true}}", "PF-026"),
        # Nobody is a machine, so nobody would see the order, or be told.
        ("to: {role: technician}", "to: {role: machine}", "PF-023"),
        ("escalate: supervisor", "escalate: machine", "PF-023"),
        # Offered to the same person again, who does not take it again.
        ("not_home: {go: visit, max: 2, then: dispatcher}", "declined: {stay: true}", "PF-034"),
        ("complete_within: 1 day", "complete_within: 1 day\n    accept_within: 1 hour", "PF-014"),
    ],
)  # fmt: skip
def test_what_the_clock_alone_could_keep_going_is_refused(old: str, new: str, found: str) -> None:
    text = GOOD.replace(old, new, 1)
    if found == "PF-026":  # the new step goes behind the outcomes
        before, after = text.split("  again:\n")
        again, rest = after.split("      late: ", 1)
        text = f"{before}      late: {rest.rstrip()}\n  again:\n{again}"
    assert found in {problem.split()[1] for problem in problems(text)}, problems(text)
