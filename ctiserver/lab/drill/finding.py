"""What one fault showed: figures, and what did not hold; as a table, and as JSON."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ctiserver.model.json_value import Json

Figure = int | float | str


@dataclass
class Finding:
    """One fault's. ``holds`` is filled by :meth:`must`."""

    fault: str
    what: str  #: what was done, in a sentence
    figures: dict[str, Figure] = field(default_factory=dict)
    held: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def must(self, what: str, holds: bool) -> None:
        """Note whether something that must hold did."""
        (self.held if holds else self.broken).append(what)

    def at_most(self, name: str, figure: float | None, limit: float, *, unit: str = "s") -> None:
        """Note a figure that must not pass a limit; None, it was never reached, does."""
        self.figures[name] = "never" if figure is None else round(figure, 2)
        self.must(f"{name.replace('_', ' ')} ≤ {limit:g} {unit}", figure is not None and figure <= limit)

    def worst_at_most(
        self, name: str, figures: Sequence[float | None], limit: float, *, of_none: float | None = None
    ) -> None:
        """The same of the worst of several: one that was never reached is. ``of_none`` stands for none at all."""
        reached = [figure for figure in figures if figure is not None]
        self.at_most(name, max(reached, default=of_none) if len(reached) == len(figures) else None, limit)

    def none(self, name: str, found: Sequence[object]) -> None:
        """Note how many there are of what must not be."""
        self.figures[name] = len(found)
        self.must(f"no {name.replace('_', ' ')}" + (f" ({', '.join(map(str, found[:3]))})" if found else ""), not found)

    def json(self) -> dict[str, Json]:
        """As JSON."""
        return {
            "fault": self.fault,
            "what": self.what,
            "figures": dict(self.figures),
            "held": list(self.held),
            "broken": list(self.broken),
        }

    @classmethod
    def of_json(cls, data: Mapping[str, Json]) -> Finding:
        """Back from :meth:`json`."""
        figures, held, broken = data["figures"], data["held"], data["broken"]
        assert isinstance(figures, dict)
        assert isinstance(held, list)
        assert isinstance(broken, list)
        return cls(
            fault=str(data["fault"]),
            what=str(data["what"]),
            figures={name: value for name, value in figures.items() if isinstance(value, int | float | str)},
            held=[str(one) for one in held],
            broken=[str(one) for one in broken],
        )


def machine() -> dict[str, Json]:
    """Where figures were measured; they say nothing without it."""
    model = ""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "")
        memory_kib = int(Path("/proc/meminfo").read_text(encoding="utf-8").split()[1])
    except (OSError, ValueError, IndexError):
        memory_kib = 0
    return {
        "cpus": os.cpu_count() or 0,
        "cpu": model,
        "memory_gib": round(memory_kib / 2**20, 1),
        "load_1min": round(os.getloadavg()[0], 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }
