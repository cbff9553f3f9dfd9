"""Contacts are found by any part of what is known of them, alike on SQLite and on PostgreSQL."""

from dataclasses import replace

import pytest
import sqlalchemy as sa

from ctiserver.model.contact import Device, Premises
from ctiserver.model.ids import ContactId, DeviceId, SiteId
from ctiserver.store import tables
from ctiserver.store.database import Database
from tests.support.rows import a_contact


async def _names(database: Database, words: str) -> list[str]:
    async with database.reading() as uow:
        return [contact.name for contact in await uow.contacts.search(words)]


@pytest.fixture
async def filled(database: Database) -> Database:
    zhang = a_contact(name="张伟", organisation="浦东机械厂", numbers=("+8613812345678", "8001"))
    zhang_ming = a_contact(name="张伟明", numbers=("+8613900000002",))
    wu = a_contact(name="Wu Li", organisation="O'Brien & Söhne", numbers=("+862158880000",))
    async with database.unit_of_work() as uow:
        for contact in (zhang, zhang_ming, wu):
            await uow.contacts.add(contact)
        await uow.contacts.add_site(
            Premises(
                id=SiteId("S" * 26),
                contact_id=wu.id,
                name="Werk 2",
                address="世纪大道100号",
                local_person="李小龙",
                local_number="021-5888 1234",
            )
        )
        await uow.contacts.add_device(
            Device(id=DeviceId("D" * 26), contact_id=zhang_ming.id, serial="SN-2024-00917", model="Kühler X3")
        )
    return database


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("张伟", ["张伟明", "张伟"]),  # the one added last first
        ("张", ["张伟明", "张伟"]),
        ("伟明", ["张伟明"]),
        ("机械", ["张伟"]),
        ("13812345", ["张伟"]),
        ("138 1234 5678", ["张伟"]),
        ("5678", ["张伟"]),
        ("wu", ["Wu Li"]),
        ("li", ["Wu Li"]),
        ("söhne", ["Wu Li"]),
        ("brien 世纪大道", ["Wu Li"]),
        ("李小龙", ["Wu Li"]),
        ("58881234", ["Wu Li"]),
        ("2024-00917", ["张伟明"]),
        ("kühler", ["张伟明"]),
        ("张 kühler", ["张伟明"]),
        ("张 世纪", []),
        ("%", []),
        ('"', []),
        ('x" OR "a', []),
        ("", []),
    ],
)
async def test_any_part_finds(filled: Database, words: str, names: list[str]) -> None:
    assert await _names(filled, words) == names


async def test_whose_number_or_name_is_meant_comes_first(filled: Database) -> None:
    async with filled.unit_of_work() as uow:
        await uow.contacts.add(a_contact(name="Later", organisation="张伟 & Co", numbers=("+8656780000000",)))
    assert await _names(filled, "张伟") == ["张伟明", "张伟", "Later"]
    assert await _names(filled, "5678") == ["张伟", "Later"]


async def test_what_changes_is_found_anew_and_no_longer_as_before(filled: Database) -> None:
    async with filled.unit_of_work() as uow:
        [wu] = await uow.contacts.search("brien")
        await uow.contacts.update(replace(wu, name="吴丽", organisation="", numbers=("+862158880001",)))
    assert await _names(filled, "brien") == []
    assert await _names(filled, "wu") == []
    assert await _names(filled, "58880000") == []
    assert await _names(filled, "吴丽") == await _names(filled, "58880001") == await _names(filled, "werk") == ["吴丽"]
    async with filled._writing.begin() as connection:
        await connection.execute(sa.delete(tables.sites))
        await connection.execute(sa.delete(tables.contacts).where(tables.contacts.c.name == "吴丽"))
    assert await _names(filled, "werk") == []


async def test_of_very_many_it_shows_twenty(database: Database) -> None:
    async with database.unit_of_work() as uow:
        for number in range(130):
            await uow.contacts.add(
                a_contact(id=ContactId(f"{number:026d}"), name=f"王{number}", numbers=(f"+86138{number:08d}",))
            )
    assert await _names(database, "王") == [f"王{number}" for number in range(129, 109, -1)]
