"""What teams promise, as the log has it: which policies hold, and those of one team since the beginning."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query
from pydantic import Field

from services.query import policies
from services.query.deps import READ_AT_LEAST, Own
from services.query.params import Limit, Team, from_ms
from services.query.policies import Newest
from services.query.views import View

router = APIRouter(prefix="/v1", tags=["policies"], dependencies=READ_AT_LEAST)


class PolicyView(View):
    """Which policy holds for a team."""

    team: str
    rev: str = Field(description="hash of all that was set: the same means nothing has changed")
    set_at: datetime
    until: datetime | None = Field(description="how far its working hours are known; null: around the clock")


class PastPolicyView(PolicyView):
    """One policy that a team has, or had."""

    contact_ms: int = Field(description="working time to the first contact")
    resolve_ms: int = Field(description="working time to a resolution")
    root_causes: list[str]
    config: dict[str, Any] = Field(description="the team's table of `teams.toml`, with what it inherits")


class PoliciesView(View):
    """Policies by team; ask again with `after` = the last team while a page is full."""

    items: list[PolicyView]


class PastPoliciesView(View):
    """Policies of one team, newest first."""

    team: str
    items: list[PastPolicyView]


@router.get("/policies", summary="Which policy of each team holds")
async def get_policies(
    own: Own,
    after: Annotated[str, Query(max_length=64, description="only teams after this name")] = "",
    limit: Annotated[int, Query(ge=1, le=1_000, description="most teams to list")] = 1_000,
) -> PoliciesView:
    """Teams that have a policy of their own, by name. Others work around the clock, within the built-in promise."""
    found = await policies.newest(own.store, after, limit)
    return PoliciesView(items=[PolicyView(**_members(row)) for row in found])


@router.get("/teams/{team}/policies", summary="What a team has promised, and since when")
async def get_team_policies(own: Own, team: Team, limit: Limit = 50) -> PastPoliciesView:
    """Newest first; the first one holds. Empty for a team that has only the built-in promise."""
    found = await policies.history(own.store, team, limit)
    return PastPoliciesView(
        team=team,
        items=[
            PastPolicyView(
                **_members(row),
                contact_ms=row.contact_ms,
                resolve_ms=row.resolve_ms,
                root_causes=row.root_causes,
                config=msgspec.json.decode(row.config),
            )
            for row in found
        ],
    )


def _members(row: Newest) -> dict[str, Any]:
    until = None if row.until_ms is None else from_ms(row.until_ms)
    return {"team": row.team, "rev": row.rev, "set_at": from_ms(row.set_ms), "until": until}
