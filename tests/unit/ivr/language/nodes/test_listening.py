"""Input: one engine for menu, input and confirm. The nine corner cases of the reference carry their number."""

import pytest

from ctiserver.errors import FileFault
from ctiserver.ivr.language.loader import Flow
from ctiserver.ivr.language.requests import Finish, HandedBack, Heard, Listen, Speak
from tests.support.flows import call, flow_of, heard_slots, outcomes, press

PROMPT = "prompt: {en: Key something in.}"


def menu(extra: str = "", choices: str = '{"1": good, "2": bad}') -> Flow:
    return flow_of(f"  start: {{kind: menu, {PROMPT}, choices: {choices}, on: {{exhausted: bad}}{extra}}}\n")


def digits(extra: str = "", on: str = "{ok: good, exhausted: bad}") -> Flow:
    nodes = f"  start: {{kind: input, {PROMPT}, store: typed, on: {on}{extra}}}\n"
    return flow_of(nodes, top="vars: {typed: {type: text}}\n")


def test_1_a_unique_match_returns_at_once() -> None:
    simulation = press(call(menu()), "1")
    assert outcomes(simulation) == ["start 1"]
    simulation = press(call(digits(", min_digits: 4, max_digits: 4")), "1234")
    assert simulation.state.variables["typed"] == "1234"


def test_2_one_beside_twelve_waits_and_then_takes_one() -> None:
    flow = menu(choices='{"1": good, "12": bad}')
    simulation = press(call(flow), "1")
    assert simulation.request == Listen(2.0)  # inter_digit_timeout, since 12 is still possible
    assert outcomes(press(simulation, "-")) == ["start 1"]
    assert outcomes(press(call(flow), "12")) == ["start 12"]


def test_2_where_nothing_longer_is_possible_nobody_waits() -> None:
    simulation = press(call(menu(choices='{"1": good, "12": bad, "3": bad}')), "3")
    assert outcomes(simulation) == ["start 3"]


def test_3_the_terminator_alone_is_a_nomatch_unless_empty_is_allowed() -> None:
    assert heard_slots(call(digits()), "#") == ["prompt", "nomatch"]
    simulation = press(call(digits(", allow_empty: true")), "#")
    assert outcomes(simulation) == ["start ok"]
    assert simulation.state.variables["typed"] == ""


@pytest.mark.parametrize(("keys", "ends"), [("12-", "nomatch"), ("123-", "ok"), ("1234-", "ok")])
def test_4_a_time_out_with_some_digits_counts_from_min_digits_on(keys: str, ends: str) -> None:
    simulation = press(call(digits(", min_digits: 3, max_digits: 6")), keys)
    if ends == "ok":
        assert simulation.state.variables["typed"] == keys[:-1]
    else:
        assert isinstance(simulation.request, Speak)
        assert simulation.request.slot == "nomatch"


def test_5_keys_during_a_prompt_without_barge_in_are_kept() -> None:
    simulation = call(digits(", barge_in: none, min_digits: 2, max_digits: 2"))
    assert isinstance(simulation.request, Speak)
    assert not simulation.request.barge_in
    simulation.heard("42")
    assert simulation.state.variables["typed"] == "42"


def test_5_unless_flush() -> None:
    simulation = call(digits(", barge_in: none, flush: true, min_digits: 2, max_digits: 2"))
    simulation.heard("42")
    assert simulation.request == Listen(5.0)
    assert press(simulation, "17").state.variables["typed"] == "17"


def test_5_type_ahead_skips_the_next_prompt_and_flush_does_not() -> None:
    for flush, plays in (("", False), (", flush: true", True)):
        first = '  start: {kind: menu, prompt: {en: a}, choices: {"1": second}, on: {exhausted: bad}}\n'
        second = f'  second: {{kind: menu, prompt: {{en: b}}, choices: {{"2": good}}, on: {{exhausted: bad}}{flush}}}\n'
        simulation = call(flow_of(first + second, ends="  good: {kind: hangup}\n  bad: {kind: hangup}\n"))
        simulation.answer(Heard("12"), 0.2)
        assert isinstance(simulation.request, Speak) is plays


def test_6_counters_belong_to_one_visit() -> None:
    nodes = (
        f'  start: {{kind: menu, {PROMPT}, choices: {{"1": again, "9": good}}, on: {{exhausted: bad}}}}\n'
        "  again: {kind: play, prompt: {en: once more}, next: start}\n"
    )
    simulation = press(call(flow_of(nodes)), "5")  # a first nomatch
    press(simulation, "1")  # on to another node, and back
    press(simulation, "5")  # again a first one
    assert isinstance(simulation.request, Speak)
    assert simulation.request.slot == "nomatch"
    assert outcomes(press(simulation, "9"))[-1] == "start 9"


