"""``ctiserver init``: a folder with everything that an admin may edit."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from ctiserver.errors import UserFault
from ctiserver.resources import shipped

#: Parts of the shipped configuration that are not the site's: `--systemd` and `--compose` write them, filled in.
_TEMPLATES = ("systemd", "container")
#: What a server that ran on the shipped configuration itself has kept there: its database and recordings among them.
_KEPT = "data"


@click.command("init")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--systemd", is_flag=True, help="Write systemd/ctiserver.service too, for this folder.")
@click.option("--user", help="With --systemd: who the server runs as; without it, you.")
@click.option("--compose", is_flag=True, help="Write compose.yaml too: server, Asterisk and PostgreSQL in containers.")
def command(folder: Path, *, systemd: bool, user: str | None, compose: bool) -> None:
    """Make FOLDER with the shipped configuration, processes and flows, commented, for you to edit."""
    if user and not systemd:
        raise UserFault("goes with --systemd", where="--user", fix="Give both, or leave both out")
    if folder.exists() and any(folder.iterdir()):
        raise UserFault("is not empty", where=str(folder), fix="Name a new folder; nothing was written")
    try:
        if systemd or compose:
            next_steps = _with_deployment(folder, user, systemd=systemd, compose=compose)
        else:
            _copy(folder)
            next_steps = []
    except OSError as error:
        raise UserFault(f"can't be written: {error.strerror}", where=str(folder), fix="Choose another place") from None
    click.echo(f"Made {folder}. Next: ctiserver check --config {folder / 'ctiserver.yaml'}")
    for step in next_steps:
        click.echo(step)


def _with_deployment(folder: Path, user: str | None, *, systemd: bool, compose: bool) -> list[str]:
    """Write the folder with what starts a server in it; gives what to do with that, a line each."""
    from ctiserver.cli import _deployment

    _deployment.safe(folder)
    if compose:
        _deployment.see_that_the_socket_fits(folder)
    runs_as = _deployment.systemd_user(user) if systemd else ""
    _copy(folder)
    next_steps = []
    if systemd:
        unit = _deployment.write_unit(folder, runs_as)
        next_steps.append(f"systemd: sudo cp {unit} /etc/systemd/system/ && sudo systemctl enable --now ctiserver")
    if compose:
        composed = _deployment.write_compose(folder)
        next_steps.append(
            f"Containers: copy a wheel to {folder / 'container'}/, then: docker compose -f {composed} up -d"
        )
    return next_steps


def _copy(folder: Path) -> None:
    shutil.copytree(
        shipped("config"), folder, dirs_exist_ok=True, ignore=lambda path, names: _no_part_of_a_site(Path(path), names)
    )
    shutil.copytree(
        shipped("ivr_flows"),
        folder / "flows",
        ignore=shutil.ignore_patterns("prompts", "*.pyc", "__pycache__"),
    )
    settings = folder / "ctiserver.yaml"
    text = settings.read_text(encoding="utf-8")
    marker = "config_dir: ."
    settings.write_text(
        text.replace(marker, f"flows_dir: flows            # *.flow.yaml and their tests\n{marker}", 1),
        encoding="utf-8",
    )


def _no_part_of_a_site(path: Path, names: list[str]) -> list[str]:
    return [name for name in names if path == shipped("config") and name in (*_TEMPLATES, _KEPT)]
