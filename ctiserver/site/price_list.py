"""``goods.yaml``: spare parts, where they lie, what work and parts cost, and who is paid for it."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Annotated

from pydantic import AfterValidator, Field

from ctiserver.strict_yaml import Name, Written

#: An amount has at most two digits after the point: the smallest coin.
CENTS = Decimal("0.01")


def amount(text: str) -> Decimal:
    """An exact amount of money, not negative. Raises ValueError."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise ValueError(f'{text!r} is not a valid amount; write it in quotes, such as "80.00"') from None
    if not value.is_finite() or value < 0 or value != value.quantize(CENTS):
        raise ValueError(f"{text!r} is not a valid amount: not negative, at most two digits after the point")
    return value.quantize(CENTS)


def _amount_text(text: str) -> str:
    return str(amount(text))


Amount = Annotated[str, AfterValidator(_amount_text)]


class Priced(Written):
    """Something that costs."""

    title: dict[str, str]
    price: Amount  #: of one


class Part(Priced):
    """A spare part."""

    old_back: bool = False  #: the worn one comes back when a new one is issued


class Place(Written):
    """Where parts lie."""

    title: dict[str, str]
    technician: str | None = None  #: the log-in name of whose van it is


class Outlet(Written):
    """A firm that works for us, settled by the month."""

    title: dict[str, str]
    technicians: tuple[str, ...] = ()  #: log-in names


class Goods(Written):
    """goods.yaml"""

    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "CNY"
    approval_above: Amount = "500.00"
    parts: dict[Name, Part] = {}  # noqa: RUF012
    work: dict[Name, Priced] = {}  # noqa: RUF012
    places: dict[Name, Place] = {}  # noqa: RUF012
    outlets: dict[Name, Outlet] = {}  # noqa: RUF012

    def payee(self, login: str) -> str:
        """Who is paid for a technician's work: the outlet that they belong to, else themselves."""
        return next(
            (f"outlet:{name}" for name, outlet in self.outlets.items() if login in outlet.technicians), f"user:{login}"
        )

    def van_of(self, login: str) -> str | None:
        """The place that is a technician's van."""
        return next((name for name, place in self.places.items() if place.technician == login), None)
