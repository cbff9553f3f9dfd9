"""Builds the stock of parts."""

from __future__ import annotations

from ctiserver.feature import Contribution, FeatureContext
from ctiserver.features.stock.http import StockHttp
from ctiserver.features.stock.service import StockKeeping

__all__ = ["StockKeeping", "build"]


def build(context: FeatureContext) -> Contribution[StockKeeping]:
    """Where parts are, and their moves."""
    stock = StockKeeping(context.database, context.clock, context.site.goods, context.aside)
    return Contribution(
        service=stock,
        routes=StockHttp(stock, context.site.goods).routes(),
        background_jobs={"stock": stock.run},
    )
