"""Builds a call's chain: what followed from it."""

from __future__ import annotations

from ctiserver.feature import Contribution, FeatureContext
from ctiserver.features.chain.http import ChainHttp
from ctiserver.features.chain.service import Chains

__all__ = ["build"]


def build(context: FeatureContext) -> Contribution[Chains]:
    """The chain of a call, read from the store."""
    chains = Chains(context.database, context.clock)
    return Contribution(service=chains, routes=ChainHttp(chains).routes())
