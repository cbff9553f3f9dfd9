"""Whether a PBX that refuses us may end the server: only while it starts, and only if no other PBX can be served."""

from __future__ import annotations

from collections.abc import Iterable

from ctiserver.model.ids import PbxName


class FirstTries:
    """What happened to each PBX's first connection, shared by all links of one server.

    An admin who starts a server that can serve no PBX at all is told so at once, and the server ends. From the first
    PBX on that is served, or that may still come, nothing that any PBX says ends it: the others' menus and desks
    would go with it.
    """

    def __init__(self, pbxs: Iterable[PbxName]) -> None:
        self._left = set(pbxs)
        self._settled = False

    def passed(self) -> None:
        """A PBX was reached, or it is away and may come."""
        self._settled = True

    def refused(self, pbx: PbxName) -> bool:
        """A PBX refused us; whether the server should end: every one of them has, and none was ever anything else."""
        self._left.discard(pbx)
        return not self._settled and not self._left
