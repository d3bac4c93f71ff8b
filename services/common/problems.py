"""Problem bodies (RFC 9457) and the errors that turn into them.

Problem
├── NotJson 400            ├── NotFound 404              ├── TooLarge 413
├── Unauthorized 401       ├── WrongMethod 405           ├── UnsupportedMedia 415
├── Forbidden 403          ├── TooSlow 408               ├── Invalid 422
├── Conflict 409           ├── Stale 412                 ├── TooMany 429 (Retry-After)
└── Unavailable 503 (Retry-After)
"""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec


class Problem(Exception):
    """Base class. `code` is a stable label for bodies and metrics; `detail` says what to do, and quotes no person.

    `errors` lists bad fields as `{"path": "respondent.email", "message": "…"}`; `extra` adds members to the body.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "problem"
    title: ClassVar[str] = "Something went wrong"

    def __init__(
        self,
        detail: str,
        *,
        errors: list[dict[str, str]] | None = None,
        retry_after_s: int | None = None,
        **extra: Any,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = errors
        self.retry_after_s = retry_after_s
        self.extra = extra

    def body(self) -> bytes:
        """The `application/problem+json` body."""
        members: dict[str, Any] = {
            "type": f"https://pulse.invalid/problems/{self.code}",
            "title": self.title,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
        }
        if self.errors:
            members["errors"] = self.errors
        return msgspec.json.encode({**members, **self.extra})

    def headers(self) -> dict[str, str]:
        """Headers beside the content type."""
        headers = {"Retry-After": str(self.retry_after_s)} if self.retry_after_s is not None else {}
        return headers | ({"WWW-Authenticate": "Bearer"} if self.status == 401 else {})


class NotJson(Problem):
    status, code, title = 400, "not_json", "The body is not JSON"


class Unauthorized(Problem):
    status, code, title = 401, "unauthorized", "A key is needed"


class Forbidden(Problem):
    status, code, title = 403, "forbidden", "This key may not do that"


class NotFound(Problem):
    status, code, title = 404, "not_found", "There is no such thing"


class WrongMethod(Problem):
    status, code, title = 405, "method_not_allowed", "This address does not take that method"


class TooSlow(Problem):
    status, code, title = 408, "too_slow", "The body did not arrive in time"


class Conflict(Problem):
    status, code, title = 409, "conflict", "Not allowed in this state"


class Stale(Problem):
    status, code, title = 412, "stale", "It has changed meanwhile"


class TooLarge(Problem):
    status, code, title = 413, "too_large", "The body is too large"


class UnsupportedMedia(Problem):
    status, code, title = 415, "unsupported_media_type", "This content type is not understood"


class Invalid(Problem):
    status, code, title = 422, "invalid", "Some fields are not valid"


class TooMany(Problem):
    status, code, title = 429, "too_many", "Too many requests"


class Unavailable(Problem):
    status, code, title = 503, "unavailable", "Not possible right now"
