"""Progress on the terminal: a bar where somebody watches, a line for each new thing where nobody does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

_WIDTH = 60


@contextmanager
def progress_shown() -> Iterator[Callable[[str, float], None]]:
    """A function to call with what is going on and how much is done (0 to 1); it writes to stderr."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=1.0)
        yield lambda what, done: bar.update(task, description=what[:_WIDTH], completed=done)


def _lines() -> Callable[[str, float], None]:
    last = ""

    def show(what: str, _done: float) -> None:
        nonlocal last
        if what != last:
            click.echo(what, err=True)
            last = what

    return show
