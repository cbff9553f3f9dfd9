"""``ctiserver user``: accounts, agents and their phones."""

from __future__ import annotations

import asyncio
import getpass
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import click
from rich.console import Console
from rich.table import Table

from ctiserver.cli._options import config_option, read_config
from ctiserver.clock import SystemClock
from ctiserver.features.users.service import LANGUAGES, Users
from ctiserver.ivr.language.library import load_world
from ctiserver.model.person import ROLES, Role
from ctiserver.store.database import Database

T = TypeVar("T")


password_option = click.option(
    "--password-stdin", is_flag=True, help="Read the password from standard input instead of asking."
)


@click.group(help="Accounts: who may log in, as what.")
def command() -> None:
    pass


@command.command("add")
@click.argument("login")
@click.option("--role", type=click.Choice(ROLES), required=True)
@click.option("--name", default="", help="As people read it; the log-in name if left out.")
@click.option("--language", type=click.Choice(LANGUAGES), default="zh-CN", show_default=True)
@click.option("--skill", "skills", multiple=True, help="What queues and work orders ask for; may be repeated.")
@click.option("--region", "regions", multiple=True, help="Where field work is taken; may be repeated.")
@click.option("--department", default="", help="What work orders may ask for besides.")
@click.option(
    "--calendar", default="", help="Whose hours they work: a name of config/calendars; at any time if left out."
)
@click.option("--extension", help="Makes the account an agent: the digits that colleagues dial.")
@click.option("--interface", help="The agent's phone as Asterisk names it; PJSIP/LOGIN if left out.")
@click.option("--pbx", help="Which PBX of ctiserver.yaml the phone is on; the first if left out.")
@password_option
@config_option
def add(
    *,
    config: Path | None,
    login: str,
    role: Role,
    name: str,
    language: str,
    skills: tuple[str, ...],
    regions: tuple[str, ...],
    department: str,
    calendar: str,
    extension: str | None,
    interface: str | None,
    pbx: str | None,
    password_stdin: bool,
) -> None:
    """Add an account; with --extension it is an agent."""
    password = _password(password_stdin)
    _run(
        config,
        lambda users: users.add(
            login,
            name=name,
            role=role,
            password=password,
            language=language,
            skills=skills,
            regions=regions,
            department=department,
            calendar=calendar,
            extension=extension,
            interface=interface,
            pbx=pbx,
            by=_by(),
        ),
    )
    click.echo(f"{login} may log in now as {role}")


@command.command("list")
@config_option
def show(config: Path | None) -> None:
    """Show every account."""
    table = Table("login", "name", "role", "skills", "extension", "phone", box=None, pad_edge=False)
    for user, agent in _run(config, lambda users: users.everybody()):
        table.add_row(
            user.login,
            user.name,
            user.role if user.active else f"{user.role} (shut)",
            " ".join(user.skills),
            agent.extension if agent else "",
            f"{agent.interface} on {agent.pbx}" if agent and agent.pbx else agent.interface if agent else "",
        )
    console = Console()
    # Into a pipe goes every word whole: nobody folds the lines there.
    (console if console.is_terminal else Console(width=240)).print(table)


@command.command("passwd")
@click.argument("login")
@password_option
@config_option
def passwd(config: Path | None, login: str, password_stdin: bool) -> None:
    """Give an account a new password; its sessions end."""
    password = _password(password_stdin)
    _run(config, lambda users: users.set_password(login, password, by=_by()))
    click.echo(f"{login} has a new password, and must log in again")


@command.command("token")
@click.argument("login")
@click.option("--days", type=click.IntRange(1, 3650), default=365, show_default=True, help="How long it is good for.")
@config_option
def token(config: Path | None, login: str, days: int) -> None:
    """A token for another system (role machine); it is printed once and can't be shown again."""
    click.echo(_run(config, lambda users: users.issue_token(login, days=days, by=_by())))


@command.command("change")
@click.argument("login")
@click.option("--role", type=click.Choice(ROLES), help="The account's new role.")
@click.option("--shut/--open", "shut", default=None, help="Disable the account, or enable it again.")
@click.option("--skill", "skills", multiple=True, help="In place of those that it has; may be repeated.")
@click.option("--region", "regions", multiple=True, help="In place of those that it has; may be repeated.")
@click.option("--department", help="Another department; '' for none.")
@click.option("--calendar", help="Whose hours they work: a name of config/calendars; '' for any time.")
@config_option
def change(
    *,
    config: Path | None,
    login: str,
    role: Role | None,
    shut: bool | None,
    skills: tuple[str, ...],
    regions: tuple[str, ...],
    department: str | None,
    calendar: str | None,
) -> None:
    """Give an account another role, shut it or open it again: it must log in again then. Or what orders ask of it."""
    active = None if shut is None else not shut
    user = _run(
        config,
        lambda users: users.change(
            login,
            role=role,
            active=active,
            skills=skills or None,
            regions=regions or None,
            department=department,
            calendar=calendar,
            by=_by(),
        ),
    )
    click.echo(f"{login} is {user.role}" if user.active else f"{login} is shut")


def _by() -> str:
    """How the audit log names anyone who runs this command."""
    return f"cli:{getpass.getuser()}"


def _password(from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    password: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    return password


def _run(config: Path | None, use: Callable[[Users], Awaitable[T]]) -> T:
    settings, site = read_config(config)

    async def go() -> T:
        async with Database.open(settings.database_url, upgrade=True) as database:
            users = Users(
                database,
                SystemClock(),
                pbxs=tuple(settings.pbxs),
                calendars=lambda: load_world(site, settings).calendars,
            )
            return await use(users)

    return asyncio.run(go())
