"""``ctiserver init``: a folder with everything that an admin may edit."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from ctiserver.errors import UserFault
from ctiserver.resources import shipped


@click.command("init")
@click.argument("folder", type=click.Path(path_type=Path))
def command(folder: Path) -> None:
    """Make FOLDER with the shipped configuration, processes and flows, commented, for you to edit."""
    if folder.exists() and any(folder.iterdir()):
        raise UserFault("is not empty", where=str(folder), fix="Name a new folder; nothing was written")
    try:
        shutil.copytree(shipped("config"), folder, dirs_exist_ok=True)
        shutil.copytree(
            shipped("ivr_flows"),
            folder / "flows",
            ignore=shutil.ignore_patterns("prompts", "*.pyc", "__pycache__"),
        )
    except OSError as error:
        raise UserFault(f"can't be written: {error.strerror}", where=str(folder), fix="Choose another place") from None
    settings = folder / "ctiserver.yaml"
    text = settings.read_text(encoding="utf-8")
    marker = "config_dir: ."
    settings.write_text(
        text.replace(marker, f"flows_dir: flows            # *.flow.yaml and their tests\n{marker}", 1),
        encoding="utf-8",
    )
    click.echo(f"Made {folder}. Next: ctiserver check --config {settings}")
