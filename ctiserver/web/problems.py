"""What HTTP answers when it can't do what was asked: problem+json (RFC 9457), never a traceback."""

from __future__ import annotations

import json
from collections.abc import Mapping

from aiohttp import web
from pydantic import ValidationError

from ctiserver.errors import CtiError, DeadlineExceeded, PeerLost, UnsafeValue, UserFault

#: A form has fewer fields.
_FAULTS_LISTED = 100


class Refusal(CtiError):
    """A request that is not served. ``code`` is stable: the console has a text for each in every language."""

    status = 400
    code = "bad_request"


class BrokenOff(Refusal):
    """The connection ended before the request did; nobody reads this answer."""


class NotLoggedIn(Refusal):
    """Log in first."""

    status = 401
    code = "not_logged_in"


class WrongLogin(Refusal):
    """The name or the password is wrong."""

    status = 401
    code = "wrong_login"


class NotAllowed(Refusal):
    """Your role does not allow this."""

    status = 403
    code = "not_allowed"


class NoAgent(Refusal):
    """This account is not an agent: it has no phone."""

    status = 403
    code = "no_agent"


class ForeignOrigin(Refusal):
    """The request does not come from this server's own pages (its Origin header says otherwise, or is missing)."""

    status = 403
    code = "foreign_origin"


class NotFound(Refusal):
    """Not found, or you don't have access."""

    status = 404
    code = "not_found"


class Conflict(Refusal):
    """Another user changed this in the meantime; load it again."""

    status = 409
    code = "conflict"


class Invalid(Refusal):
    """The request's body is not what this address takes."""

    status = 422
    code = "invalid"

    def __init__(self, message: str, fields: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.fields = dict(fields or {})  #: what is wrong, by field

    @classmethod
    def of(cls, error: ValidationError) -> Invalid:
        """What pydantic found, without the values that were sent: they may be secrets."""
        if error.error_count() > _FAULTS_LISTED:  # a body of 256 KiB has room for 30,000, which took 0.2 s to list
            return cls(f"{error.error_count()} faults, too many to list", {"body": "too_many_faults"})
        fields = {".".join(map(str, item["loc"])) or "body": item["msg"] for item in error.errors(include_url=False)}
        return cls("; ".join(f"{name}: {what}" for name, what in fields.items()), fields)


class UnknownEncoding(Refusal):
    """The request's body is compressed; send it as it is."""

    status = 415
    code = "unknown_encoding"


class TooLarge(Refusal):
    """The request's body is too large."""

    status = 413
    code = "too_large"


class Unfit(Refusal):
    """The database can't keep a value that was sent: too long, too large, or with a character that it has none for."""

    status = 422
    code = "unfit"


class Away(Refusal):
    """Something that this needs does not answer just now; try again."""

    status = 503
    code = "away"


class TooMany(Refusal):
    """Too many attempts; wait a little."""

    status = 429
    code = "too_many"

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


def answer(error: Exception, request_id: str) -> web.Response:
    """The problem+json response for an error; what is not the asker's doing says nothing of its inside."""
    headers: dict[str, str] = {}
    extra: dict[str, object] = {}
    match error:
        case Invalid():
            status, code, detail = error.status, error.code, str(error)
            extra["fields"] = error.fields
        case TooMany():
            status, code, detail = error.status, error.code, str(error)
            headers["Retry-After"] = str(error.retry_after_s)
        case Refusal():
            status, code, detail = error.status, error.code, str(error) or str(error.__doc__)
        case UserFault():
            status, code, detail = 400, "fault", str(error)
        case UnsafeValue():
            status, code, detail = 400, "unsafe_value", str(error)
        case PeerLost() | DeadlineExceeded():
            status, code, detail = 503, "away", "the telephone system does not answer; try again"
        case web.HTTPMethodNotAllowed():
            status, code, detail = 405, "method_not_allowed", "this address does not take that method"
            headers["Allow"] = ", ".join(sorted(error.allowed_methods))
        case web.HTTPRequestEntityTooLarge():
            status, code, detail = 413, "too_large", "the request's body is too large"
        case web.HTTPException():
            status, code, detail = error.status, "not_found" if error.status == 404 else "http", error.reason
        case _:
            status, code, detail = 500, "internal", f"something went wrong here; the log has it as {request_id}"
    body = {
        "type": f"urn:ctiserver:problem:{code}",
        "title": detail,
        "status": status,
        "code": code,
        "request_id": request_id,
        **extra,
    }
    return web.Response(
        status=status,
        text=json.dumps(body, ensure_ascii=False),
        content_type="application/problem+json",
        headers=headers,
    )
