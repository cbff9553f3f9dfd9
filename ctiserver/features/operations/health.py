"""Whether the server can do its work now.

Ready: the database answers, the workflow engine runs, and FastAGI listens. A PBX whose link is down makes it
degraded, not unready: the other PBXs' calls, the desk's notes and the work orders go on, and taking the server out of
service would end those too without mending the link. The same is true of a service that fails: it is named, and all
others go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from ctiserver.agi.server import AgiServer
from ctiserver.errors import UserFault
from ctiserver.model.ids import PbxName
from ctiserver.pbx.link import PbxLink
from ctiserver.pbx.trouble import Trouble
from ctiserver.store.database import Database
from ctiserver.store.faults import StoreUnavailable
from ctiserver.supervise import Failing

#: Longer than a healthy database ever takes, shorter than those who ask wait.
_DATABASE_WITHIN_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PbxHealth:
    """One PBX's link."""

    name: PbxName
    up: bool
    since: datetime  #: since when it is up, or down: what is shown of a PBX is as old as that
    version: str
    trouble: Trouble | None  #: what is wrong with it, link up or down
    signed: bool  #: its events carry a secret systemname
    refused: int  #: events that were not believed, since the start


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """What was found, and what it comes to."""

    reasons: tuple[str, ...]  #: why it is not ready; empty if it is
    pbxs: tuple[PbxHealth, ...]
    agi_port: int | None
    failing: tuple[Failing, ...] = ()  #: services that don't do their work now; all others do

    @property
    def status(self) -> Literal["ready", "degraded", "not_ready"]:
        if self.reasons:
            return "not_ready"
        return "ready" if all(pbx.up and pbx.trouble is None for pbx in self.pbxs) and not self.failing else "degraded"


class Health:
    """Asked by anyone who watches over the server."""

    def __init__(
        self,
        database: Database,
        agi: AgiServer,
        links: Mapping[PbxName, PbxLink],
        *,
        workflow_runs: Callable[[], bool],
        failing: Callable[[], tuple[Failing, ...]] = tuple,
    ) -> None:
        self._database = database
        self._agi = agi
        self._links = links
        self._workflow_runs = workflow_runs
        self._failing = failing

    async def readiness(self) -> Readiness:
        """Look at everything now."""
        reasons = []
        try:
            async with asyncio.timeout(_DATABASE_WITHIN_S):
                await self._database.schema_version()
        except TimeoutError:
            reasons.append(f"the database did not answer within {_DATABASE_WITHIN_S:g} s")
        except (StoreUnavailable, UserFault) as error:
            reasons.append(str(error))
        if not self._workflow_runs():
            reasons.append("the workflow engine does not run")
        if self._agi.port is None:
            reasons.append("FastAGI does not listen")
        return Readiness(
            reasons=tuple(reasons),
            pbxs=tuple(
                PbxHealth(
                    name=name,
                    up=link.up,
                    since=link.since,
                    version=link.version,
                    trouble=link.trouble,
                    signed=bool(link.systemname),
                    refused=link.counters()["refused"],
                )
                for name, link in self._links.items()
            ),
            agi_port=self._agi.port,
            failing=self._failing(),
        )
