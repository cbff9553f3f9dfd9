"""How a feature offers itself over HTTP: a list of routes, each with what it needs; and reading and writing JSON."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from inspect import cleandoc, getsource
from itertools import pairwise
from textwrap import dedent
from typing import Annotated, Any, Self, TypeVar

from aiohttp import web
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetJsonSchemaHandler,
    PlainSerializer,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from ctiserver.model.person import Role
from ctiserver.web.access import Intent
from ctiserver.web.problems import BrokenOff, Invalid, TooLarge

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_PARAMETER = re.compile(r"{(\w+)}")


class Body(BaseModel):
    """What a request's body must be: unknown members are refused, text is trimmed of nothing."""

    # Built when the first such body comes; all of them would take 0.1 s of a server's start.
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    @model_validator(mode="after")
    def _storable(self) -> Self:
        """PostgreSQL keeps no NUL in a text, and nobody means one."""
        if _has_nul(self.__dict__):
            raise ValueError("a text holds a NUL character")
        return self


def _has_nul(value: object) -> bool:
    match value:
        case str():
            return "\x00" in value
        case Mapping():
            return any(_has_nul(key) or _has_nul(inner) for key, inner in value.items())
        case list() | tuple():
            return any(map(_has_nul, value))
        case _:
            return False


#: A time in an answer, as all of them are written: 2026-12-01T08:00:00+00:00.
Moment = Annotated[
    datetime,
    PlainSerializer(datetime.isoformat, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]

#: An exact number in an answer, as text: "90.00".
Exact = Annotated[str, BeforeValidator(str)]


class Answer(BaseModel):
    """What an answer's JSON holds: these members and no others."""

    # Built when the API's description is asked for, as is what members are described by: pydantic's own
    # `use_attribute_docstrings` reads the source of every answer at each start.
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True, from_attributes=True)

    @classmethod
    def of(cls, source: object, **more: object) -> Self:
        """The answer about ``source``: members of the same names, and ``more`` for what it lacks or says otherwise."""
        if unknown := more.keys() - cls.model_fields.keys():
            raise TypeError(f"{cls.__name__} has no {', '.join(sorted(unknown))}")
        return cls.model_validate(
            {name: more[name] if name in more else getattr(source, name) for name in cls.model_fields}
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The schema with the docstrings of members as their descriptions."""
        made = handler(schema)
        properties = handler.resolve_ref_schema(made).get("properties", {})
        for model in cls.__mro__:
            if issubclass(model, Answer):
                for name, said in _docstrings_of_members(model).items():
                    properties[name].setdefault("description", said)
        return made


def _docstrings_of_members(model: type[BaseModel]) -> dict[str, str]:
    """The strings that stand below members which the class itself declares, by the member's name."""
    (declared,) = ast.parse(dedent(getsource(model))).body
    assert isinstance(declared, ast.ClassDef)
    found = {}
    for member, below in pairwise(declared.body):
        match member, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(said))):
                found[name] = cleandoc(said)
    return found


#: An object whose members depend on the site or on the kind of thing.
JsonAnswer = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One method of one address, and who may use it.

    ``roles`` has no default on purpose: anyone who adds a route says who may call it (``PUBLIC`` says: anybody).
    """

    method: str
    path: str
    handler: Handler
    roles: frozenset[Role]
    body: type[Body] | None = None
    """What the request's body must be; a handler can read no other (see :func:`read_body`)."""
    takes: tuple[str, ...] = ()  #: media types of a body that is not JSON
    body_max_bytes: int | None = None  #: of its body; None: as much as JSON may have
    gives: tuple[str, ...] = ()  #: media types of an answer that is not JSON
    answer: type[BaseModel] | None = None  #: what it answers; None: nothing, or no JSON
    status: tuple[int, ...] = ()  #: of answers that went well; empty: 200, or 204 for nothing
    query: Mapping[str, str] = field(default_factory=dict)  #: parameters after the ``?``, and what each does
    answers: bool = False  #: it says what happened to what the path names, maybe of what somebody else has by now

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names in braces, each of which needs an access rule."""
        return tuple(_PARAMETER.findall(self.path))

    @property
    def intent(self) -> Intent:
        if self.method in {"GET", "HEAD"}:
            return "read"
        return "answer" if self.answers else "write"


B = TypeVar("B", bound=Body)
T = TypeVar("T")
#: Set by the server for each request: what its route declares.
DECLARED_BODY = web.RequestKey("declared_body", type)
#: Likewise: how many bytes its route takes.
BODY_MAX = web.RequestKey("body_max", int)


async def read_body(request: web.Request, model: type[B]) -> B:
    """The request's JSON body as ``model``. Raises Invalid, with the fields at fault.

    Only ``application/json`` is taken, which a form on another site can't send. ``model`` must be the one that the
    route declares, so that the API's description can't say anything else.
    """
    if request.get(DECLARED_BODY) is not model:
        raise TypeError(f"{request.method} {request.path} reads {model.__name__}, which its route does not declare")
    if request.content_type != "application/json":
        raise Invalid("send the body as application/json")
    try:
        return model.model_validate_json(await read_bytes(request))
    except ValidationError as error:
        raise Invalid.of(error) from None


async def read_bytes(request: web.Request) -> bytes:
    """The whole body. Raises TooLarge as soon as more has come than the route takes; BrokenOff."""
    content = bytearray()
    try:
        async for chunk in request.content.iter_any():
            content += chunk
            if len(content) > request[BODY_MAX]:
                raise TooLarge(f"the request's body is too large: at most {request[BODY_MAX]:,} bytes")
    except (ConnectionError, RuntimeError) as error:  # the latter is aiohttp's word for a connection that is over
        if request.transport is None:
            raise BrokenOff("the connection ended inside the request's body") from error
        raise
    return bytes(content)


#: How many items a page holds at the most, and unless asked for fewer.
LONGEST_PAGE = 200
#: What a route declares that pages its list; null for the answer's ``after`` says that this was the last page.
PAGED = {
    "after": "the answer's `after`: the page that follows",
    "limit": f"1 to {LONGEST_PAGE}, which is also the default",
}


def page_wanted(request: web.Request) -> tuple[str | None, int]:
    """After which item the page begins, and how many it holds. Raises Invalid."""
    text = request.query.get("limit", str(LONGEST_PAGE))
    limit = int(text) if text.isdecimal() and len(text) <= len(str(LONGEST_PAGE)) else 0
    if not 1 <= limit <= LONGEST_PAGE:
        raise Invalid(f"limit is 1 to {LONGEST_PAGE}", {"limit": text[:20]})
    return request.query.get("after"), limit


def page_of(items: Iterable[T], key: Callable[[T], str], request: web.Request) -> tuple[list[T], str | None]:
    """The page that was asked for of a list that is sorted by ``key``, and what the next one comes after."""
    after, limit = page_wanted(request)
    rest = [item for item in items if after is None or key(item) > after]
    return rest[:limit], key(rest[limit - 1]) if len(rest) > limit else None


def json_answer(data: object, *, status: int = 200) -> web.Response:
    """A JSON response; pydantic models are written by their own schema."""
    if isinstance(data, BaseModel):
        text = data.model_dump_json()
    else:
        text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return web.Response(status=status, text=text, content_type="application/json")


def nothing() -> web.Response:
    """204: done, and there is nothing to say."""
    return web.Response(status=204)
