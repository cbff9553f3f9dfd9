"""``/api/v1/records/{record_id}/chain`` and ``/api/v1/late``."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime

from aiohttp import web

from ctiserver.features.chain.answers import ChainAnswer, LateAnswer
from ctiserver.features.chain.service import Chains
from ctiserver.model.ids import RecordId
from ctiserver.model.json_value import Json
from ctiserver.web.access import DESK, SUPERVISORS
from ctiserver.web.routes import Route, json_answer


class ChainHttp:
    """Routes over chains."""

    def __init__(self, chains: Chains) -> None:
        self._chains = chains

    def routes(self) -> list[Route]:
        return [
            Route(
                method="GET",
                path="/api/v1/records/{record_id}/chain",
                handler=self._chain,
                roles=DESK | {"dispatcher"},
                answer=ChainAnswer,
            ),
            Route(method="GET", path="/api/v1/late", handler=self._late, roles=SUPERVISORS, answer=LateAnswer),
        ]

    async def _chain(self, request: web.Request) -> web.Response:
        record, whole = await self._chains.of_record(RecordId(request.match_info["record_id"]))
        return json_answer(
            {
                "record_id": record.id,
                "number": record.number,
                "status": record.status,
                "whole": whole.whole,
                "links": [_timed(asdict(link)) for link in whole.links],
                "breaks": [_timed(asdict(gap)) for gap in whole.breaks],
            }
        )

    async def _late(self, request: web.Request) -> web.Response:
        return json_answer(
            {
                "orders": [
                    _timed(
                        {
                            "id": order.id,
                            "number": order.number,
                            "kind": order.kind,
                            "state": order.state,
                            "record_id": record.id,
                            "record_number": record.number,
                            "owner": owner,
                            "accept_by": order.accept_by,
                            "due_at": order.due_at,
                            "late": late,
                        }
                    )
                    for order, record, owner, late in await self._chains.late()
                ]
            }
        )


def _timed(values: dict[str, object]) -> dict[str, Json]:
    return {
        name: value.isoformat() if isinstance(value, datetime) else value  # type: ignore[misc]
        for name, value in values.items()
    }
