"""How every table is written: names of its constraints, and the columns that all of them share."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, ForeignKey, Integer, MetaData, String, Text

from ctiserver.store.columns import JsonColumn, UtcDateTime

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def id_(name: str = "id") -> Column[str]:
    return Column(name, String(26), primary_key=True)


def ref(name: str, target: str, *, nullable: bool = True, index: bool = True) -> Column[str]:
    return Column(name, String(26), ForeignKey(target), nullable=nullable, index=index)


def word(name: str, **options: Any) -> Column[str]:
    return Column(name, String(64), nullable=options.pop("nullable", False), **options)


def long_text(name: str) -> Column[str]:
    return Column(name, Text, nullable=False)


def instant(name: str, *, nullable: bool = False, index: bool = False) -> Column[Any]:
    return Column(name, UtcDateTime, nullable=nullable, index=index)


def json_(name: str) -> Column[Any]:
    return Column(name, JsonColumn, nullable=False)


def revision() -> Column[int]:
    return Column("revision", Integer, nullable=False)
