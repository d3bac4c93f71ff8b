"""`GET /v1/deliveries`: what was told, what is still to be told and what was given up."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, Protocol

from fastapi import APIRouter, Depends, Query, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, Field

from services.alerts.deliveries import Row, State
from services.common import problems
from services.common.http import PROBLEM_JSON
from services.common.keys import Keyring

_bearer = HTTPBearer(auto_error=False, description="a read or admin key")
_PROBLEM: Final[dict[str, Any]] = {"content": {PROBLEM_JSON: {"schema": {"type": "object"}}}}
REFUSALS: Final[dict[int | str, dict[str, Any]]] = {
    401: {"description": "No key, or not one of ours", **_PROBLEM},
    403: {"description": "This key may not do that", **_PROBLEM},
    422: {"description": "A parameter is not valid", **_PROBLEM},
}


class DeliveryView(BaseModel):
    """One event to one channel. `id` is the event's id, `message_id` that of the message which told it (a group's)."""

    id: str
    message_id: str | None = Field(description="null while its group waits to be told")
    kind: str
    case_id: str
    channel: str
    state: Literal["pending", "delivered", "given_up"]
    attempts: int
    last_status: str | None = Field(description="HTTP status of the newest attempt, or a word such as timeout, too_old")
    raised_at: datetime
    next_attempt_at: datetime | None = Field(description="null once delivered or given up")
    settled_at: datetime | None = Field(description="null while pending")


class DeliveryList(BaseModel):
    """Newest event first."""

    deliveries: list[DeliveryView]


class Deliveries(Protocol):
    """Where deliveries are read from; `Store` is one."""

    async def rows(self, state: State | None, case_id: str | None, limit: int) -> list[Row]: ...


def allowed(keyring: Keyring, right: str) -> Callable[..., None]:
    """A dependency that lets only keys with a right through."""

    def check(credentials: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]) -> None:
        given = f"Bearer {credentials.credentials}".encode() if credentials else None
        rights = keyring.rights(given)
        if rights is None:
            raise problems.Unauthorized(f"send Authorization: Bearer and a key that may {right}")
        if right not in rights:
            raise problems.Forbidden("this key may not do that")

    return check


def router(deliveries: Deliveries, keyring: Keyring) -> APIRouter:
    """The routes of this service."""
    routes = APIRouter(prefix="/v1", tags=["alerts"])

    @routes.get(
        "/deliveries",
        dependencies=[Depends(allowed(keyring, "read"))],
        responses=REFUSALS,
        summary="What was told to whom",
    )
    async def list_deliveries(
        state: State | None = None,
        case_id: Annotated[str | None, Query(max_length=64)] = None,
        limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
    ) -> DeliveryList:
        """Deliveries, newest event first: where a page went, or why it did not. Kept for 30 days once settled."""
        rows = await deliveries.rows(state, case_id, limit)
        return DeliveryList(deliveries=[_view(row) for row in rows])

    return routes


def _view(row: Row) -> DeliveryView:
    return DeliveryView(
        id=row.event_id,
        message_id=row.message_id,
        kind=row.kind,
        case_id=row.case_id,
        channel=row.channel,
        state=row.state,
        attempts=row.attempts,
        last_status=row.last_status,
        raised_at=moment(row.at_ms),
        next_attempt_at=moment(row.next_ms) if row.next_ms is not None else None,
        settled_at=moment(row.settled_ms) if row.settled_ms is not None else None,
    )


def moment(at_ms: int) -> datetime:
    """A time as the answers have it."""
    return datetime.fromtimestamp(at_ms / 1_000, UTC)