@pytest.mark.parametrize(
    ("keys", "limits", "outcome"),
    [
        ("1--", "", "start noinput_max"),  # a key first, else this caller is a silent one
        ("77", "", "start nomatch_max"),
        ("7-", ", max_noinput: 3, max_nomatch: 3, max_tries: 2", "start tries_max"),
        ("77", ", max_nomatch: 2, max_tries: 2", "start nomatch_max"),  # the specific outcome wins
    ],
)
def test_7_the_ways_of_giving_up_stay_distinct(keys: str, limits: str, outcome: str) -> None:
    on = "{noinput_max: bad, nomatch_max: bad, tries_max: bad}"
    first = '  start: {kind: menu, prompt: {en: a}, choices: {"1": second}, on: {exhausted: bad}}\n'
    node = f'kind: menu, {PROMPT}, choices: {{"8": good}}, on: {on}{limits}'
    if keys.startswith("1"):
        flow = flow_of(f"{first}  second: {{{node}}}\n")
        outcome = outcome.replace("start", "second")
    else:
        flow = flow_of(f"  start: {{{node}}}\n")
    assert outcomes(press(call(flow), keys))[-1] == outcome


def test_8_a_hang_up_is_one_hangup_and_on_hangup_runs() -> None:
    handler = "  gone: {kind: event, event: caller.gone, next: over}\n  over: {kind: hangup}\n"
    nodes = f'  start: {{kind: menu, {PROMPT}, choices: {{"1": good}}, on: {{exhausted: bad}}}}\n{handler}'
    flow = flow_of(nodes, top="on_hangup: gone\n")
    for steps in range(2):
        simulation = call(flow)
        if steps:
            simulation.heard()
        simulation.hung_up()
        assert outcomes(simulation) == ["start hangup", "gone ok"]
        assert [event for event, _ in simulation.ports.events] == ["caller.gone"]
        assert isinstance(simulation.request, Finish)
        assert not simulation.request.hang_up


def test_9_a_node_visited_a_hundred_times_ends_in_error_loop() -> None:
    nodes = (
        '  start: {kind: menu, prompt: {en: a}, choices: {"1": start}, on: {exhausted: bad}}\n'
        "  sorry: {kind: queue, queue: operators, on: {empty: bad, full: bad}}\n"
    )
    simulation = press(call(flow_of(nodes, top="on_error: sorry\n", ends="  bad: {kind: hangup}\n")), "1" * 100)
    assert outcomes(simulation)[-1] == "start error: loop"
    assert simulation.state.node == "sorry"  # the caller is in a queue, not lost


def test_9_menu_time_is_bounded_and_queue_time_is_not() -> None:
    nodes = (
        '  start: {kind: menu, prompt: {en: a}, choices: {"1": wait}, on: {exhausted: bad}}\n'
        "  wait: {kind: queue, queue: operators, on: {empty: start, full: bad}}\n"
    )
    flow = flow_of(nodes, top="max_duration: 60s\non_error: wait\n", ends="  bad: {kind: hangup}\n")
    simulation = press(call(flow), "1")
    simulation.answer(HandedBack("empty"), 7200.0)  # two hours in the queue count nothing
    assert isinstance(simulation.request, Speak)
    simulation.answer(Heard(), 61.0)
    press(simulation, "1")
    simulation.answer(HandedBack("empty"), 1.0)
    assert outcomes(simulation)[-1] == "start error: max_duration"
    assert simulation.state.node == "wait"


def test_the_cancel_key_clears_and_is_no_nomatch() -> None:
    flow = digits(", min_digits: 2, max_digits: 2, cancel_key: star")
    simulation = press(call(flow), "9*12")
    assert simulation.state.variables["typed"] == "12"


def test_reprompts_taper_and_the_last_repeats() -> None:
    reprompt = ", reprompt: {noinput: [{en: first}, {en: second}]}, max_noinput: 4, max_tries: 4"
    flow = digits(reprompt, on="{ok: good, noinput_max: bad, nomatch_max: bad}")
    simulation = call(flow)
    said = []
    while isinstance(simulation.request, Speak) and simulation.state.node == "start":
        said.append(simulation.request.phrases[0].pieces[0])
        simulation.heard()
        simulation.silent()
    assert said == ["Key something in.", "first", "second", "second"]


