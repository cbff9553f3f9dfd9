"""How a command that failed ends: one sentence a cause for what a person can meet, a report for a fault of our own.

It is the one place for it, for every verb: a verb raises, and need catch nothing but what it can put better.
"""

from __future__ import annotations

import asyncio
import errno
import os
import platform
import select
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfoNotFoundError

import click

from ctiserver import __version__
from ctiserver.errors import CtiError

#: Exit status for whatever the user can mend.
EXIT_USER_FAULT = 2
#: For a fault of ctiserver itself: EX_SOFTWARE of sysexits.h.
EXIT_OWN_FAULT = 70
#: As a shell reports a command that Ctrl-C ended, and one whose reader went away.
EXIT_INTERRUPTED, EXIT_NO_READER = 130, 141

#: What the machine, the network or another program can do to us, and what to do then. Other numbers are our own fault.
_SYSTEM = {
    errno.ENOSPC: "Free some space on that disk, then try again",
    errno.EDQUOT: "Free some of your quota on that disk, then try again",
    errno.EFBIG: "Raise the limit of file sizes (ulimit -f), then try again",
    errno.EROFS: "Name a place that can be written",
    errno.EACCES: "Give this user the right to, or name another place",
    errno.EPERM: "Give this user the right to, or name another place",
    errno.ENOENT: "Make or install it, or name another",
    errno.ENOTDIR: "Name a folder",
    errno.EISDIR: "Name a file",
    errno.EEXIST: "Remove it, or name another",
    errno.ENOTEMPTY: "Name an empty or new folder",
    errno.ELOOP: "Name a path without a loop of symbolic links",
    errno.ENAMETOOLONG: "Choose a shorter name",
    errno.EXDEV: "Name a place on the same disk",
    errno.ETXTBSY: "Wait until it is written, then try again",
    errno.ENOEXEC: "Install it again: it is not a program for this machine",
    errno.EIO: "See whether the disk is broken",
    errno.ESTALE: "See whether the network disk is there",
    errno.EBUSY: "See which program uses it, then try again",
    errno.EMFILE: "Raise the limit of open files (ulimit -n), then try again",
    errno.ENFILE: "The whole machine has too many files open: end something, then try again",
    errno.EAGAIN: "The machine can't start another process: end some processes, then try again",
    errno.ENOMEM: "Free some memory, then try again",
    errno.ENOSYS: "This system lacks it: use another kernel or file system",
    errno.EADDRINUSE: "Stop the other program, or choose another port",
    errno.EADDRNOTAVAIL: "Name an address of this machine",
    errno.ECONNREFUSED: "See that the other side runs and listens there",
    errno.ECONNRESET: "See that the other side runs, then try again",
    errno.ECONNABORTED: "See that the other side runs, then try again",
    errno.EPIPE: "See that the other side runs, then try again",
    errno.ENETUNREACH: "See that the network works, then try again",
    errno.EHOSTUNREACH: "See that the network works and the host is there, then try again",
    errno.ENETDOWN: "See that the network works, then try again",
    errno.ETIMEDOUT: "See that the other side answers, then try again",
}
_DATABASES = ("sqlalchemy", "sqlite3", "aiosqlite", "asyncpg", "psycopg", "psycopg2", "alembic")
#: Of their errors these are asked wrongly, which is our own fault. The rest is the database's.
_ASKED_WRONGLY = (
    "ProgrammingError", "IntegrityError", "DataError", "NotSupportedError", "ArgumentError", "InvalidRequestError",
    "CompileError", "SyntaxOrAccessError", "CommandError",
)  # fmt: skip


def end_with(error: BaseException) -> int:
    """Say on stderr what went wrong, each cause once; returns the exit status."""
    causes = list(_causes(error))
    if any(isinstance(cause, KeyboardInterrupt | click.Abort) for cause in causes):
        return EXIT_INTERRUPTED
    if any(isinstance(cause, BrokenPipeError) for cause in causes) and _nobody_reads():
        _close_stdout()
        return EXIT_NO_READER
    sentences = {cause: sentence(cause) for cause in causes}
    for text in dict.fromkeys(text for text in sentences.values() if text is not None):
        _say(text)
    own = [cause for cause, text in sentences.items() if text is None]
    if own:
        _say(_reported(error, own[0]))
        return EXIT_OWN_FAULT
    return EXIT_USER_FAULT


