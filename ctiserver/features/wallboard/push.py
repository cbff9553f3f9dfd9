"""WebSocket topic ``board``: every queue's figures of today, and how old they are."""

from __future__ import annotations

from ctiserver.features.wallboard.board import Board, QueueFigures
from ctiserver.model.json_value import Json
from ctiserver.web.access import SUPERVISORS
from ctiserver.web.hub import Hub, Topic


def topics(board: Board) -> list[Topic]:
    """The topics of this feature."""

    async def everything(_: str) -> Json:
        return board_json(board)

    return [Topic(kind="board", roles=SUPERVISORS, may=lambda _person, key: key == "all", snapshot=everything)]


def publish(hub: Hub, board: Board, queue: QueueFigures) -> None:
    """Tell who looks at the board of one queue's new figures."""
    hub.publish("board", "all", "queue", {"age_s": board.age_s, "queue": figures_json(queue)})


def publish_age(hub: Hub, board: Board) -> None:
    """Tell that the board is still true, or since when it isn't known to be."""
    hub.publish("board", "all", "age", {"age_s": board.age_s})


def board_json(board: Board) -> dict[str, Json]:
    """The whole board as the API and the topic write it. Shares are 0 to 1, None where nobody was counted."""
    return {"age_s": board.age_s, "queues": [figures_json(queue) for queue in board.everything()]}


def figures_json(it: QueueFigures) -> dict[str, Json]:
    figures = it.figures
    return {
        "name": it.queue,
        "answered_within_s": it.thresholds.answered_within.total_seconds(),
        "short_abandon_s": it.thresholds.short_abandon.total_seconds(),
        "offered": figures.offered,
        "waiting": figures.waiting,
        "answered": figures.answered,
        "answered_in_time": figures.answered_in_time,
        "abandoned": figures.abandoned,
        "abandoned_short": figures.abandoned_short,
        "left_otherwise": figures.left_otherwise,
        "sl_no_short": figures.sl_no_short,
        "sl_answered": figures.sl_answered,
        "sl_asterisk2": figures.sl_asterisk2,
        "sl_offered": figures.sl_offered,
        "abandon_rate": figures.abandon_rate,
        "answered_rate": figures.answered_rate,
        "asa_ms": figures.asa_ms,
        "wait_all_ms": figures.wait_all_ms,
    }
