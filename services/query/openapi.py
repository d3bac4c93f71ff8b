"""Makes /openapi.json true: problem bodies, live events, and which parameters each route has."""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from services.common.http import PROBLEM_JSON
from services.query.acting import BODIES
from services.query.events import LIVE_VIEWS
from services.query.views import ProblemView

_REFERENCE: Final = "#/components/schemas/{model}"
_PROBLEMS: Final = {
    "401": "No key or session, or one that is not known",
    "403": "The key may not read",
    "404": "There is no such thing",
    "422": "A parameter is wrong or unknown; `errors` names each",
    "503": "Not possible right now; try again after `Retry-After` seconds",
}
_ACT_PROBLEMS: Final = {
    "400": "The body is not JSON",
    "403": "The key may not act on follow-ups",
    "409": "Not allowed in this state: `reason`, `state`, `n` and what is `allowed`",
    "412": "The case has changed since `If-Match`: `state`, `n` and what is `allowed`",
    "413": "The body is too large",
    "415": "The body is not application/json",
    "422": "A field, header or parameter is wrong or unknown; `errors` names each",
    "503": "The log does not take it, or its outcome is unknown: send it again with the same `Idempotency-Key`",
}
_ABOUT: Final = """Rolling Net Promoter Scores, answers and follow-ups.

Times are ISO 8601 in UTC. A window is `(t - W, t]` on whole minutes. Errors are RFC 9457 problems.
Every read takes `at_least=partition:offset`, the receipt of an answer, and waits up to 5 s until it can be read.
"""


def install(app: FastAPI) -> None:
    """Describe the app truly, and keep each route's parameters where `refuse_unknown` finds them.

    Call when all routes are there.
    """
    document = _document(app)
    app.openapi = lambda: document  # type: ignore[method-assign]  # FastAPI documents this way of replacing it
    app.state.parameters = {
        path: frozenset(
            parameter["name"]
            for operation in operations.values()
            for parameter in operation.get("parameters", ())
            if parameter["in"] == "query"
        )
        for path, operations in document["paths"].items()
    }


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(title="Pulse query", version=app.version, description=_ABOUT, routes=app.routes)
    components = document.setdefault("components", {}).setdefault("schemas", {})
    models: list[type[BaseModel]] = [ProblemView, *LIVE_VIEWS.values()]
    _, extra = models_json_schema(
        [*((model, "serialization") for model in models), *((body, "validation") for body in BODIES.values())],
        ref_template=_REFERENCE,
    )
    components |= extra["$defs"]
    for name in ("HTTPValidationError", "ValidationError"):
        components.pop(name, None)
    problem = {"content": {PROBLEM_JSON: {"schema": {"$ref": _REFERENCE.format(model=ProblemView.__name__)}}}}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            responses = operation["responses"]
            responses.pop("422", None)
            if path.startswith("/v1"):
                missing = {"404"} if "{" not in path else set()
                problems = _PROBLEMS | _ACT_PROBLEMS if method == "post" else _PROBLEMS
                for status, about in sorted(problems.items()):
                    if status not in missing:
                        responses[status] = {"description": about, **problem}
            elif path == "/readyz":
                responses["503"] = {"description": _PROBLEMS["503"], **problem}
    document["paths"]["/v1/live"]["get"]["responses"]["200"]["content"] = {
        "text/event-stream": {
            "schema": {
                "type": "string",
                "description": "`data` of each event is JSON, by event name",
                "x-events": {name: {"$ref": _REFERENCE.format(model=m.__name__)} for name, m in LIVE_VIEWS.items()},
            }
        }
    }
    return document
