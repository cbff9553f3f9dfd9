"""The API's own description, to hold its answers to."""

from __future__ import annotations

import re
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012


class Described:
    """One OpenAPI document."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self._registry: Registry[Any] = Registry().with_resource("urn:api", Resource(document, DRAFT202012))
        self._paths = [
            (re.compile(re.sub(r"{\w+}", "[^/]+", path) + r"$"), operations)
            # Addresses without parameters first: /agents/me is not an agent's.
            for path, operations in sorted(document["paths"].items(), key=lambda item: "{" in item[0])
        ]

    def operation(self, method: str, path: str) -> dict[str, Any]:
        """What is said of one request. Raises AssertionError if nothing is."""
        bare = path.partition("?")[0]
        for pattern, operations in self._paths:
            if pattern.match(bare) and method.lower() in operations:
                found: dict[str, Any] = operations[method.lower()]
                return found
        raise AssertionError(f"the API does not describe {method} {bare}")

    def validator(self, schema: dict[str, Any]) -> Draft202012Validator:
        """For a schema that refers to others of the document."""

        def absolute(part: Any) -> Any:
            if isinstance(part, dict):
                return {
                    key: f"urn:api{value}" if key == "$ref" and isinstance(value, str) else absolute(value)
                    for key, value in part.items()
                }
            return part

        return Draft202012Validator(absolute(schema), registry=self._registry)

    def hold(self, method: str, path: str, status: int, said: Any) -> None:
        """Raises AssertionError if an answer is not what is described."""
        responses = self.operation(method, path)["responses"]
        described = responses.get(str(status)) or (responses["default"] if status >= 400 else None)
        assert described is not None, f"{method} {path} answers {status}, which is not described"
        content = described.get("content")
        assert (content is None) == (said is None), f"{method} {path} answers {said!r}"
        if content is not None:
            (media,) = content.values()
            wrong = [error.message for error in self.validator(media["schema"]).iter_errors(said)]
            assert not wrong, f"{method} {path}: {wrong}"
