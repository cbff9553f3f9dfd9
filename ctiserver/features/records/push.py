"""The topic ``record:<id>``: says that a record changed, so that the person who has it open reads it again."""

from __future__ import annotations

from ctiserver.model.ids import RecordId, UserId
from ctiserver.model.json_value import Json
from ctiserver.model.work.record import Record
from ctiserver.store.database import Database
from ctiserver.web.access import DESK
from ctiserver.web.hub import Hub, Topic

ULID_LENGTH = 26


def topics(database: Database) -> list[Topic]:
    """What browsers can follow of records; the desk sees every record."""

    async def revision(key: str) -> Json:
        async with database.reading() as uow:
            record = await uow.records.find(RecordId(key))
        return {"revision": None if record is None else record.revision}

    return [Topic(kind="record", roles=DESK, may=lambda person, key: len(key) == ULID_LENGTH, snapshot=revision)]


def publish(hub: Hub, record_id: RecordId, revision: int | None = None) -> None:
    """Tell that a record changed, or something around it: an order, its timeline (``revision`` is None then)."""
    hub.publish("record", record_id, "changed", {"revision": revision})


def publish_repeat_call(hub: Hub, record: Record, owner: UserId | None) -> None:
    """Somebody rang again about an open record: the person who answers for it is told, and the dispatchers.

    On the topics of work orders, which those people follow already."""
    said: Json = {"record": record.number, "record_id": record.id, "times": record.repeat_calls}
    if owner is not None:
        hub.publish("inbox", owner, "called_again", said)
    hub.publish("day", "all", "called_again", said)
