"""
The OpenAPI document: FastAPI's own routes, and the routes of the hot path from their table.
"""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from trackmate_ingest.problems import KINDS
from trackmate_ingest.routes import ROUTES, Route, Shape

_JSON = "application/json"
_NDJSON = "application/x-ndjson"
_TEXT = "text/plain"

_PROBLEM = {
    "type": "object",
    "description": "RFC 9457. `event` is the index in the batch, `offset` the byte in the body.",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {
            "type": "string",
            "enum": [f"urn:trackmate:problem:{kind.name}" for kind in KINDS],
        },
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "event": {"type": "integer", "minimum": 0},
        "offset": {"type": "integer", "minimum": 0},
        "limit": {"type": "integer"},
    },
}
_PROBLEM_CONTENT = {
    "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
}
_STORED = {
    "type": "object",
    "description": "Every event of the request is stored.",
    "required": ["status", "events"],
    "properties": {
        "status": {"type": "string", "const": "stored"},
        "events": {"type": "integer", "minimum": 1},
    },
    "additionalProperties": False,
}
_SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "basic": {"type": "http", "scheme": "basic", "description": "The key as user name."},
    "header": {"type": "apiKey", "in": "header", "name": "X-Trackmate-Key"},
    "query": {"type": "apiKey", "in": "query", "name": "key", "description": "Browser keys only."},
}
_REFUSALS = {
    400: "The body or the Host header is not what the route takes; nothing was stored",
    401: "No key, or one that is not valid here",
    403: "The key may not be used from this origin, or the stream does not exist",
    408: "The request did not arrive in time",
    413: "The body, an event or the batch is over its limit",
    414: "The query is too long",
    415: "The content type or encoding is not taken",
    421: "The host is not the affiliate's",
    429: "Over the rate limit; see Retry-After",
    431: "Too many headers",
    503: "Not confirmed; repeat after Retry-After with the same ids",
}

_OBJECT = {"type": "object"}
_ANY: dict[str, Any] = {}
_EVENTS = {
    "description": "One event, which may be any JSON, or an array of events.",
    "minItems": 1,  # says nothing of what is no array
    "maxItems": 1000,
    "examples": [{"messageId": "1"}, [{"messageId": "1"}, {"messageId": "2"}]],
}
_BODIES: dict[Shape, dict[str, Any]] = {
    Shape.EVENTS: {
        _JSON: {"schema": _EVENTS},
        _NDJSON: {
            "schema": {"type": "string"},
            "example": '{"messageId":"1"}\n{"messageId":"2"}\n',
        },
        _TEXT: {"schema": {"type": "string"}, "example": '{"messageId":"1"}'},
    },
    Shape.CALL: {_JSON: {"schema": _OBJECT}, _TEXT: {"schema": {"type": "string"}}},
    Shape.BATCH: {
        _JSON: {
            "schema": {
                "type": "object",
                "required": ["batch"],
                "properties": {
                    "batch": {"type": "array", "minItems": 1, "maxItems": 1000, "items": _ANY},
                    "writeKey": {"description": "The key, where it is a string."},
                },
            }
        },
        _TEXT: {"schema": {"type": "string"}},
    },
    Shape.RAW: {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
}


def document(api: FastAPI) -> dict[str, Any]:
    """The whole document, OpenAPI 3.1."""
    whole = get_openapi(
        title=api.title,
        version="v1",
        description="Takes events; 200 means that every one of them is stored.",
        routes=api.routes,
    )
    parts = whole.setdefault("components", {})
    parts.setdefault("schemas", {}).update({"Problem": _PROBLEM, "Stored": _STORED})
    parts["securitySchemes"] = _SECURITY
    for route in ROUTES:
        whole["paths"][route.path] = {"post": _operation(route)}
    return whole


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The problem documents of a route."""
    return {
        status: {"description": _REFUSALS[status], "content": _PROBLEM_CONTENT}
        for status in statuses
    }


def _operation(route: Route) -> dict[str, Any]:
    return {
        "summary": f"Store events: {route.shape.value}",
        "operationId": "post" + route.path.translate({ord("/"): "_", ord("{"): "", ord("}"): ""}),
        "security": [{name: []} for name in _SECURITY],
        "parameters": _parameters(route),
        "requestBody": {"required": True, "content": _BODIES[route.shape]},
        "responses": _responses(),
    }


def _parameters(route: Route) -> list[dict[str, Any]]:
    name = {"name": "stream", "schema": {"type": "string"}}
    idempotency = {"name": "Idempotency-Key", "in": "header", "schema": {"type": "string"}}
    if route.shape is Shape.RAW:
        return [{**name, "in": "path", "required": True}, idempotency]
    return [{**name, "in": "query", "description": "Default: events"}, idempotency]


def _responses() -> dict[str, Any]:
    stored = {_JSON: {"schema": {"$ref": "#/components/schemas/Stored"}}}
    refused = {str(status): answer for status, answer in refusals(*_REFUSALS).items()}
    return {"200": {"description": "Stored", "content": stored}, **refused}
