"""What can go wrong between a use case and the database, in words that need no SQLAlchemy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import exc

from ctiserver.errors import CtiError


class Conflict(CtiError):
    """Somebody else changed this row since it was read; read it again and decide again."""


class Duplicate(CtiError):
    """A row with this key stands already, or one that this row points to does not exist."""


class NotFound(CtiError):
    """There is no such row."""


class StoreUnavailable(CtiError):
    """The database did not answer, or not in time; nothing of the unit of work was kept."""


class Unfit(CtiError):
    """The database refuses a value (too long, or with characters that it can't keep): trying again does not help."""


#: The classes of PostgreSQL's codes for values that it refuses (22001 too long, 22021 and 22P05 characters, ...), for
#: statements that it does not take with them (42883), and for what passes a limit of its own (54000).
_REFUSED = ("22", "42", "54")


def _without_values(error: BaseException) -> None:
    """PostgreSQL's DETAIL holds the whole row (``Failing row contains (…``), a password's hash with it."""
    link: BaseException | None = error
    while link is not None:
        if getattr(link, "detail", None) and not isinstance(link, exc.SQLAlchemyError):
            link.detail = None  # type: ignore[attr-defined]
        link.args = tuple(arg.partition("\nDETAIL:")[0] if isinstance(arg, str) else arg for arg in link.args)
        link = link.__cause__ or (link.orig if isinstance(link, exc.DBAPIError) else None)


@contextmanager
def translated() -> Iterator[None]:
    """Turn the database library's errors into the ones above; the library's text stays as the cause."""
    try:
        yield
    except exc.IntegrityError as error:
        _without_values(error)
        raise Duplicate(str(error.orig)) from error
    except TimeoutError as error:
        raise StoreUnavailable("the database did not answer in time") from error
    except (exc.DBAPIError, exc.TimeoutError) as error:
        _without_values(error)
        cause = error.orig if isinstance(error, exc.DBAPIError) and error.orig is not None else error
        # SQLite: DataError is what it can't take, such as a text of more than a gigabyte.
        if str(getattr(cause, "sqlstate", None) or "").startswith(_REFUSED) or isinstance(error, exc.DataError):
            raise Unfit(f"the database refuses a value: {cause}") from error
        raise StoreUnavailable(f"the database failed: {cause}") from error
