"""Options that several verbs share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from ctiserver.resources import shipped
from ctiserver.settings import Settings, load_settings
from ctiserver.site import Site, load_site

F = TypeVar("F", bound=Callable[..., Any])


def config_option(function: F) -> F:
    """``--config FILE``: ctiserver.yaml; the environment's CTISERVER_CONFIG, else the shipped one."""
    return click.option(
        "--config",
        type=click.Path(path_type=Path, dir_okay=False),
        envvar="CTISERVER_CONFIG",
        default=None,
        help="ctiserver.yaml; default: the shipped one.",
    )(function)


def read_config(config: Path | None) -> tuple[Settings, Site]:
    """Settings and site of a configuration. Raises UserFault for whatever does not fit."""
    settings = load_settings(config or shipped("config", "ctiserver.yaml"))
    return settings, load_site(settings.config_dir)
