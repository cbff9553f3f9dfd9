"""A new version for a share of callers, taken back by itself when too many of its calls go wrong.

A caller always gets the same version: the share is chosen by a hash of the number. What became of the calls is counted
by the version's digest and kept in a file, so that a restart forgets no rollback; an edited version begins afresh.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import structlog

from ctiserver.ivr.language.library import Library
from ctiserver.ivr.language.loader import Flow
from ctiserver.site.files import NumberConfig, Rollout

log = structlog.get_logger(__name__)

#: ``failed``: the flow could not serve the caller; ``abandoned``: the caller hung up unserved.
Ending = Literal["well", "failed", "abandoned"]


@dataclass(slots=True)
class Count:
    """What became of the calls of one version so far."""

    flow: str
    calls: int = 0
    failed: int = 0
    abandoned: int = 0
    taken_back: str = ""  #: why; empty: it is not


class Rollouts:
    """Which version a call gets, and whether that is still a good idea."""

    def __init__(self, library: Library, path: Path) -> None:
        """``path``: the file that keeps the counts. One that can't be read is begun anew."""
        self._library = library
        self._path = path
        self._counts: dict[str, Count] = {}
        self._bounds: dict[str, Rollout] = {}
        try:
            self._counts = {digest: Count(**count) for digest, count in json.loads(path.read_text("utf-8")).items()}
        except FileNotFoundError:
            pass
        except (OSError, ValueError, TypeError) as error:
            log.error("rollouts_not_read", file=str(path), reason=str(error))

    def flow(self, number: NumberConfig, caller: str) -> Flow | None:
        """The version for a call to ``number``; ``caller`` is who calls, or the call itself where that is withheld."""
        rollout = number.rollout
        new = None if rollout is None else self._library.current(rollout.flow_name)
        if rollout is None or new is None or not self._is_chosen(caller, new, rollout):
            return self._library.current(number.flow_name)
        self._bounds[new.digest] = rollout
        return new

    def ended(self, flow: Flow, how: Ending) -> None:
        """A call is over. Those of versions that are no rollout are not counted."""
        rollout = self._bounds.get(flow.digest)
        if rollout is None:
            return
        count = self._counts.setdefault(flow.digest, Count(flow.name))
        count.calls += 1
        count.failed += how == "failed"
        count.abandoned += how == "abandoned"
        why = "" if count.taken_back else _why_back(count, rollout)
        if why:
            count.taken_back = why
            log.error("rollout_taken_back", flow=flow.name, version=flow.version, why=why)
        self._keep()

    def _is_chosen(self, caller: str, new: Flow, rollout: Rollout) -> bool:
        count = self._counts.get(new.digest)
        if count is not None and count.taken_back:
            return False
        digest = hashlib.sha256(f"{new.name}\0{caller}".encode()).digest()
        return int.from_bytes(digest[:4], "big") % 100 < rollout.percent

    def _keep(self) -> None:
        partial = self._path.with_suffix(".part")
        partial.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps({digest: asdict(count) for digest, count in self._counts.items()}), "utf-8")
        partial.replace(self._path)


def _why_back(count: Count, rollout: Rollout) -> str:
    if count.calls < rollout.after:
        return ""
    for what, number, bound in (
        ("failed", count.failed, rollout.back_at.failed_percent),
        ("were abandoned", count.abandoned, rollout.back_at.abandoned_percent),
    ):
        if bound is not None and number * 100 > bound * count.calls:
            return f"{number} of {count.calls} calls {what}, more than {bound} %"
    return ""
