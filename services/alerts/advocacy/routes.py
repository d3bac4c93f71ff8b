"""`GET /v1/promoters`: who may be asked for a testimonial, and who was told."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Protocol

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from schemas.responses import TEAM_PATTERN
from services.alerts.advocacy.asks import Ask
from services.alerts.alarms.routes import SaidView, said_view
from services.alerts.alarms.store import Said
from services.alerts.routes import REFUSALS, allowed, moment
from services.common.keys import Keyring


class PromoterView(BaseModel):
    """A promoter who agreed to be asked, or has taken it back. Who it is, the answer says; nothing personal is here."""

    ask_id: str
    team: str
    state: Literal["open", "withdrawn"]
    response_id: str = Field(description="the answer that allowed it: `GET /v1/responses` of the query service has it")
    at: datetime = Field(description="when that answer came to allow it")
    told: list[SaidView]


class PromoterList(BaseModel):
    """Newest first."""

    promoters: list[PromoterView]


class Promoters(Protocol):
    """Where they are read from; `Asks` is one."""

    async def listed(self, team: str | None, withdrawn: bool | None, limit: int) -> list[tuple[Ask, list[Said]]]: ...


def router(promoters: Promoters, keyring: Keyring) -> APIRouter:
    """The route of promoters."""
    routes = APIRouter(prefix="/v1", tags=["alarms"])

    @routes.get(
        "/promoters", dependencies=[Depends(allowed(keyring, "read"))], responses=REFUSALS, summary="Who may be asked"
    )
    async def list_promoters(
        team: Annotated[str | None, Query(pattern=TEAM_PATTERN)] = None,
        state: Literal["open", "withdrawn"] | None = None,
        limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
    ) -> PromoterList:
        """Promoters who agreed to be asked for a testimonial, once a person and team, newest first."""
        found = await promoters.listed(team, None if state is None else state == "withdrawn", limit)
        return PromoterList(promoters=[_view(ask, said) for ask, said in found])

    return routes


def _view(ask: Ask, said: list[Said]) -> PromoterView:
    return PromoterView(
        ask_id=ask.ask_id,
        team=ask.team,
        state="withdrawn" if ask.withdrawn else "open",
        response_id=ask.response_id,
        at=moment(ask.at_ms),
        told=[said_view(one) for one in said],
    )
