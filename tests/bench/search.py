"""Contact search over a million generated contacts, by each kind of words that people type.

On SQLite always; on PostgreSQL too where one can be started and CTISERVER_BENCH_POSTGRES is set. The rows are made
inside the database by the text that the repository itself would write, since a million use cases would take an hour.
CTISERVER_BENCH_KEEP names a folder where the SQLite file stays, to be searched again without being filled again.
"""

from __future__ import annotations

import asyncio
import os
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from ctiserver.model.search_text import encoded
from ctiserver.store import tables
from ctiserver.store.database import Database
from tests.support import postgres

CONTACTS = int(os.environ.get("CTISERVER_BENCH_CONTACTS", "1000000"))
QUERIES = 100  #: of each kind
_BATCH = 20_000

_SURNAMES = "王李张刘陈杨黄赵周吴徐孙朱马胡郭林何高梁郑罗宋谢唐韩曹许邓萧冯曾程蔡彭潘袁于董余苏叶吕魏蒋田杜丁沈姜范江傅钟卢汪戴崔任陆廖姚方金邱夏谭韦贾邹石熊孟秦阎薛侯雷白龙段郝孔邵史毛常万顾赖武康贺严尹钱施牛洪龚"
_GIVEN = "伟芳娜秀英敏静丽强磊军洋勇艳杰娟涛明超霞平刚桂兰玲飞玉萍红鹏华建国文辉力海波斌莉宁浩凯健俊帆雪荣翔晨辰士以建家致树炎德行时泰盛雄琛钧冠策腾榕风航弘义诚星光天达安岩中茂武新利清东龙"
_ROADS = [
    "世纪",
    "人民",
    "解放",
    "中山",
    "建设",
    "和平",
    "南京",
    "北京",
    "淮海",
    "延安",
    "长江",
    "黄河",
    "友谊",
    "胜利",
    "文化",
    "新华",
    "科技",
    "滨江",
    "湖滨",
    "学院",
]
_DISTRICTS = ["浦东新区", "海淀区", "天河区", "南山区", "武侯区", "江宁区", "西湖区", "历下区", "渝中区", "雁塔区"]


def _rows(chance: random.Random) -> Iterator[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]]:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    for n in range(CONTACTS):
        key = f"{n:026d}"
        name = chance.choice(_SURNAMES) + "".join(chance.choices(_GIVEN, k=chance.choice((1, 2, 2))))
        mobile = f"+861{chance.choice('35789')}{chance.randrange(10**9):09d}"
        address = f"{chance.choice(_DISTRICTS)}{chance.choice(_ROADS)}路{chance.randrange(1, 2000)}号"
        serial = f"SN{chance.randrange(10**9):09d}"
        yield (
            {
                "id": key,
                "name": name,
                "organisation": "",
                "language": "",
                "tier": "",
                "do_not_call": False,
                "note": "",
                "created_at": now,
                "updated_at": now,
                "revision": 1,
            },
            {"contact_id": key, "number": mobile, "position": 0},
            {"contact_id": key, "text": encoded((name, mobile, address, serial))},
        )


async def _fill(database: Database) -> None:
    rows = _rows(random.Random(1))
    async with database._writing.connect() as connection:
        if database.dialect == "postgresql":
            async with connection.begin():  # a batch takes longer than a use case may
                await connection.exec_driver_sql("SET idle_in_transaction_session_timeout = 0")
        for begin in range(0, CONTACTS, _BATCH):
            batch = [next(rows) for _ in range(min(_BATCH, CONTACTS - begin))]
            async with connection.begin():
                for table, values in zip(
                    (tables.contacts, tables.contact_numbers, tables.contact_search),
                    zip(*batch, strict=True),
                    strict=True,
                ):
                    for part in range(0, len(values), 2000):
                        await connection.execute(sa.insert(table), list(values[part : part + 2000]))
        if database.dialect == "postgresql":
            async with connection.begin():
                await connection.execute(sa.text("ANALYZE"))


