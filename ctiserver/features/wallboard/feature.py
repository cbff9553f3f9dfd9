"""Builds the wallboard: queues' figures of today, and a supervisor's actions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ctiserver.feature import Contribution, FeatureContext
from ctiserver.features.wallboard import push
from ctiserver.features.wallboard.board import Board
from ctiserver.features.wallboard.http import WallboardHttp
from ctiserver.features.wallboard.steering import AgentActs, Steering

__all__ = ["AgentActs", "Board", "Needs", "build"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What the wallboard takes from other features."""

    agents: AgentActs
    logged: Callable[[], Awaitable[None]]  #: waits until the call log has what was seen so far


def build(context: FeatureContext, needs: Needs) -> Contribution[Board]:
    """The figures, their topic, and monitoring."""
    hub = context.hub
    board = Board(
        context.database,
        context.bus,
        context.clock,
        context.site,
        pbxs=context.pbxs,
        time_zone=context.settings.time_zone,
        told=lambda figures: push.publish(hub, board, figures),
        aged=lambda: push.publish_age(hub, board),
    )
    steering = Steering(
        context.database,
        context.clock,
        context.site,
        pbxs=context.pbxs,
        agents=needs.agents,
    )
    http = WallboardHttp(context.database, board, steering, logged=needs.logged)
    return Contribution(
        service=board,
        routes=http.routes(),
        topics=push.topics(board),
        rules={"agent_id": http.may_reach_agent, "queue": http.may_reach_queue},
        services={"board": board.run},
        background_jobs={"board-teller": board.tell, "board-forgetter": board.let_go},
    )