@pytest.mark.parametrize(
    ("grammar", "keys", "value"),
    [
        ("date", "20270131", "2027-01-31"),
        ("time", "0930", "09:30"),
        ("phone", "13800138000#", "13800138000"),
        ("amount", "12*50#", "12.50"),
        ("'regex:[1-3]{2}'", "13#", "13"),
    ],
)
def test_grammars_give_values(grammar: str, keys: str, value: str) -> None:
    kinds = {"date": "date", "amount": "decimal"}
    nodes = f"  start: {{kind: input, {PROMPT}, grammar: {grammar}, store: typed, on: {{ok: good, exhausted: bad}}}}\n"
    flow = flow_of(nodes, top=f"vars: {{typed: {{type: {kinds.get(grammar, 'text')}}}}}\n")
    assert str(press(call(flow), keys).state.variables["typed"]) == value


@pytest.mark.parametrize(
    ("grammar", "keys"), [("date", "20270231"), ("time", "2460"), ("amount", "1*2*3#"), ("digits", "*")]
)
def test_what_does_not_fit_the_grammar_is_a_nomatch(grammar: str, keys: str) -> None:
    nodes = f"  start: {{kind: input, {PROMPT}, grammar: {grammar}, on: {{ok: good, exhausted: bad}}}}\n"
    assert heard_slots(call(flow_of(nodes)), keys) == ["prompt", "nomatch"]


@pytest.mark.parametrize(("key", "outcome"), [("1", "yes"), ("2", "no"), ("0", "no")])
def test_confirm(key: str, outcome: str) -> None:
    flow = flow_of(f"  start: {{kind: confirm, {PROMPT}, on: {{'yes': good, 'no': bad, exhausted: bad}}}}\n")
    assert outcomes(press(call(flow), key)) == [f"start {outcome}"]


def test_typed_keys_that_are_sensitive_are_nowhere_in_the_path() -> None:
    flow = menu(", sensitive: true")
    assert outcomes(press(call(flow), "1")) == ["start choice"]


def test_what_follows_a_slip_is_not_taken_for_the_next_answer() -> None:
    simulation = call(menu())
    simulation.answer(Heard("71"), 0.1)  # 7 is nothing; the 1 belongs to the slip
    assert isinstance(simulation.request, Speak)
    assert simulation.request.slot == "nomatch"


def test_a_silent_caller_hears_two_prompts_and_one_offer_and_takes_no_place_in_a_queue() -> None:
    nodes = (
        f'  start: {{kind: menu, {PROMPT}, choices: {{"1": good}}, on: {{exhausted: people}}}}\n'
        "  people: {kind: queue, queue: operators, on: {empty: bad, full: bad}}\n"
    )
    flow = flow_of(nodes, top="agent: people\n")
    simulation = call(flow)
    assert heard_slots(simulation, "----") == ["prompt", "noinput", "offer"]
    assert simulation.request == Finish("silent")
    simulation = press(call(flow), "--1")
    assert simulation.state.node == "people"


def test_an_author_who_says_what_becomes_of_silent_callers_is_obeyed() -> None:
    nodes = f'  start: {{kind: menu, {PROMPT}, choices: {{"1": good}}, on: {{noinput_max: bad, nomatch_max: bad}}}}\n'
    assert heard_slots(call(flow_of(nodes)), "--") == ["prompt", "noinput", "prompt"]


SURVEY = """\
  start:
    kind: survey
    prompt: {en: one to five}
    scale: [1, 5]
    low: 2
    store: score
    on: {ok: good, low: bad, exhausted: bad}
"""


@pytest.mark.parametrize(
    ("keys", "outcome", "score"), [("4", "ok", 4), ("2", "low", 2), ("95", "ok", 5), ("0*", "nomatch_max", None)]
)
def test_a_survey_takes_one_key_of_its_scale(keys: str, outcome: str, score: int | None) -> None:
    one = press(call(flow_of(SURVEY, top="vars: {score: {type: integer}}\n")), keys)
    assert outcomes(one) == [f"start {outcome}"]
    assert one.state.variables["score"] == score


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [("[1, 5]", "[5, 1]", "the lowest first"), ("[1, 5]", "[1, 12]", "0 to 9"), ("low: 2", "low: 5", "does not part")],
)
def test_a_scale_that_can_t_be_is_refused(old: str, new: str, says: str) -> None:
    with pytest.raises(FileFault, match=says):
        flow_of(SURVEY.replace(old, new), top="vars: {score: {type: integer}}\n")