async def _known(database: Database) -> list[tuple[str, str, str]]:
    """What there is to find: name, number, and all that is searched, of a few hundred; nobody in an empty database."""
    keys = [f"{n:026d}" for n in range(0, CONTACTS, max(1, CONTACTS // 1000))]
    contacts, numbers, search = tables.contacts, tables.contact_numbers, tables.contact_search
    async with database._writing.connect() as connection:
        found = await connection.execute(
            sa.select(contacts.c.name, numbers.c.number, search.c.text)
            .join(numbers, numbers.c.contact_id == contacts.c.id)
            .join(search, search.c.contact_id == contacts.c.id)
            .where(contacts.c.id.in_(keys))
            .order_by(contacts.c.id)
        )
        return [(row.name, row.number, row.text) for row in found]


def _queries(chance: random.Random, known: list[tuple[str, str, str]]) -> Iterator[tuple[str, str]]:
    for _ in range(QUERIES):
        name, number, text = chance.choice(known)
        plain = text.replace("_", "")
        serial, road = plain.split()[-1], plain.split()[-2]
        at = chance.randrange(3, 9)
        yield "name", name
        yield "surname alone", name[0]
        yield "three digits of a number", number[at : at + 3]
        yield "six digits of a number", number[at : at + 6]
        yield "whole number", number
        yield "end of a serial", serial[-5:]
        yield "street", road[-6:]
        yield "district and surname", f"{road[:3]} {name[0]}"
        yield "nobody", f"{chance.randrange(10**12):012d}9"


async def _measure(url: str) -> dict[str, object]:
    async with Database.open(url, upgrade=True) as database:
        began = time.monotonic()
        known = await _known(database)
        if not known:
            await _fill(database)
            known = await _known(database)
        filled_s = time.monotonic() - began
        taken: dict[str, list[float]] = {}
        cpu_ms: list[float] = []
        found: dict[str, int] = {}
        queries = list(_queries(random.Random(2), known))
        random.Random(3).shuffle(queries)
        for kind, words in queries:
            at, cpu = time.perf_counter(), time.process_time()
            async with database.reading() as uow:
                contacts = await uow.contacts.search(words)
            cpu_ms.append((time.process_time() - cpu) * 1000)
            taken.setdefault(kind, []).append((time.perf_counter() - at) * 1000)
            found[kind] = found.get(kind, 0) + bool(contacts)
        everything = sorted(value for values in taken.values() for value in values)
        return {
            "contacts": CONTACTS,
            "filled_s": round(filled_s, 1),
            "all": _figures(everything),
            "own_cpu": _figures(sorted(cpu_ms)),  # without the server's, where there is one
            "by_kind": {kind: _figures(sorted(values)) | {"found": found[kind]} for kind, values in taken.items()},
        }


def _figures(ordered: list[float]) -> dict[str, float]:
    return {
        "p50_ms": round(statistics.median(ordered), 1),
        "p95_ms": round(ordered[int(len(ordered) * 0.95)], 1),
        "worst_ms": round(ordered[-1], 1),
        "n": len(ordered),
    }


def run() -> dict[str, Any]:
    """Fill, then search; the aim is a p95 of 200 ms."""
    with ExitStack() as stack:
        folder = os.environ.get("CTISERVER_BENCH_KEEP") or stack.enter_context(
            tempfile.TemporaryDirectory(prefix="ctiserver-bench-")
        )
        report: dict[str, Any] = {"sqlite": asyncio.run(_measure(f"sqlite:///{folder}/search.sqlite"))}
        report["sqlite"]["file_mb"] = round(
            sum(path.stat().st_size for path in Path(folder).glob("search.sqlite*")) / 2**20
        )
    if os.environ.get("CTISERVER_BENCH_POSTGRES"):
        with tempfile.TemporaryDirectory(prefix="ctiserver-pg-") as folder, postgres.cluster(Path(folder)) as cluster:
            report["postgresql"] = asyncio.run(_measure(cluster.create("search")))
    return report
