"""Small flows for tests, and the site they live on."""

from __future__ import annotations

from decimal import Decimal
from zoneinfo import ZoneInfo

from ctiserver.errors import Problem
from ctiserver.ivr.language.check import SiteNames, check
from ctiserver.ivr.language.library import load_world, site_names
from ctiserver.ivr.language.loader import Flow, load_flow
from ctiserver.ivr.language.requests import Finish, Listen, Speak
from ctiserver.ivr.language.visit import World
from ctiserver.ivr.simulation.simulate import Given, Simulation
from ctiserver.resources import shipped
from ctiserver.settings import load_settings
from ctiserver.site.load import load_site

HEAD = """\
schema: callflow/1
flow: tried
version: "1"
languages: [en]
"""
ENDS = """\
  good: {kind: hangup, reason: good, prompt: {en: good}}
  bad: {kind: hangup, reason: bad, prompt: {en: bad}}
"""
NAMES = SiteNames(
    queues=frozenset({"repair", "operators"}),
    calendars=frozenset({"always"}),
    rosters=frozenset({"on_call"}),
    record_types={"repair": frozenset({"fault"})},
    fees=frozenset({"visit"}),
)
WORLD = World(zone=ZoneInfo("Asia/Shanghai"), fees={"visit": Decimal("80.00")})


def flow_of(nodes: str, *, top: str = "", ends: str = ENDS, start: str = "start") -> Flow:
    """A flow of these nodes; ``good`` and ``bad`` are ends that it may lead to."""
    return load_flow(f"{HEAD}{top}start: {start}\nnodes:\n{nodes}{ends}", file="tried.flow.yaml")


def problems_of(nodes: str, *, top: str = "", ends: str = "", start: str = "start") -> list[Problem]:
    """What the check says of a flow of these nodes."""
    return check(flow_of(nodes, top=top, ends=ends, start=start), NAMES)


def call(flow: Flow, world: World = WORLD, given: Given | None = None) -> Simulation:
    """A simulated call."""
    return Simulation(flow, world, given or Given())


def press(simulation: Simulation, keys: str) -> Simulation:
    """Let prompts play, and press keys one by one at each listen; ``-`` is silence, ``|`` lets the next prompt play too."""
    for key in keys:
        while isinstance(simulation.request, Speak):
            simulation.heard()
        if isinstance(simulation.request, Finish):
            raise AssertionError(f"the call was over before {key!r}: {simulation.request}")
        if key == "-":
            simulation.silent()
        else:
            assert isinstance(simulation.request, Listen), simulation.request
            simulation.pressed(key)
    return simulation


def heard_slots(simulation: Simulation, keys: str) -> list[str]:
    """The slots of the prompts played while keys are pressed."""
    slots: list[str] = []
    for key in [*keys, ""]:
        while isinstance(simulation.request, Speak):
            slots.append(simulation.request.slot)
            simulation.heard()
        if not key or isinstance(simulation.request, Finish):
            break
        simulation.silent() if key == "-" else simulation.pressed(key)
    return slots


def outcomes(simulation: Simulation) -> list[str]:
    """The path so far: ``node outcome``."""
    return [f"{step.node} {step.outcome}" for step in simulation.path]


def shipped_world() -> tuple[World, SiteNames]:
    """The shipped site."""
    settings = load_settings(shipped("config", "ctiserver.yaml"), {})
    site = load_site(settings.config_dir)
    world = load_world(site, settings)
    return world, site_names(site, world)
