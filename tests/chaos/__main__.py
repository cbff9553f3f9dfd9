"""Write docs/reliability.md from what was measured: ``python -m tests.chaos [chaos-results]``.

The folder holds what the fault tests leave there, and what `ctiserver drill --json` printed, a file a run.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DOCUMENT = Path(__file__).parents[2] / "docs/reliability.md"
_HEAD = """# What holds when parts fail

Written by `python -m tests.chaos` from what the fault tests measured; don't edit it. To measure on your own machine:
`ctiserver drill` ([how](how-to/drill.md)), or `make chaos` in a checkout, which runs the long forms and rewrites this page.

What callers got is told by Asterisk's own events and by the callers' SIP stack (SIPp), not by ctiserver. Where a fault comes
under load, some callers are in the menu by then, some in a queue, and a third of the agents talk (figures *in … then*).

## In short

The longest form that was run, with the machine's load at its end (2 processors at load 2 are busy; a load of 20 means that
ten others wanted the same processor, and times are longer by that). All figures, of every form, are below.

| what happens | what must hold | measured | holds |
|---|---|---|---|
"""
_FORMS = ("short", "drill", "long")


@dataclass(frozen=True)
class Row:
    """One fault as a stranger reads it, and the figures that say most."""

    what: str
    must: str
    shown: tuple[str, ...]


_WITHOUT_DATABASE = (
    "callers_who_called_meanwhile",
    "callers_whom_the_server_could_not_serve",
    "callers_never_served",
    "words_an_agent_typed_meanwhile",
    "saves_put_off",
    "calls_not_logged_once",
)

_LIVES_ON = "its calls are over; the server lives on; agents are back and reached; each call is in the log once"
_AFTER_ITS_END = ("calls_then", "agents_back_after_s", "callers_without_an_agent_afterwards", "calls_not_logged_once")

#: By fault, in the order of the page.
ROWS = {
    "server-killed": Row(
        "The server is killed and restarted",
        "nobody in queue or talk is dropped; who was in the menu is in a queue within 1 s; the picture is right within 5 s from "
        "when it serves",
        ("callers", "dropped_in_queue_or_talk", "menu_to_queue_worst_s", "state_right_after_s"),
    ),
    "server-killed-often": Row(
        "The server is killed at random instants, again and again",
        "the same; every call is in the log once, with a record or a reason for none",
        (
            "kills",
            "callers",
            "dropped_in_queue_or_talk",
            "menu_to_queue_worst_s",
            "state_right_worst_s",
            "calls_not_logged_once",
        ),
    ),
    "server-frozen": Row(
        "The server hangs (SIGSTOP), then goes on",
        "callers fall back when the running prompt is over; nothing is doubled afterwards",
        (
            "fell_back_from_the_menu",
            "menu_to_fallback_worst_s",
            "callers_stuck_in_the_menu",
            "new_caller_to_fallback_worst_s",
            "callers_queued_twice",
        ),
    ),
    "host-gone": Row(
        "The server's host is gone: packets vanish", "callers fall back within 2.5 s", ("ring_to_fallback_worst_s",)
    ),
    "server-ended": Row(
        "The server is asked to end (SIGTERM)",
        "callers in the menu finish or are handed over; new ones are refused at once",
        ("end_s", "menu_to_queue_worst_s", "dropped_in_queue_or_talk"),
    ),
    "line-reset": Row(
        "The manager connection breaks every 5 s, when an action is under way if there is one",
        "right again within 3 s; nothing is sent twice (a call out: `tests/chaos/test_calls_once.py`)",
        ("breaks", "breaks_with_an_action_under_way", "resynchronised_worst_s", "actions_sent_twice"),
    ),
    "line-frozen": Row(
        "The manager connection is half-open",
        "noticed within 5 s, on every desk; right again within 3 s",
        ("noticed_s", "resynchronised_s"),
    ),
    "pbx-killed": Row(
        "Asterisk is killed with calls on it, and restarted",
        "its calls end as `pbx_restarted` within 5 s; agents are back",
        ("callers", "calls_ended_s", "agents_back_after_s"),
    ),
    "both-killed": Row(
        "Asterisk and the server are killed at once",
        "the same, once both are there again; every call is in the log once",
        ("callers", "calls_ended_s", "agents_back_after_s", "calls_not_logged_once"),
    ),
    "pbx-stopped": Row(
        "Asterisk is told to stop when its calls are over (`core stop gracefully`), and started again",
        "nobody in queue or talk is dropped; desks say what is going on; the server lives on",
        ("callers", "dropped_in_queue_or_talk", "agents_back_after_s", "calls_not_logged_once"),
    ),
    "pbx-restarted": Row("Asterisk restarts at once (`core restart now`) with calls on it", _LIVES_ON, _AFTER_ITS_END),
    "pbx-stopped-now": Row("Asterisk stops at once (`core stop now`), and is started again", _LIVES_ON, _AFTER_ITS_END),
    "pbx-stopped-when-convenient": Row(
        "Asterisk is told to stop when it has no calls (`core stop when convenient`), and started again",
        "nobody is dropped; the server lives on",
        ("callers", "dropped_in_queue_or_talk", "agents_back_after_s", "calls_not_logged_once"),
    ),
    "pbx-restarted-gracefully": Row(
        "Asterisk restarts when its calls are over (`core restart gracefully`)",
        "nobody in queue or talk is dropped; the server lives on",
        ("callers", "dropped_in_queue_or_talk", "agents_back_after_s", "calls_not_logged_once"),
    ),
    "pbx-restarted-when-convenient": Row(
        "Asterisk restarts when it has no calls (`core restart when convenient`)",
        "nobody is dropped; the server lives on",
        ("callers", "dropped_in_queue_or_talk", "agents_back_after_s", "calls_not_logged_once"),
    ),
    "pbx-terminated": Row("Asterisk is asked to end (SIGTERM), and started again", _LIVES_ON, _AFTER_ITS_END),
    "pbx-reloaded": Row(
        "Asterisk reloads everything, with calls on it",
        "nobody notices",
        ("callers", "dropped_in_queue_or_talk", "callers_never_served", "calls_not_logged_once"),
    ),
    "queues-unloaded": Row(
        "app_queue is unloaded between calls, and loaded again",
        "desks say that there are no queues; agents are back",
        ("unloaded_with_calls", "agents_back_after_s", "callers_without_an_agent_afterwards"),
    ),
    "pbx-exchanged": Row(
        "Asterisk comes back as a version with known holes, then as a good one",
        "the server serves both, and says of the first that it is too old",
        ("calls_then", "agents_back_after_s", "callers_without_an_agent_afterwards"),
    ),
    "event-storm": Row(
        "Asterisk says 25,000 events a second for some seconds",
        "not thrown off, nothing lost or out of order, the event loop 50 ms late at the most (p99)",
        ("events", "kept_waiting_worst_s", "loop_lag_p99_own_cpu_ms"),
    ),
    "database-locked": Row(
        "Another program holds the database's lock",
        "calls go on; writes wait or fail typed; nothing that an agent types is lost; the database is whole",
        _WITHOUT_DATABASE,
    ),
    "disk-full": Row(
        "The disk is full",
        "the same",
        _WITHOUT_DATABASE,
    ),
    "postgres-stopped": Row(
        "PostgreSQL is stopped",
        "the same",
        _WITHOUT_DATABASE,
    ),
    "two-pbxs": Row(
        "One of two PBXs is cut off, with calls on both, and heals",
        "the other is not affected; its agents are unknown within 5 s; nothing is mixed; nobody is offered two calls",
        (
            "branch_agents_unknown_on_their_desks_after_s",
            "ring_to_the_others_desk_worst_s",
            "who_talks_over_there_is_known_after_s",
        ),
    ),
    "rush": Row(
        "Far more callers than agents",
        "everybody is answered, leaves a message or is to be called back; nobody hears nothing for 6 s",
        ("callers", "reached_an_agent", "left_a_message", "to_be_called_back", "silence_worst_s"),
    ),
    "load": Row(
        "An ordinary load",
        "SIPp, the PBX, our log and the CDRs count the same calls; memory grows by 100 MB a week at the most",
        ("callers", "calls_not_logged_once", "calls_without_a_cdr", "cpu_ms_a_call", "memory_mb_a_week_by_slope"),
    ),
}


def document(folder: Path) -> str:
    """The whole text. Faults without a result are named as not measured."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for path in sorted(folder.glob("*.json")):
        read = json.loads(path.read_text(encoding="utf-8"))
        for one in read.get("findings", [read]):
            whole = {"form": "drill", "at": read["at"], "machine": read["machine"], **one}
            found.setdefault(whole["fault"], {})[whole["form"]] = whole
    names = [*ROWS, *sorted(found.keys() - ROWS.keys())]
    parts = [_HEAD + "".join(_line(ROWS[name], found.get(name, {})) for name in ROWS), "## Every figure\n"]
    for name in names:
        parts.append(f"### {name}\n")
        forms = [found[name][form] for form in _FORMS if form in found.get(name, {})]
        parts += [_section(one) for one in forms] or ["Not measured.\n"]
    return "\n".join(parts)


