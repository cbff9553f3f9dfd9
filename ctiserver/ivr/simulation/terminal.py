"""``flow try``: a flow talked through in the terminal, the keyboard as keypad."""

from __future__ import annotations

import sys

import click

from ctiserver.ivr.language.loader import Flow
from ctiserver.ivr.language.node_base import KEYS
from ctiserver.ivr.language.requests import Finish, HandedBack, HandOver, Listen, Speak
from ctiserver.ivr.language.visit import World
from ctiserver.ivr.simulation.simulate import Given, Simulation
from ctiserver.ivr.speech.prompts import texts_of

_RESULTS = {
    "queue": ("answered", "agent_hung_up", "timeout", "empty", "full"),
    "dial": ("answered", "bye", "nobody"),
    "voicemail": ("ok", "error"),
}
_HELP = "keys 0-9 * #, Enter alone for silence, h to hang up"


def talk(flow: Flow, world: World, given: Given) -> None:
    """Talk one call through. Digits are read a line at a time; end of input hangs up."""
    call = Simulation(flow, world, given)
    click.secho(f"{flow.file.title or flow.name} {flow.version}: {_HELP}", dim=True)
    keys = ""
    while not isinstance(call.request, Finish):
        match call.request:
            case Speak(phrases=phrases, node=node):
                for phrase in phrases:
                    click.echo(f"[{node}] {' '.join(text.text for text in texts_of(phrase)) or phrase.file}")
                call.heard()
            case Listen() if keys:
                call.pressed(keys[0])
                keys = keys[1:]
            case Listen(timeout_s=timeout_s):
                line = _read(f"({timeout_s:g} s) > ")
                if line is None or line == "h":
                    call.hung_up()
                elif line:
                    keys = "".join(key for key in line if key in KEYS)
                    if not keys:
                        click.echo(_HELP)
                else:
                    call.silent()
            case HandOver() as away:
                _away(call, away)
    end = call.request
    assert isinstance(end, Finish)
    click.secho(f"the call is over: {end.reason}", bold=True)
    click.echo(" → ".join(f"{step.node} ({step.outcome})" for step in call.path))


def _away(call: Simulation, away: HandOver) -> None:
    results = (*_RESULTS[away.do], "h")
    click.secho(f"the caller is in {away.do} {away.target}".rstrip(), bold=True)
    line = _read(f"what happens ({', '.join(results)})? > ")
    if line in (None, "h"):
        call.hung_up()
    elif line == "answered":
        call.hung_up(served=True)
    elif line is not None and line in results:
        call.answer(HandedBack(line), float(away.options.get("timeout_s", 0)) or 30.0)


def _read(prompt: str) -> str | None:
    """A line, None at the end of input."""
    click.echo(prompt, nl=False)
    line = sys.stdin.readline()
    return line.strip() if line else None
