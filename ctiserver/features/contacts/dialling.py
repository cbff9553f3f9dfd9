"""Which numbers outside a flow may dial: by dialling.yaml, by a roster, and none whose contact wants no calls."""

from __future__ import annotations

from ctiserver.features.contacts.service import Contacts
from ctiserver.model import numbers
from ctiserver.refused_calls import REFUSED
from ctiserver.site.load import Site


class FlowDialling:
    """Says which numbers flows may dial."""

    def __init__(self, contacts: Contacts, site: Site, *, region: str) -> None:
        """``region``: ISO 3166, how national numbers are read."""
        self._contacts = contacts
        self._site = site
        self._region = region

    async def dialable(self, number: str, *, rostered: bool) -> str | None:
        """The number in E.164; None where it may not be dialled. Raises StoreUnavailable.

        ``rostered``: a roster has it, which is leave enough; what dialling.yaml refuses is refused all the same.
        """
        rules = self._site.outbound
        found = numbers.dialable(number, self._region, allow=("+",) if rostered else rules.allow, refuse=rules.refuse)
        if found is None:
            REFUSED.note("flow")
            return None
        return None if not rostered and await self._contacts.unwanted(found) else found
