"""Flows as hypothesis draws them: nodes of every kind, wired at random, all outcomes leading somewhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Literal, get_args, get_origin

from hypothesis import strategies as st

from ctiserver.ivr.language.graph import edges_of, followers, reachable
from ctiserver.ivr.language.loader import load_flow
from ctiserver.ivr.language.node_base import Need
from ctiserver.ivr.language.schema import NODE_KINDS, kind_of

PROMPT = {"en": "some words"}


KINDS = [
    "menu", "input", "confirm", "play", "branch", "set", "queue", "dial", "voicemail", "record", "lookup",
    "survey", "answer", "event", "audio", "say", "callback", "hours",
]  # fmt: skip
CLASSES = {kind_of(node): node for node in NODE_KINDS}
#: Every kind: those not named above come last, but for the two that nothing follows.
KINDS += [kind for kind in CLASSES if kind not in {*KINDS, "service_record", "hangup", "transfer"}]


@st.composite
def flows(draw: st.DrawFn, *, onward: bool = False) -> str:
    """The text of a flow: nodes of every kind, wired at random, all outcomes leading somewhere.

    ``onward``: no way leads back, and most lead to the next node, so that calls go through many.
    """
    names = [f"n{i}" for i in range(draw(st.integers(2, 8)))]
    ends = ["goodbye", "people"]
    nodes: dict[str, Any] = {
        "goodbye": {"kind": "hangup", "prompt": PROMPT},
        "people": {
            "kind": "queue",
            "queue": "operators",
            "on": {"empty": "goodbye", "full": "goodbye", "error": "goodbye"},
        },
    }
    for at, name in enumerate(names):
        after = names[at + 1 :]
        targets = [*after[:1] * 3, *after, "goodbye"] if onward else [*names, *ends]
        nodes[name] = draw(node(st.sampled_from(targets)))
    return json.dumps(
        {
            "schema": "callflow/1",
            "flow": "drawn",
            "version": "1",
            "languages": ["en"],
            "vars": {"typed": {"type": "text"}, "device": {"type": "device"}},
            "start": names[0],
            "on_error": "people",
            "agent": "people",
            "nodes": nodes,
        },
    )


@st.composite
def node(draw: st.DrawFn, target: st.SearchStrategy[str]) -> dict[str, Any]:
    kind = draw(st.sampled_from(KINDS))
    go = lambda: draw(target)  # noqa: E731
    match kind:
        case "menu":
            keys = draw(st.lists(st.sampled_from(["1", "12", "2", "star", "hash", "99"]), min_size=1, unique=True))
            choices = {
                key: draw(st.one_of(target, st.builds(dict, go=target, set=st.just({"typed": "x"})))) for key in keys
            }
            timing = {"barge_in": draw(st.sampled_from(["dtmf", "none"])), "flush": draw(st.booleans())}
            return {"kind": "menu", "prompt": PROMPT, "choices": choices, "on": {"exhausted": go()}, **timing}
        case "input":
            return {"kind": "input", "prompt": PROMPT, "min_digits": 1, "max_digits": draw(st.integers(1, 4)),
                    "store": "typed", "on": {"ok": go(), "exhausted": go()}}  # fmt: skip
        case "confirm":
            return {"kind": "confirm", "prompt": PROMPT, "on": {"yes": go(), "no": go(), "exhausted": go()}}
        case "play":
            return {"kind": "play", "prompt": {"en": "{{ call.ani }} and {{ len(call.name) }}"}, "next": go()}
        case "branch":
            return {"kind": "branch", "when": [{"if": "=contact.open_records > 0", "go": go()}], "else": go()}
        case "set":
            return {"kind": "set", "values": {"typed": "=call.ani"}, "next": go()}
        case "queue":
            every = draw(st.sampled_from([{}, {"30s": "position"}, {"60s": "offer_callback"}]))
            on = {"empty": go(), "full": go(), "timeout": go(), **({"callback": go()} if "60s" in every else {})}
            return {"kind": "queue", "queue": "repair", "max_wait": "3m", "every": every, "on": on}
        case "dial":
            to = draw(st.sampled_from([{"number": "10086"}, {"person": "agent1"}]))
            return {"kind": "dial", "to": to, "rounds": draw(st.integers(1, 3)), "on": {"bye": go(), "nobody": go()}}
        case "voicemail":
            return {"kind": "voicemail", "prompt": PROMPT, "max_length": "1s", "next": go()}
        case "audio" | "say" | "callback":
            own = {"audio": {"do": draw(st.sampled_from(["start", "stop", "mask"]))},
                   "say": {"value": "=call.dnis", "as": "digits"}, "callback": {"queue": "repair"}}  # fmt: skip
            return {"kind": kind, **own[kind], "next": go()}
        case "survey":
            own = {"low": 2} if draw(st.booleans()) else {}
            on = {"ok": go(), "exhausted": go(), **({"low": go()} if own else {})}
            return {"kind": "survey", "prompt": PROMPT, "scale": [1, 5], **own, "on": on}
        case "hours":
            return {"kind": "hours", "calendar": "always", "on": {"open": go(), "closed": go()}}
        case "record":
            return {"kind": "service_record", "type": "repair", "fields": {"fault": "=call.name"}, "next": go()}
        case "lookup":
            on = {"found": go(), "several": go(), "none": go()}
            return {"kind": "lookup", "find": "device", "by": {"serial_ends": "=call.ani"}, "store": "device", "on": on}
        case _:
            return by_class(kind, go)


def by_class(kind: str, go: Callable[[], str]) -> dict[str, Any]:
    """A node of a kind that needs no case of its own: the keys that it can't do without, every outcome wired."""
    fields = CLASSES[kind].model_fields.items()
    keys = {info.alias or name: example(info.annotation) for name, info in fields if info.is_required()}
    needs = CLASSES[kind].model_validate(keys).outcomes()
    return {**keys, "on": {outcome: go() for outcome, need in needs.items() if need is Need.WIRED}}


def example(key: Any) -> Any:
    """A value of a key; of what is chosen from a list the first."""
    if get_origin(key) is Literal:
        return get_args(key)[0]
    known = {str: "something", int: 1, timedelta: "5s", Any: "=call.ani"}
    return PROMPT if get_origin(key) is dict else known[key]


def pruned(text: str) -> str:
    """The flow without the nodes that nothing leads to."""
    data = json.loads(text)
    flow = load_flow(text, file="drawn")
    starts = [data[key] for key in ("start", "on_error", "agent")]
    seen = reachable(starts, followers(edges_of(flow)))
    data["nodes"] = {name: node for name, node in data["nodes"].items() if name in seen}
    return json.dumps(data)
