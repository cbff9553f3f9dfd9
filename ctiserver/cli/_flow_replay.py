"""``ctiserver flow replay``: how many real callers another version of a flow would have led elsewhere."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import click

from ctiserver.cli._options import config_option
from ctiserver.clock import SystemClock
from ctiserver.errors import FileFault, UserFault
from ctiserver.ivr.language.library import flow_files
from ctiserver.ivr.language.loader import Flow, load_flow
from ctiserver.ivr.simulation.replay import Replayed, Step, replay
from ctiserver.resources import shipped
from ctiserver.settings import Settings, load_settings
from ctiserver.strict_yaml import duration, load

_EXAMPLES = 3


@click.command("replay")
@click.option("--against", type=click.Path(path_type=Path), required=True, help="The other version: a *.flow.yaml.")
@click.option("--since", default="7d", show_default=True, help="How far back, such as 7d or 12h.")
@click.option("--json", "as_object", is_flag=True, help="One JSON object.")
@config_option
def command(against: Path, since: str, as_object: bool, config: Path | None) -> None:
    """Lead the calls of the last days through another version of their flow, and say who would end elsewhere."""
    from ctiserver.store.faults import StoreUnavailable  # the other verbs of `flow` need no database

    settings = load_settings(config or shipped("config", "ctiserver.yaml"))
    if not against.is_file():
        raise UserFault("is not a file", where=str(against), fix="Name the flow that real calls are to be led through")
    load(against)  # says which file is not text; a draft's own name may differ from its flow's, so it is read as text
    draft = load_flow(against.read_text(encoding="utf-8-sig"), file=str(against))
    try:
        back = duration(since)
    except ValueError as error:
        raise UserFault(str(error), where="--since", fix="Write it like 7d or 12h") from None
    versions = _versions(settings, draft.name)
    try:
        ways = asyncio.run(_ways(settings, draft.name, back))
    except StoreUnavailable as error:
        raise UserFault(str(error), where="database.url", fix="See that it runs, then try again") from None
    found = {
        call: replay(steps, versions[version], draft) for call, (version, steps) in ways.items() if version in versions
    }
    _show(draft, found, len(ways) - len(found), as_object=as_object)


def _versions(settings: Settings, name: str) -> Mapping[str, Flow]:
    """Every version of a flow that is still there, by what its author calls it; the present one wins."""
    kept = sorted((settings.data_dir / "flows" / name).glob("*.yaml"), key=lambda path: path.stat().st_mtime)
    present = [path for path in flow_files(settings.flows_dir or shipped("ivr_flows")) if path.stem == f"{name}.flow"]
    found: dict[str, Flow] = {}
    for path in (*kept, *present):
        try:
            flow = load_flow(path.read_text(encoding="utf-8"), file=str(path))
        except FileFault:
            continue  # what an older ctiserver kept
        if flow.name == name:
            found[flow.version] = flow
    return found


async def _ways(settings: Settings, name: str, back: timedelta) -> dict[str, tuple[str, list[Step]]]:
    """call → the version of the flow that it was on, and its steps."""
    from ctiserver.store.database import Database

    found: dict[str, tuple[str, list[Step]]] = {}
    async with Database.open(settings.database_url, upgrade=False) as database, database.reading() as uow:
        for entry in await uow.calls.since(SystemClock().now() - back):
            own = [step for step in await uow.calls.path(entry.id) if step.flow == name]
            if own:
                found[entry.id] = (own[0].version, [Step(step.node, step.outcome) for step in own])
    return found


def _show(draft: Flow, found: Mapping[str, Replayed], unknown: int, *, as_object: bool) -> None:
    counts = Counter(one.verdict for one in found.values())
    moved: dict[tuple[str, str], list[str]] = {}
    for call, one in found.items():
        if one.verdict != "same":
            moved.setdefault((one.before.what, one.after.what), []).append(call)
    ways = sorted(moved.items(), key=lambda item: -len(item[1]))
    if as_object:
        data = {
            "flow": draft.name,
            "version": draft.version,
            "calls": len(found),
            **{verdict: counts[verdict] for verdict in ("same", "elsewhere", "undecided")},
            "version_unknown": unknown,
            "ways": [{"before": before, "after": after, "calls": calls} for (before, after), calls in ways],
        }
        click.echo(json.dumps(data, ensure_ascii=False))
        return
    click.echo(
        f"{len(found)} calls of {draft.name}, led through version {draft.version}: "
        f"{counts['same']} end as before, {counts['elsewhere']} differently, {counts['undecided']} unknown."
    )
    for (before, after), calls in ways:
        click.echo(f"  {len(calls):5d}  {before} → {after}   such as {', '.join(calls[:_EXAMPLES])}")
    if unknown:
        click.echo(f"  {unknown:5d}  were on versions that are not kept any more")
