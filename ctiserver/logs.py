"""Logs as events with ids: one line an event, numbers masked, typed digits never."""

from __future__ import annotations

import asyncio
import logging
import re
import sys
import time
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

import structlog

from ctiserver.settings import LogSettings

#: Context that every line carries where it is known: bind with ``structlog.contextvars.bound_contextvars``.
CONTEXT = ("pbx", "linkedid", "call_id", "agent")

_NUMBERS = ("ani", "dnis", "number", "caller")
_MASKED = re.compile(r"\d(?=\d{4})")


def mask(number: str) -> str:
    """A telephone number for a log: only its last four digits stay."""
    return _MASKED.sub("*", number)


def _mask_numbers(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key in _NUMBERS:
        if isinstance(event.get(key), str):
            event[key] = mask(event[key])
    return event


def _printable(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """What others wrote moves no terminal's cursor, and no half character keeps a line from being written."""
    for key, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            event[key] = "".join(c if c.isprintable() or c in "\n\t" else f"\\x{ord(c):02x}" for c in value)
    return event


class Seldom:
    """What strangers can bring about as often as they like: one line a second of each kind is written."""

    def __init__(self, log: Any, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._monotonic = monotonic
        self._kinds: dict[tuple[str, str], tuple[float, int]] = {}  #: when it was written last, and how many since

    def info(self, event: str, *, why: str, **facts: object) -> None:
        """Write it, or count it: ``more`` says how many of the kind came since the last line. ``why`` is one of few."""
        self._tell(self._log.info, event, why, facts)

    def warning(self, event: str, *, why: str, **facts: object) -> None:
        """The same, for what an admin should know."""
        self._tell(self._log.warning, event, why, facts)

    def _tell(self, write: Callable[..., object], event: str, why: str, facts: Mapping[str, object]) -> None:
        now = self._monotonic()
        written_at, more = self._kinds.get((event, why), (now - 1.0, 0))
        if now - written_at < 1.0:
            self._kinds[event, why] = (written_at, more + 1)
            return
        self._kinds[event, why] = (now, 0)
        write(event, why=why, **facts, **({"more": more} if more else {}))


class _AcceptErrors:
    """Of asyncio's report that no descriptor is left for a new connection one line a second is written, without a
    traceback: it comes for each connection that waits, 200,000 times in some minutes."""

    def __init__(self) -> None:
        self._next_at = 0.0

    def __call__(self, record: logging.LogRecord) -> bool:
        if not (record.name == "asyncio" and record.getMessage().startswith("socket.accept() out of system resource")):
            return True
        now = time.monotonic()
        if now < self._next_at:
            return False
        self._next_at = now + 1.0
        record.exc_info = None
        record.msg, record.args = "no descriptor is left for a new connection: raise the limit (LimitNOFILE)", ()
        return True


def _worth_telling(record: logging.LogRecord) -> bool:
    """Not that a task was cancelled while the pool took its database connection back: the pool closes that one."""
    error = record.exc_info[1] if record.exc_info else None
    return not (record.name.startswith("sqlalchemy.pool") and isinstance(error, asyncio.CancelledError))


def configure(settings: LogSettings) -> None:
    """Set up logging for this process: structlog's events and other libraries' records, on stderr."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _mask_numbers,
        _printable,
        structlog.processors.StackInfoRenderer(),
    ]
    renderer: Any
    if settings.format == "json":
        renderer = structlog.processors.JSONRenderer(ensure_ascii=False)
        shared.append(structlog.processors.format_exc_info)
    else:
        # Not rich's: it draws every frame's local variables, which takes seconds of the event loop for one of ours, and
        # tells callers' keys and secrets besides.
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    handler.addFilter(_worth_telling)
    handler.addFilter(_AcceptErrors())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.level.upper())
    for noisy in ("aiosqlite", "asyncio", "sqlalchemy", "alembic", "dbos", "panoramisk"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
