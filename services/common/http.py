"""What every FastAPI app of ours has: problem bodies for every error, health routes and metrics."""

from __future__ import annotations

from collections.abc import Callable

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException

from services.common import problems
from services.common.problems import Problem

log = structlog.get_logger()
PROBLEM_JSON = "application/problem+json"
_BY_STATUS = {cls.status: cls for cls in Problem.__subclasses__()}

# None: ready. A text: not ready, and why.
Ready = Callable[[], str | None]


def problem_response(problem: Problem) -> Response:
    """A problem as an HTTP response."""
    return Response(problem.body(), status_code=problem.status, headers=problem.headers(), media_type=PROBLEM_JSON)


def install(app: FastAPI, ready: Ready, notices: Callable[[], list[str]] = list) -> None:
    """Add the error handlers and `/livez`, `/readyz`, `/metrics` to `app`.

    `notices`: what somebody should look at although the service works.
    """

    @app.exception_handler(Problem)
    async def on_problem(_: Request, problem: Problem) -> Response:
        return problem_response(problem)

    @app.exception_handler(RequestValidationError)
    async def on_invalid(_: Request, invalid: RequestValidationError) -> Response:
        errors = [
            {
                "path": ".".join(str(part) for part in error["loc"][1:]) or str(error["loc"][0]),
                "message": error["msg"],
            }
            for error in invalid.errors()
        ]
        return problem_response(problems.Invalid("see errors", errors=errors))

    @app.exception_handler(HTTPException)
    async def on_http(_: Request, error: HTTPException) -> Response:
        cls = _BY_STATUS.get(error.status_code)
        if cls is None:
            other = Problem(str(error.detail))
            return Response(other.body(), status_code=error.status_code, media_type=PROBLEM_JSON)
        return problem_response(cls(str(error.detail)))

    @app.exception_handler(Exception)
    async def on_unexpected(_: Request, error: Exception) -> Response:
        log.error("unexpected_error", error=type(error).__name__)
        return problem_response(Problem("an error of ours; it has been logged"))

    @app.get("/livez", tags=["health"], summary="The process runs")
    async def livez() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/readyz", tags=["health"], summary="The service can do its work; 503 and the reason when not")
    async def readyz() -> dict[str, str | list[str]]:
        reason = ready()
        if reason is not None:
            raise problems.Unavailable(reason, retry_after_s=1)
        noted = notices()
        return {"status": "ready"} | ({"notices": noted} if noted else {})

    @app.get("/metrics", tags=["health"], summary="Prometheus metrics")
    async def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
