"""Is everything there that the server needs? Looks, changes nothing, and says of each thing what to do."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from ctiserver.clock import Clock
from ctiserver.errors import UserFault
from ctiserver.features.operations.finding import Finding, bad, good, of_fault
from ctiserver.features.operations.pbx_checks import pbx_findings
from ctiserver.ivr.speech.prompts import GET_A_VOICE, Shelf, engines
from ctiserver.ivr.speech.texts import Spoken, in_one_sentence, unspoken
from ctiserver.model.person import Agent
from ctiserver.net import RequestFailed, get_json
from ctiserver.private_files import readable_by_others
from ctiserver.resources import shipped
from ctiserver.settings import Settings
from ctiserver.site.load import Site
from ctiserver.store import sqlite_abilities
from ctiserver.store.database import Database
from ctiserver.store.faults import StoreUnavailable

_SQLITE = "sqlite:///"


async def examine(settings: Settings, site: Site, texts: Sequence[Spoken], clock: Clock) -> AsyncIterator[Finding]:
    """One finding after another, the nearest first. ``texts`` is what calls will be told."""
    for setting, url in (("database.url", settings.database_url), ("workflow.url", settings.workflow_url)):
        if url.startswith(_SQLITE):
            yield _sqlite(setting)
            break
    found, agents = await _database(settings)
    yield found
    yield await _workflow_database(settings)
    yield _private(settings, site)
    yield _prompts(settings, site, texts)
    running = await _running(settings)
    yield _port("FastAGI port", "agi", settings.agi.host, settings.agi.port, running.get("agi_port"))
    yield _port("web port", "web", settings.web.host, settings.web.port, running.get("web_port"))
    if not settings.pbxs:
        yield bad(
            "PBX", "none is named", where="ctiserver.yaml: pbxs", fix="`ctiserver pbx adopt HOST` says what to add"
        )
    for number, (name, pbx) in enumerate(settings.pbxs.items()):
        # Agents and queues are those of the first PBX; the others bring calls.
        first = number == 0
        for finding in await pbx_findings(
            name, pbx, settings.agi, clock, site=site if first else None, agents=agents if first else ()
        ):
            yield finding


def _sqlite(setting: str) -> Finding:
    check = "SQLite"
    try:
        return good(check, f"version {sqlite_abilities.refuse_unable(setting)}")
    except UserFault as fault:
        return of_fault(check, fault)


async def _database(settings: Settings) -> tuple[Finding, Sequence[Agent]]:
    check = "database"
    url = settings.database_url
    file = _file(url)
    if file is not None and not file.exists():
        return bad(check, f"{file} is not there yet", where="database.url", fix="Run: ctiserver db upgrade"), ()
    try:
        async with Database.open(url) as database, database.reading() as uow:
            agents = [agent for agent in await uow.agents.everybody() if agent.active]
            version = await database.schema_version()
    except UserFault as fault:
        return of_fault(check, fault), ()
    except StoreUnavailable as error:
        return bad(check, str(error), where="database.url", fix="See that it runs and answers, then try again"), ()
    return good(check, f"{database.dialect}, schema {version}"), agents


async def _workflow_database(settings: Settings) -> Finding:
    check = "workflow database"
    where = "workflow.url"
    file = _file(settings.workflow_url)
    if file is not None and not file.exists():
        folder = next(parent for parent in file.absolute().parents if parent.exists())
        if not os.access(folder, os.W_OK | os.X_OK):
            return bad(check, f"{folder} can't be written", where=where, fix="Give ctiserver's user the right to")
        return good(check, f"{file} will be made at the first start")
    try:
        async with Database.open(settings.workflow_url, any_schema=True) as database:
            dialect = database.dialect
    except (UserFault, StoreUnavailable) as error:
        what = error.what if isinstance(error, UserFault) else str(error)
        return bad(check, what, where=where, fix="Check path or server; a broken file must be put back from a backup")
    return good(check, dialect)


def _private(settings: Settings, site: Site) -> Finding:
    check, messages = "private files", site.messages
    names = [pbx.secret_file for pbx in settings.pbxs.values()]
    names += [pbx.browser_phones.secrets_file for pbx in settings.pbxs.values()]
    beside = [messages.sms.token_file, messages.email.password_file]
    beside += [hook.secret_file for hook in messages.webhooks.values()]
    paths = [settings.config_dir / name for name in names if name is not None]
    paths += [site.directory / name for name in beside if name is not None]
    paths += [path for path in map(_file, (settings.database_url, settings.workflow_url)) if path is not None]
    open_ = readable_by_others(paths)
    if open_:
        said = ", ".join(map(str, open_))
        return bad(check, "other accounts of this machine may read them", where=said, fix=f"Run: chmod 600 {open_[0]}")
    return good(check, "databases and secrets are for their owner alone")


def _file(url: str) -> Path | None:
    return Path(url.removeprefix(_SQLITE)) if url.startswith(_SQLITE) else None


def _prompts(settings: Settings, site: Site, texts: Sequence[Spoken]) -> Finding:
    check = "prompts"
    own = Shelf(settings.prompts, settings.prompts_dir, recordings=site.directory / "prompts")
    # Two shelves, since one that fills its gaps from the shipped prompts copies files, and doctor writes none.
    lacking = unspoken(Shelf(settings.prompts, shipped("ivr_flows") / "prompts"), unspoken(own, texts))
    if lacking:
        render = "Run: ctiserver prompts render (`ctiserver serve` does so too, while it serves)"
        return bad(
            check,
            in_one_sentence(lacking),
            where=str(settings.prompts_dir),
            fix=render if engines(settings.prompts) else f"Run: {GET_A_VOICE}",
        )
    return good(check, f"all {len(texts)} texts are spoken")


async def _running(settings: Settings) -> dict[str, object]:
    """What a server that runs with these settings says of itself; empty if none does."""
    if not settings.web.port:
        return {}
    host = "127.0.0.1" if settings.web.host in ("0.0.0.0", "::") else settings.web.host
    try:
        _, said = await get_json(f"http://{f'[{host}]' if ':' in host else host}:{settings.web.port}/readyz")
    except RequestFailed:
        return {}
    return {**said, "web_port": settings.web.port} if isinstance(said, dict) and "agi_port" in said else {}


def _port(check: str, setting: str, host: str, port: int, ours: object) -> Finding:
    where = f"ctiserver.yaml: {setting}.host, {setting}.port"
    if not port:
        return good(check, "any that is free")
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE and ours == port:
            return good(check, f"{host}:{port}, where this ctiserver serves now")
        if error.errno == errno.EADDRINUSE:
            return bad(
                check, f"{host}:{port} is in use by another program", where=where, fix="Stop it, or choose another"
            )
        return bad(
            check,
            f"{host}:{port} can't be listened on: {error.strerror or error}",
            where=where,
            fix="Name an address of this machine, and a port above 1023 unless root serves",
        )
    return good(check, f"{host}:{port} is free")
