"""``ctiserver prompts``: speak ahead what flows will say."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from ctiserver.cli._options import config_option
from ctiserver.errors import UserFault
from ctiserver.ivr.language.library import flow_files
from ctiserver.ivr.language.loader import load_flow
from ctiserver.ivr.speech.prompts import SUFFIXES, Shelf, Text, engine_or_fault
from ctiserver.ivr.speech.texts import said, unspoken
from ctiserver.resources import shipped
from ctiserver.settings import load_settings
from ctiserver.site.fallback_texts import announced
from ctiserver.site.load import load_site


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
    site = load_site(settings.config_dir)
    flows = [load_flow(path) for path in flow_files(settings.flows_dir or shipped("ivr_flows"))]
    texts = [one for one in said(flows, site) if not languages or one.text.language in languages]
    shelf = Shelf(
        settings.prompts,
        out or settings.prompts_dir,
        recordings=site.directory / "prompts",
        shipped=None if out else shipped("ivr_flows") / "prompts",
    )
    with _told(shelf.folder):
        missing = [one.text for one in unspoken(shelf, texts)]
        if not missing:
            click.echo(f"all {len(texts)} texts are spoken already, in {shelf.folder}")
            return
        engine_or_fault(settings.prompts)
        failed = _rendered(shelf, missing)
    for name, count in shelf.spoken_by.items():
        click.echo(f"{name} spoke {count} texts into {shelf.folder}")
    for text, reason in failed.items():
        click.echo(f"not spoken: [{text.language}] {text.text}: {reason}", err=True)
    if failed:
        sys.exit(2)


@command.command()
@config_option
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="The folder to fill.")
def announcements(config: Path | None, out: Path) -> None:
    """Write what callers hear while no server is there, as OUT/<language>/<name>.wav: for the PBX's CTI_SOUNDS.

    Exits with 2 if something could not be spoken.
    """
    settings = load_settings(config or shipped("config", "ctiserver.yaml"))
    files = [(language, name, Text(language, text)) for language, name, text in announced()]
    with _told(out):
        for language, _, _ in files:
            (out / language).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="ctiserver-announcements-") as folder:
        shelf = Shelf(settings.prompts, Path(folder), shipped=shipped("ivr_flows") / "prompts")
        texts = [text for _, _, text in files]
        failed = _rendered(shelf, shelf.missing(texts)) if shelf.missing(texts) else {}
        for language, name, text in files:
            spoken = shelf.file(text)
            if spoken is not None:
                _put(Path(folder) / language / Path(spoken.path).name, out / language / name)
    click.echo(f"{len(files) - len(failed)} announcements are in {out}")
    for text, reason in failed.items():
        click.echo(f"not spoken: [{text.language}] {text.text}: {reason}", err=True)
    if failed:
        sys.exit(2)


def _put(spoken: Path, to: Path) -> None:
    with _told(to):
        for suffix in SUFFIXES:
            shutil.copyfile(spoken.with_suffix(suffix), to.with_name(f"{to.name}{suffix}"))


@contextmanager
def _told(to: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserFault(
            f"can't be written: {error.strerror}", where=str(error.filename or to), fix="Name a folder that is yours"
        ) from None


def _rendered(shelf: Shelf, missing: list[Text]) -> dict[Text, str]:
    columns = (TextColumn("speaking"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[text]}"))
    with _processes() as pool, Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("speaking", total=len(missing), text="")
        return asyncio.run(
            shelf.render(missing, lambda text: bar.update(task, advance=1, text=text.text[:40]), executor=pool)
        )


@contextmanager
def _processes() -> Iterator[Executor | None]:
    """Processes for the arithmetic on samples; None (threads do it) where the system can't share what they need."""
    try:
        pool = ProcessPoolExecutor(os.cpu_count())
    except (OSError, ImportError):  # /dev/shm is not there, or can't be written
        yield None
        return
    with pool:
        yield pool
