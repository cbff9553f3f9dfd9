"""Options that several verbs share."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import click

from ctiserver.errors import UserFault
from ctiserver.resources import shipped
from ctiserver.settings import Settings, load_settings
from ctiserver.site.load import Site, load_site

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


def moment(text: str, zone: ZoneInfo) -> datetime:
    """What ``--clock`` says, in the site's zone unless it names another; now where it is empty. Raises UserFault."""
    if not text:
        return datetime.now(zone)
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise UserFault(
            f"{text!r} is not a valid time", where="--clock", fix="Write it like 2026-11-23T10:00"
        ) from None
    return read if read.tzinfo is not None else read.replace(tzinfo=zone)


def read_config(config: Path | None) -> tuple[Settings, Site]:
    """Settings and site of a configuration. Raises UserFault for whatever does not fit."""
    settings = load_settings(config or shipped("config", "ctiserver.yaml"))
    return settings, load_site(settings.config_dir)
