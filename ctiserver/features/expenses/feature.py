"""Builds expenses: parts used and costs, by the price list."""

from __future__ import annotations

from dataclasses import dataclass

from ctiserver.feature import Contribution, FeatureContext
from ctiserver.features.expenses.http import ExpensesHttp
from ctiserver.features.expenses.service import IssuePart, Money

__all__ = ["Needs", "build"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What expenses take from other features."""

    issue_part: IssuePart  #: takes a part out of a technician's stock, within a unit of work


def build(context: FeatureContext, needs: Needs) -> Contribution[Money]:
    """What work orders cost."""
    goods = context.site.goods
    money = Money(context.database, context.clock, goods, time_zone=context.settings.time_zone, issue=needs.issue_part)
    http = ExpensesHttp(context.database, money, goods)
    return Contribution(service=money, routes=http.routes(), rules={"expense_id": http.may_reach})
