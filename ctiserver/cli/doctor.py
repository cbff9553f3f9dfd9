"""``ctiserver doctor``: is everything there that the server needs, line by line."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text as Styled

from ctiserver.app.configuration import read
from ctiserver.cli._options import config_option
from ctiserver.clock import SystemClock
from ctiserver.errors import UserFault
from ctiserver.features.operations.doctor import examine
from ctiserver.features.operations.finding import Finding, good, of_fault, unseen
from ctiserver.ivr.speech.texts import said
from ctiserver.resources import shipped
from ctiserver.settings import load_settings

_MARKS = {"good": ("✓", "green"), "bad": ("✗", "bold red"), "unseen": ("–", "yellow")}
_CHECK_WIDTH = 26


@click.command("doctor")
@config_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(config: Path | None, as_json: bool) -> None:
    """Look at configuration, databases, prompts, ports and PBXs; exits with 2 unless all is well.

    Changes nothing. Each line that is not well says what is wrong, where, and what to do.
    """
    findings = asyncio.run(_all(config, shown=not as_json))
    well = all(finding.verdict != "bad" for finding in findings)
    if as_json:
        click.echo(json.dumps({"well": well, "checks": [asdict(one) for one in findings]}, ensure_ascii=False))
    if not well:
        raise SystemExit(2)


async def _all(config: Path | None, *, shown: bool) -> list[Finding]:
    console = Console(soft_wrap=True, highlight=False)
    findings = []
    async for finding in _findings(config or shipped("config", "ctiserver.yaml")):
        findings.append(finding)
        if shown:
            console.print(_line(finding))
    return findings


async def _findings(config: Path) -> AsyncIterator[Finding]:
    check = "configuration"
    try:
        settings = load_settings(config)
        written = read(settings)
    except UserFault as fault:
        yield of_fault(check, fault)
        yield unseen("everything else", "the configuration must be right first")
        return
    yield good(check, f"{len(written.flows)} flows and {len(written.definitions)} processes check; {config} too")
    async for finding in examine(settings, written.site, said(written.flows.values(), written.site), SystemClock()):
        yield finding


def _line(finding: Finding) -> Styled:
    mark, style = _MARKS[finding.verdict]
    line = Styled()
    line.append(f"{mark} ", style)
    line.append(f"{finding.check:<{_CHECK_WIDTH}} ", "bold" if finding.verdict == "bad" else "")
    line.append(finding.what)
    if finding.where:
        line.append(f"\n  {'where':>{_CHECK_WIDTH}} {finding.where}", "dim")
    if finding.fix:
        line.append(f"\n  {'to do':>{_CHECK_WIDTH}} {finding.fix}", "cyan")
    return line