def sentence(error: BaseException) -> str | None:
    """One sentence for what a person, the machine or another program did; None for a fault of our own."""
    match error:
        case CtiError():
            return str(error) or (error.__doc__ or "").strip().splitlines()[0]
        case ImportError():
            return _of_import(error)
        case ZoneInfoNotFoundError():
            name = str(error.args[0]) if error.args else ""
            return f"{name}. Write a time zone like Asia/Shanghai; where none is known, install tzdata"
        case UnicodeDecodeError():
            return f"a file that was read is not UTF-8 text (at byte {error.start}). Save it as UTF-8, then try again"
        case UnicodeEncodeError():
            return f"this terminal can't show {error.object[error.start]!r}. Set LC_ALL=C.UTF-8, then try again"
        case subprocess.CalledProcessError() | subprocess.TimeoutExpired():
            program = error.cmd if isinstance(error.cmd, str) else error.cmd[0]
            return f"{program} failed: {str(error).rstrip('.')}. Run it by itself to see why"
        case MemoryError():
            return "no memory is left. Free some, then try again"
        case OSError():
            return _of_system(error)
    return _of_library(error)


def _of_import(error: ImportError) -> str | None:
    if (error.name or "").partition(".")[0] == "ctiserver":
        return None
    if error.name in ("sqlite3", "_sqlite3"):
        return f"this Python has no SQLite ({error}). Use one built with it, such as Debian's package python3"
    again = "Install ctiserver again in a new environment, with the extra that this needs (such as ctiserver[demo])"
    return f"a library is missing or does not load: {error}. {again}"


def _of_system(error: OSError) -> str | None:
    if error.errno is None:  # a text of its own, such as a shared library's name; a time-out has none
        return f"{str(error) or 'a program, a PBX or a server did not answer in time'}. See that it is there and runs"
    fix = _SYSTEM.get(error.errno)
    if fix is None and not isinstance(error.filename, str | bytes) and type(error).__module__ == "builtins":
        return None
    names = [os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, str | bytes)]
    where = f"{' and '.join(names)}: " if names else ""
    return f"{where}{error.strerror or os.strerror(error.errno)}. {fix or 'See that it is there and works'}"


def _of_library(error: BaseException) -> str | None:
    kinds = type(error).__mro__
    root = type(error).__module__.partition(".")[0]
    if root in _DATABASES and not any(kind.__name__ in _ASKED_WRONGLY for kind in kinds):
        said = _first_line(getattr(error, "orig", None) or error)
        return f"the database failed: {said}. Check database.url, the disk and the server, then try again"
    if root == "playwright":
        return f"the browser failed: {_first_line(error)}. Run it again; ctiserver demo without --headless needs none"
    if root == "aiohttp" and any(kind.__name__ == "ClientError" for kind in kinds):
        return f"a web service failed: {_first_line(error)}. See that it runs and can be reached"
    return None


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0][:300].rstrip(".") if lines else "") or type(error).__name__


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The errors in ``error``, unwrapped from groups; without tasks that were only ended because of them."""
    if isinstance(error, BaseExceptionGroup):
        inner = [cause for one in error.exceptions for cause in _causes(one)]
        yield from [cause for cause in inner if not isinstance(cause, asyncio.CancelledError)] or inner[:1]
    else:
        yield error


def _reported(error: BaseException, own: BaseException) -> str:
    text = "".join(traceback.format_exception(error))
    about = f"ctiserver {__version__}, Python {platform.python_version()}, {platform.platform()}\n\n"
    what = f"this is a fault of ctiserver itself ({type(own).__name__}: {_first_line(own)})"
    try:
        handle, path = tempfile.mkstemp(prefix="ctiserver-fault-", suffix=".txt")
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(about + text)
    except OSError:
        return f"{what}. Please report what follows, and the command that you ran\n{about}{text.rstrip()}"
    return f"{what}. Please report it with the command that you ran and the file {Path(path)}"


def _say(text: str) -> None:
    try:
        click.echo(f"ctiserver: {text}", err=True)
    except (OSError, ValueError):
        pass  # nobody is there to read it


def _nobody_reads() -> bool:
    """Whether the reader of our standard output went away."""
    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
        return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
    except (OSError, ValueError):
        return True


def _close_stdout() -> None:
    """Have the interpreter's end not complain of what it can't write."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):
        pass
