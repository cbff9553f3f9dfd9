"""The API's description, OpenAPI 3.1, made from what the routes themselves declare and the server enforces."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic.json_schema import models_json_schema

from ctiserver import __version__
from ctiserver.web.access import PUBLIC
from ctiserver.web.routes import Route

PATH = "/api/v1/openapi.json"
_PREFIX = "/api/v1/"
_INTRODUCTION = """The API that the console itself lives on.

Log in with `POST /api/v1/session`; the answer sets the cookie that every other request needs. Requests that change
something must carry the server's own `Origin`. What a person may not reach does not exist for them: 404. Times are
ISO 8601, UTC. Errors are problem+json (RFC 9457) with a stable `code`. Live changes come over the WebSocket: see
docs/reference/websocket.md.
"""
_PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "RFC 9457; `code` is stable, `title` is for people, `fields` says what is wrong by field.",
    "required": ["type", "title", "status", "code", "request_id"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string"},
        "request_id": {"type": "string"},
        "fields": {"type": "object", "additionalProperties": {"type": "string"}},
    },
}


def document(routes: Iterable[Route]) -> dict[str, Any]:
    """The description of every route below ``/api/v1``."""
    described = [route for route in routes if route.path.startswith(_PREFIX)]
    models = {model for route in described for model in (route.body, route.answer) if model is not None}
    ordered = sorted(models, key=lambda model: model.__name__)
    named, schemas = models_json_schema(
        [(model, "validation") for model in ordered], ref_template="#/components/schemas/{model}"
    )
    schema_of = {model: schema for (model, _), schema in named.items()}
    paths: dict[str, dict[str, Any]] = {}
    for route in described:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schema_of)
    return {
        "openapi": "3.1.0",
        "info": {"title": "ctiserver", "version": __version__, "description": _INTRODUCTION},
        "paths": paths,
        "components": {
            "schemas": {**schemas.get("$defs", {}), "Problem": _PROBLEM},
            "securitySchemes": {
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "ctiserver_session",
                    "description": "Over https the cookie's name begins with __Host-",
                }
            },
        },
    }


def _operation(route: Route, schema_of: Mapping[Any, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": re.sub(r"\W+", "_", f"{route.method.lower()}_{route.path.removeprefix(_PREFIX)}").strip("_"),
        "tags": [route.path.removeprefix(_PREFIX).partition("/")[0]],
        "responses": {
            **_responses(route, schema_of),
            "default": {
                "description": "It is not done, and why",
                "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
            },
        },
    }
    if route.roles == PUBLIC:
        operation["security"] = []
    else:
        operation["security"] = [{"session": []}]
        operation["description"] = f"For the roles {', '.join(sorted(route.roles))}."
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in route.parameters
    ]
    parameters += [
        {"name": name, "in": "query", "required": False, "description": what, "schema": {"type": "string"}}
        for name, what in route.query.items()
    ]
    if parameters:
        operation["parameters"] = parameters
    if route.body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schema_of[route.body]}},
        }
    elif route.takes:
        operation["requestBody"] = {"required": True, "content": _files(route.takes)}
    return operation


def _files(media_types: Iterable[str]) -> dict[str, Any]:
    return {media_type: {"schema": {"type": "string", "format": "binary"}} for media_type in media_types}


def _responses(route: Route, schema_of: Mapping[Any, Any]) -> dict[str, Any]:
    if route.gives:
        return {"200": {"description": "The file", "content": _files(route.gives)}}
    if route.answer is None:
        if route.path == PATH:
            return {"200": {"description": "This document", "content": {"application/json": {"schema": {}}}}}
        return {"204": {"description": "Done; no content"}}
    said = {
        "description": (route.answer.__doc__ or "").strip().partition("\n")[0],
        "content": {"application/json": {"schema": schema_of[route.answer]}},
    }
    return {str(status): said for status in route.status or (200,)}
