"""What the routes of stock answer."""

from __future__ import annotations

from ctiserver.web.routes import Answer, Moment


class TitledAnswer(Answer):
    name: str
    title: dict[str, str]


class PricedAnswer(TitledAnswer):
    price: str
    """An exact amount, as text."""


class PartAnswer(PricedAnswer):
    old_back: bool
    """The worn one comes back."""


class PartsAnswer(Answer):
    """The price list, and where parts lie."""

    currency: str
    parts: list[PartAnswer]
    work: list[PricedAnswer]
    places: list[TitledAnswer]


class LevelAnswer(Answer):
    place: str
    part: str
    on_hand: int
    reserved: int
    free: int
    old_due: int


class StockAnswer(Answer):
    """How much lies where; after a move, the level that it changed."""

    levels: list[LevelAnswer]


class SentAnswer(StockAnswer):
    """Both levels after parts were sent."""


class MoveAnswer(Answer):
    id: str
    kind: str
    place: str
    part: str
    quantity: int
    order_id: str | None
    record_id: str | None
    actor: str
    at: Moment


class MovesAnswer(Answer):
    """What was done, the newest first."""

    moves: list[MoveAnswer]
    before: str | None
    """For the next page; null: this is the last."""
