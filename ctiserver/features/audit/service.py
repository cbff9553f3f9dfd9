"""What others must be able to look up, of acts that change nothing and so have no transaction of their own."""

from __future__ import annotations

from functools import partial

import structlog

from ctiserver.bus import Bus, Lagged
from ctiserver.model.events import RecordingHeard
from ctiserver.store.database import Database
from ctiserver.store.patience import until_stored

log = structlog.get_logger(__name__)


async def keep(database: Database, bus: Bus) -> None:
    """Write down, until the bus closes, who played which recording."""

    async def note(event: RecordingHeard) -> None:
        async with database.unit_of_work() as uow:
            await uow.audit.note(
                event.at,
                f"user:{event.by}",
                "recording_played",
                f"call:{event.call_id}",
                detail={"recording": event.recording_id},
            )

    with bus.subscribe(RecordingHeard) as events:
        while True:
            try:
                async for event in events:
                    await until_stored(partial(note, event), "who played a recording")
                return
            except Lagged as lagged:
                log.error("audit_lagged", missed=str(lagged))
