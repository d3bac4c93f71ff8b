"""The OpenAPI document: FastAPI's own, the two hot operations with schemas from `schemas.responses`, the commands."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from fastapi import FastAPI

from schemas.responses import Accepted, BatchResult, ProblemBody, ResponseIn
from services.common.http import PROBLEM_JSON
from services.ingest import openapi_commands
from services.ingest.body import BATCH_LIMIT, SINGLE_LIMIT
from services.ingest.door import BATCH_ITEMS, BATCH_PATH, MAX_KEY_LENGTH, SINGLE_PATH

_REFERENCES, _SCHEMAS = msgspec.json.schema_components(
    (ResponseIn, Accepted, BatchResult, ProblemBody), ref_template="#/components/schemas/{name}"
)
_RESPONSE, _ACCEPTED, _BATCH_RESULT, _PROBLEM = _REFERENCES

_RETRY_AFTER: Final = {"Retry-After": {"description": "seconds to wait", "schema": {"type": "integer"}}}
_PROBLEMS: Final = {
    400: "Not JSON in UTF-8",
    401: "No key, or none of ours",
    403: "The key may not do this, or not from this web origin",
    408: "The body did not arrive in time",
    413: "Too large",
    415: "Another content type, character set or encoding",
    422: "Bad fields; `errors` has the path of each",
    429: "Too many answers at once: wait `Retry-After` seconds",
    503: "The log cannot take it, or did not say whether it holds it: send again with the `response_id` named here, "
    "if one is",
}
_SAFE: Final = (
    "Sending an answer again is safe only with the same `response_id` or the same `Idempotency-Key`; "
    "without either, every post is a new answer."
)
_EXAMPLE: Final = {
    "team": "support-emea",
    "score": 9,
    "response_id": "01890a5d-ac96-774b-bcce-b302099a8057",
    "comment": "Quick and friendly.",
    "respondent": {"email": "ada@example.com"},
}


def _problems() -> dict[str, Any]:
    return {
        str(status): {
            "description": about,
            "content": {PROBLEM_JSON: {"schema": _PROBLEM}},
            **({"headers": _RETRY_AFTER} if status in (429, 503) else {}),
        }
        for status, about in _PROBLEMS.items()
    }


def _key_header(about: str) -> dict[str, Any]:
    return {
        "name": "Idempotency-Key",
        "in": "header",
        "required": False,
        "description": about,
        "schema": {"type": "string", "minLength": 1, "maxLength": MAX_KEY_LENGTH, "pattern": "^[ -~]*$"},
    }


_SINGLE: Final = {
    "operationId": "post_response",
    "tags": ["answers"],
    "summary": "Post one answer",
    "description": f"202 means that every in-sync replica of the log holds it. At most {SINGLE_LIMIT} bytes. {_SAFE}",
    "parameters": [_key_header("The id becomes a UUIDv5 of team and key. Ignored if the body has a `response_id`.")],
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": _RESPONSE, "example": _EXAMPLE}},
    },
    "responses": {
        "202": {"description": "Held by the log", "content": {"application/json": {"schema": _ACCEPTED}}},
        **_problems(),
    },
    "security": [{"key": []}, {"widget": []}],
}
_BATCH: Final = {
    "operationId": "post_responses",
    "tags": ["answers"],
    "summary": "Post up to 1,000 answers",
    "description": (
        "A JSON array of answers, each as for `POST /v1/responses`, or one answer a line (NDJSON). "
        f"Each item stands for itself: `accepted`, `rejected` or `retry`. At most {BATCH_ITEMS} items, {BATCH_LIMIT} "
        f"bytes, and {SINGLE_LIMIT} bytes an item. If the log took none of the valid items the answer is 503. {_SAFE}"
    ),
    "parameters": [_key_header("Ids become UUIDv5s of team, place in the batch and key, where items have none.")],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"type": "array", "items": _RESPONSE, "maxItems": BATCH_ITEMS},
                "example": [_EXAMPLE],
            },
            "application/x-ndjson": {
                "schema": {"type": "string", "description": "one answer a line; empty lines are skipped"}
            },
        },
    },
    "responses": {
        "200": {"description": "What became of each item", "content": {"application/json": {"schema": _BATCH_RESULT}}},
        **_problems(),
    },
    "security": [{"key": []}],
}


def document(app: FastAPI) -> dict[str, Any]:
    """The whole document, made once."""
    if app.openapi_schema is None:
        made = FastAPI.openapi(app)
        made["paths"][SINGLE_PATH] = {"post": _SINGLE}
        made["paths"][BATCH_PATH] = {"post": _BATCH}
        made["paths"].update(openapi_commands.operations(_problems()))
        components = made.setdefault("components", {})
        components.setdefault("schemas", {}).update({**_SCHEMAS, **openapi_commands.SCHEMAS})
        components["securitySchemes"] = {
            "key": {"type": "http", "scheme": "bearer", "description": "a write, import or admin key"},
            "admin": {"type": "http", "scheme": "bearer", "description": "an admin key"},
            "widget": {
                "type": "apiKey",
                "in": "query",
                "name": "key",
                "description": "the public widget key, from a browser page of an allowed origin",
            },
        }
        app.openapi_schema = made
    return app.openapi_schema or {}
