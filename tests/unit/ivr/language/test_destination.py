"""The queue ahead of each node, as far as the flow's graph tells it."""

import pytest

from ctiserver.ivr.language.library import flow_files
from ctiserver.ivr.language.loader import Flow, load_flow
from ctiserver.resources import shipped
from tests.support.flows import flow_of

REPAIR = "  repair: {kind: queue, queue: repair, on: {empty: good, full: good}}\n"
OPERATORS = "  operators: {kind: queue, queue: operators, on: {empty: good, full: good}}\n"
MESSAGE = "  message: {kind: voicemail, prompt: {en: speak}, next: good, on: {error: bad}}\n"
QUEUES = REPAIR + OPERATORS + MESSAGE


def ahead(start: str) -> str | None:
    """The queue ahead of the node ``start``, which is written so; beside it stand two queues, a message and two ends."""
    return flow_of(f"  start: {start}\n{QUEUES}").queues_ahead.get("start")


def menu(choices: str, exhausted: str) -> str:
    return f"{{kind: menu, prompt: {{en: a}}, choices: {{{choices}}}, on: {{exhausted: {exhausted}}}}}"


@pytest.mark.parametrize(
    ("start", "queue"),
    [
        ("{kind: play, prompt: {en: a}, next: repair}", "repair"),
        ("{kind: play, prompt: {en: a}, next: good}", None),
        (menu('"1": repair, "2": operators', "operators"), None),
        (menu('"1": repair, "2": repair, "*": start', "repair"), "repair"),
        # Silence in a menu may be an answer, and a message is another place to go to than a queue.
        (menu('"1": repair', "operators"), None),
        (menu('"1": repair, "2": message', "repair"), None),
        # Nobody waits where the call ends.
        (menu('"1": repair, "2": good', "bad"), "repair"),
        (menu('"1": good, "2": bad', "bad"), None),
        # What failed is no way that was meant.
        ("{kind: service_record, type: repair, next: repair, on: {error: operators}}", "repair"),
        ("{kind: input, prompt: {en: a}, on: {ok: repair, exhausted: operators}}", "repair"),
        ("{kind: survey, prompt: {en: a}, on: {ok: repair, exhausted: operators}}", "repair"),
        ("{kind: survey, prompt: {en: a}, low: 2, on: {ok: repair, low: operators, exhausted: repair}}", None),
        ('{kind: confirm, prompt: {en: a}, on: {"yes": repair, "no": good, exhausted: bad}}', "repair"),
        ('{kind: confirm, prompt: {en: a}, on: {"yes": repair, "no": good, exhausted: operators}}', None),
        ("{kind: lookup, find: device, by: {serial: a}, on: {found: repair, several: repair, none: repair}}", "repair"),
        ("{kind: lookup, find: device, by: {serial: a}, on: {found: repair, several: repair, none: operators}}", None),
        ("{kind: hours, on: {open: repair, closed: message}}", None),
        ("{kind: hours, on: {open: repair, closed: bad}}", "repair"),
        ('{kind: branch, when: [{if: "=call.blocked", go: bad}], else: repair}', "repair"),
        # What becomes of somebody whom the dialled person does not take.
        ("{kind: dial, to: {person: a}, on: {bye: operators, nobody: repair}}", "repair"),
        ("{kind: dial, to: {person: a}, on: {bye: good, nobody: repair, caller_hung_up: operators}}", "repair"),
        ("{kind: dial, to: {person: a}, on: {bye: good, nobody: message}}", None),
        ("{kind: dial, to: {person: a}, on: {bye: good, nobody: bad}}", None),
        ("{kind: callback, queue: repair, next: good, on: {error: operators}}", None),
        ("{kind: transfer, extension: '100'}", None),
        ("{kind: queue, queue: repair, on: {empty: operators, full: operators}}", "repair"),
    ],
)
def test_the_queue_ahead_is_the_one_of_every_normal_way(start: str, queue: str | None) -> None:
    assert ahead(start) == queue


def test_a_person_who_may_be_dialled_instead_is_another_place_to_go_to() -> None:
    start = menu('"1": person, "2": repair', "bad")
    person = "  person: {kind: dial, to: {person: a}, on: {bye: good, nobody: bad}}\n"
    assert "start" not in flow_of(f"  start: {start}\n{person}{QUEUES}").queues_ahead


@pytest.mark.parametrize(
    ("start", "queue"),
    [
        ("{kind: play, prompt: {en: a}, next: repair}", "repair"),
        (menu('"1": repair, "2": good', "repair"), None),
        (menu('"1": repair', "repair"), "repair"),
        ("{kind: hours, on: {open: repair, closed: bad}}", None),
    ],
)
def test_who_was_served_is_on_the_way_to_a_queue_only_where_they_can_t_as_well_hang_up(
    start: str, queue: str | None
) -> None:
    assert flow_of(f"  start: {start}\n{QUEUES}").queues_wanted.get("start") == queue


def test_what_leads_round_knows_the_queue_behind_it() -> None:
    asks = menu('"1": repair, "2": start', "start")
    nodes = f"  start: {{kind: play, prompt: {{en: a}}, next: asks}}\n  asks: {asks}\n"
    known = flow_of(nodes + QUEUES).queues_ahead
    assert (known["start"], known["asks"]) == ("repair", "repair")


def test_what_leads_round_for_ever_or_to_a_node_that_is_not_there_knows_none() -> None:
    nodes = "  start: {kind: play, prompt: {en: a}, next: again}\n  again: {kind: play, prompt: {en: b}, next: start}\n"
    assert flow_of(nodes).queues_ahead == {}
    assert flow_of("  start: {kind: play, prompt: {en: a}, next: nowhere}\n").queues_ahead == {}


@pytest.mark.parametrize(
    "flow", [load_flow(path) for path in flow_files(shipped("ivr_flows"))], ids=lambda flow: flow.name
)
def test_a_queue_is_ahead_of_itself_in_each_shipped_flow(flow: Flow) -> None:
    own = {name: node.queue for name, node in flow.nodes.items() if node.kind == "queue"}
    assert own.items() <= flow.queues_ahead.items()


def test_the_front_desk_knows_it_from_the_choice_on_and_not_before() -> None:
    (flow,) = [flow for path in flow_files(shipped("ivr_flows")) if (flow := load_flow(path)).name == "front_desk"]
    known = {name for name in flow.queues_ahead if flow.nodes[name].kind != "queue"}
    assert known == {"open_repair", "repair_greeting"}
