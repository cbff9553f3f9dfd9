"""Which Asterisks are supported."""

from __future__ import annotations

from collections.abc import Mapping

#: The oldest release of each supported branch whose security advisories are closed; branch → version.
OLDEST_SUPPORTED: Mapping[int, tuple[int, int, int]] = {20: (20, 18, 2), 22: (22, 8, 2)}
