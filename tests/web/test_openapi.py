"""What the API says of itself is what it is: every route, every body, and (in all web tests) every answer."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from ctiserver.web import openapi
from ctiserver.web.routes import Body, Route, nothing, read_body
from tests.support.described import Described
from tests.support.desk import Browser, Desk
from tests.web.test_access import UNKNOWN_ID


@pytest.fixture
async def document(browser: Browser) -> dict[str, Any]:
    found: dict[str, Any] = await browser.json("GET", openapi.PATH)
    return found


def api_routes(running: Desk) -> list[Route]:
    return [route for route in running.server.routes if route.path.startswith("/api/v1/")]


def test_every_route_is_in_it_and_nothing_else(running: Desk, document: dict[str, Any]) -> None:
    described = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    assert described == {(route.method, route.path) for route in api_routes(running)}


def test_every_body_and_answer_is_the_declared_one(running: Desk, document: dict[str, Any]) -> None:
    described = Described(document)
    for route in api_routes(running):
        operation = described.operation(route.method, re.sub(r"{\w+}", "x", route.path))
        if route.takes:
            assert set(operation["requestBody"]["content"]) == set(route.takes)
        elif route.body is None:
            assert "requestBody" not in operation
        else:
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
            assert schema == {"$ref": f"#/components/schemas/{route.body.__name__}"}
            assert document["components"]["schemas"][route.body.__name__]["additionalProperties"] is False
        if route.gives:
            assert set(operation["responses"]["200"]["content"]) == set(route.gives)
        elif route.answer is not None:
            for status in route.status or (200,):
                schema = operation["responses"][str(status)]["content"]["application/json"]["schema"]
                assert schema == {"$ref": f"#/components/schemas/{route.answer.__name__}"}
        names = {parameter["name"] for parameter in operation.get("parameters", []) if parameter["in"] == "path"}
        assert names == set(route.parameters)


def test_members_are_described_by_their_docstrings(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert schemas["DeviceAnswer"]["properties"]["warranty_until"]["description"] == "The last day of it."
    assert (
        len([1 for schema in schemas.values() for one in schema.get("properties", {}).values() if "description" in one])
        > 20
    )


def test_it_is_whole(document: dict[str, Any]) -> None:
    assert document["openapi"] == "3.1.0"
    assert set(document["info"]) >= {"title", "version"}
    operations = [operation for item in document["paths"].values() for operation in item.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(set(names)) == len(names)
    assert all(operation["responses"] for operation in operations)
    schemas = document["components"]["schemas"]
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
    referred = set(re.findall(r"#/components/schemas/(\w+)", str(document)))
    assert referred == set(schemas)
    assert {security for operation in operations for one in operation["security"] for security in one} == {"session"}


def test_every_handler_reads_the_body_that_its_route_declares(running: Desk) -> None:
    for route in api_routes(running):
        read = re.findall(r"read_body\(request, (\w+)\)", inspect.getsource(route.handler))
        assert read == ([] if route.body is None else [route.body.__name__]), f"{route.method} {route.path}"


async def test_a_wrong_body_is_refused_by_every_route_that_declares_one(running: Desk) -> None:
    """Not one answers 500, which is what a handler gets that reads what its route does not declare."""
    answered: dict[str, int] = {}
    async with Browser(running.url) as browser:
        await browser.log_in("agent1")
        for route in api_routes(running):
            if route.body is not None and route.path != "/api/v1/session":
                path = re.sub(r"{\w+}", UNKNOWN_ID, route.path)
                response = await browser.ask(route.method, path, {"no such member": 1})
                answered[f"{route.method} {route.path}"] = response.status
    assert {name: status for name, status in answered.items() if status not in (403, 404, 422)} == {}
    assert answered["PATCH /api/v1/me"] == 422
    assert answered["POST /api/v1/agents/me/pause"] == 422


async def test_a_handler_can_read_no_other_body_than_its_route_declares(running: Desk, browser: Browser) -> None:
    class Other(Body):
        """Not declared."""

    async def handler(request: Any) -> Any:
        await read_body(request, Other)
        return nothing()

    route = Route(method="POST", path="/api/v1/session", handler=handler, roles=frozenset())
    guarded = running.server._guarded(route)

    class Request(dict[Any, Any]):
        method, path, cookies = "POST", "/api/v1/session", {}
        headers = {"Origin": running.url}
        content_length = None

    with pytest.raises(TypeError, match="reads Other, which its route does not declare"):
        await guarded(Request())  # type: ignore[arg-type]


async def test_records_come_in_pages(running: Desk) -> None:
    made = [(await running.features.records.open("enquiry", actor="user:test")).record.id for _ in range(60)]
    async with Browser(running.url) as browser:
        await browser.log_in("supervisor")
        first = await browser.json("GET", "/api/v1/records")
        second = await browser.json("GET", f"/api/v1/records?before={first['before']}")
    assert len(first["records"]) == 50
    assert [record["id"] for record in first["records"] + second["records"]] == made[::-1]
    assert second["before"] is None