def _line(row: Row, forms: dict[str, dict[str, Any]]) -> str:
    longest = next((forms[form] for form in reversed(_FORMS) if form in forms), None)
    if longest is None:
        return f"| {row.what} | {row.must} | - | not measured |\n"
    figures = longest["figures"]
    shown = "; ".join(f"{_words(name)} {figures[name]}" for name in row.shown if name in figures)
    holds = "**no**: " + "; ".join(longest["broken"])
    shorter = [one for form in _FORMS if (one := forms.get(form)) is not None and one["broken"]]
    if not longest["broken"] and shorter:
        holds = f"**no** ({shorter[0]['form']} form): " + "; ".join(shorter[0]["broken"])
    elif not longest["broken"]:
        holds = "; ".join(["yes", *(one for one in longest["held"] if "not measured" in one)])
    form = f"{longest['form']} form, load {longest['machine']['load_1min']}"
    made = f"{longest['what']}: " if any(letter.isdigit() for letter in longest["what"]) else ""
    return f"| {row.what} | {row.must} | {made}{shown} ({form}) | {holds} |\n"


def _words(name: str) -> str:
    return name.replace("_", " ")


def _section(one: dict[str, Any]) -> str:
    machine = one["machine"]
    lines = [
        f"**{one['form']}**: {one['what']}. {one['at']}; {machine['cpus']} × {machine['cpu']}, {machine['memory_gib']} GiB, "
        f"load {machine['load_1min']}, {machine['system']}, Python {machine['python']}"
        + (f", ctiserver at {one['version']}.\n" if one.get("version") else ".\n"),
        "| figure | |",
        "|---|---|",
        *(f"| {_words(name)} | {figure} |" for name, figure in one["figures"].items()),
        "",
        *(f"- holds: {what}" for what in one["held"]),
        *(f"- **does not hold**: {what}" for what in one["broken"]),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    source = Path(sys.argv[1] if len(sys.argv) > 1 else "chaos-results")
    DOCUMENT.write_text(document(source), encoding="utf-8")
    print(f"wrote {DOCUMENT.name} from {len(list(source.glob('*.json')))} results")  # noqa: T201
