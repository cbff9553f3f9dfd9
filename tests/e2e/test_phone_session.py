"""The browser phone's tables: every state with every event, in the browser's own JavaScript."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.conftest import OpenPage

pytestmark = pytest.mark.browser

#: Each state of the line or the call, and what may happen there. All else is refused, and changes nothing.
LINE = {
    "off": {"start": "waiting"},
    "waiting": {"elected": "connecting", "stop": "off"},
    "connecting": {"registered": "ready", "refused": "refused", "robbed": "waiting", "stop": "off"},
    "ready": {"disconnected": "connecting", "refused": "refused", "robbed": "waiting", "stop": "off"},
    "refused": {
        "registered": "ready",
        "disconnected": "connecting",
        "refused": "refused",
        "robbed": "waiting",
        "stop": "off",
    },
}
CALL = {
    "none": {"invited": "ringing"},
    "ringing": {"answer": "answering", "ended": "none"},
    "answering": {"connected": "talking", "ended": "none"},
    "talking": {"hold": "held", "ended": "none"},
    "held": {"unhold": "talking", "ended": "none"},
}
EVENTS = sorted({*(event for row in (*LINE.values(), *CALL.values()) for event in row), "mute", "unmute", "nonsense"})

_ALL = """async ([states, events]) => {
  const { step, IllegalStep } = await import("/static/lib/phone-session.js");
  return states.flatMap((state) => events.map((type) => {
    const before = JSON.stringify(state);
    try {
      return [state, type, step(state, { type, caller: { number: "1", name: "" } }), before === JSON.stringify(state)];
    } catch (error) {
      if (!(error instanceof IllegalStep)) throw error;
      return [state, type, null, before === JSON.stringify(state)];
    }
  }));
}"""


async def test_every_state_takes_the_events_of_the_table_and_no_other(open_page: OpenPage) -> None:
    page = await open_page()
    states = [
        {
            "line": line,
            "call": call,
            "muted": False,
            "caller": None if call == "none" else {"number": "2"},
            "error": None,
        }
        for line in LINE
        for call in CALL
    ]
    results: list[list[Any]] = await page.evaluate(_ALL, [states, EVENTS])
    assert len(results) == len(states) * len(EVENTS)
    for before, event, after, untouched in results:
        where = f"{event} in {before['line']}, {before['call']}"
        assert untouched, where
        line, call = LINE[before["line"]].get(event), CALL[before["call"]].get(event)
        if event in ("mute", "unmute"):
            legal = before["call"] in ("talking", "held")
            assert after == ({**before, "muted": event == "mute"} if legal else None), where
        elif line is None and call is None:
            assert after is None, where
        elif line is not None:
            assert after["line"] == line, where
            # Who gives up the phone gives up its call; a broken line alone ends none.
            assert after["call"] == ("none" if line in ("off", "waiting") else before["call"]), where
            assert (after["error"] is None) == (line != "refused"), where
        else:
            assert (after["line"], after["call"]) == (before["line"], call), where
            assert (after["caller"] is None) == (call == "none"), where
