"""The server as `ctiserver serve` composes it, without a telephone system: its link is down and everything else runs."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from pydantic import SecretStr

from ctiserver.app.composition import App, running
from ctiserver.lab.privatepbx.ports import free_port
from ctiserver.model.ids import new_ulid
from ctiserver.resources import shipped
from ctiserver.settings import (
    AgiSettings,
    DatabaseSettings,
    PbxSettings,
    PromptSettings,
    Settings,
    WebSettings,
    WorkflowSettings,
)
from ctiserver.store.database import Database
from ctiserver.store.unit_of_work import UnitOfWork


@asynccontextmanager
async def whole_server(
    folder: Path,
    *,
    database_url: str = "",
    files: Mapping[str, str] | None = None,
    pbx: PbxSettings | None = None,
    prompt_command: tuple[str, ...] = ("false",),
) -> AsyncIterator[App]:
    """The shipped site, with ``files`` in place of its own, on this database; empty: SQLite in ``folder``."""
    config = folder / "config"
    if not config.exists():
        shutil.copytree(shipped("config"), config)
    for name, text in (files or {}).items():
        (config / name).write_text(text, encoding="utf-8")
    settings = Settings(
        data_dir=folder / "data",
        config_dir=config,
        pbxs={
            "main": pbx
            or PbxSettings(port=free_port(), secret=SecretStr("x"), reconnect_first_s=20.0, reconnect_longest_s=20.0)
        },
        agi=AgiSettings(port=0),
        web=WebSettings(port=0),
        prompts=PromptSettings(command=prompt_command),
        database=DatabaseSettings(url=database_url) if database_url else DatabaseSettings(),
        workflow=WorkflowSettings(polling_s=0.05),
    )
    (folder / "data").mkdir(exist_ok=True)
    async with running(settings) as app:
        yield app


async def put(uow: UnitOfWork, table: sa.Table, **values: Any) -> str:
    """A row as no use case would write it: what is not said is as harmless as the column allows. Gives its id."""
    row = {column.name: _harmless(column) for column in table.columns if column.name not in values}
    row = {name: value for name, value in row.items() if value is not None} | values
    await uow.outbox._connection.execute(sa.insert(table), row)
    return str(row.get("id", ""))


async def spoil(database: Database, table: str, key: str, **values: str) -> None:
    """Write SQL expressions over columns of a row, past every check of ours: what the database itself can hold."""
    said = ", ".join(f'"{name}" = {value}' for name, value in values.items())
    async with database.unit_of_work() as uow:
        await uow.outbox._connection.execute(sa.text(f"UPDATE {table} SET {said} WHERE id = :key"), {"key": key})


def _harmless(column: sa.Column[Any]) -> Any:
    if column.name == "id":
        return new_ulid(datetime.now(UTC))
    if column.nullable or column.server_default is not None or column.foreign_keys:
        return None
    match column.type:
        case sa.Boolean():
            return False
        case sa.Integer() | sa.Float():
            return 1
        case sa.JSON():
            return {}
        case sa.String():
            return new_ulid(datetime.now(UTC)) if column.unique else ""
        case _ if "Decimal" in type(column.type).__name__:
            return 0
        case _ if "DateTime" in type(column.type).__name__:
            return datetime.now(UTC)
        case _:
            return ""
