"""``ctiserver prompts``: speak ahead what flows will say."""

from __future__ import annotations

import asyncio
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from ctiserver.cli._options import config_option
from ctiserver.features.agents import phone
from ctiserver.ivr.library import flow_files
from ctiserver.ivr.loader import load_flow
from ctiserver.ivr.prompts import Shelf, Text, engine_or_fault, texts_of_flow, texts_of_site
from ctiserver.resources import shipped
from ctiserver.settings import load_settings
from ctiserver.site import load_site


@click.group()
def command() -> None:
    """Speak prompts ahead, so that no call waits for an engine."""


@command.command()
@config_option
@click.option("--out", type=click.Path(path_type=Path), help="Where the files go; without it, prompts.cache_dir.")
@click.option("--language", "languages", multiple=True, help="Only these languages.")
def render(config: Path | None, out: Path | None, languages: tuple[str, ...]) -> None:
    """Speak what flows and agents' phones say and nobody has spoken yet; exits with 2 if something could not be."""
    settings = load_settings(config or shipped("config", "ctiserver.yaml"))
    texts = [
        text
        for path in flow_files(settings.flows_dir or shipped("ivr_flows"))
        for text in texts_of_flow(load_flow(path))
    ]
    texts += texts_of_site(load_site(settings.config_dir))
    texts += [text for language in settings.languages for text in phone.texts(language)]  # what agents hear on *11
    texts = [text for text in texts if not languages or text.language in languages]
    shelf = Shelf(
        settings.prompts, out or settings.prompts_dir, shipped=None if out else shipped("ivr_flows", "prompts")
    )
    missing = shelf.missing(texts)
    if not missing:
        click.echo(f"all {len(dict.fromkeys(texts))} texts are spoken already, in {shelf.folder}")
        return
    engine = engine_or_fault(settings.prompts)
    failed = _rendered(shelf, missing)
    click.echo(f"{engine.name} spoke {len(missing) - len(failed)} texts into {shelf.folder}")
    for text, reason in failed.items():
        click.echo(f"not spoken: [{text.language}] {text.text}: {reason}", err=True)
    if failed:
        sys.exit(2)


def _rendered(shelf: Shelf, missing: list[Text]) -> dict[Text, str]:
    columns = (TextColumn("speaking"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[text]}"))
    with ProcessPoolExecutor(os.cpu_count()) as pool, Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("speaking", total=len(missing), text="")
        return asyncio.run(
            shelf.render(missing, lambda text: bar.update(task, advance=1, text=text.text[:40]), executor=pool)
        )
