"""Whether follow-ups win customers back: those asked again, and what they say now."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from services.query import recovery
from services.query.deps import READ_AT_LEAST, Own
from services.query.params import Instant, Team, epoch_ms, invalid
from services.query.views import View
from stream.domain.scores import band_of

router = APIRouter(prefix="/v1", tags=["follow-ups"], dependencies=READ_AT_LEAST)

_LATEST_MS = 4_102_444_800_000


class PairView(View):
    """So many customers went from one score to another."""

    before: int = Field(description="of the answer that opened the case, as it stands")
    after: int = Field(description="of the answer to being asked again, as it stands")
    cases: int


class RecoveryView(View):
    """What customers say who were asked again about a case, each case once."""

    team: str
    from_: datetime | None = Field(alias="from", description="null: from the beginning")
    to: datetime | None = Field(description="null: until now")
    asked: int = Field(description="cases about which the customer was asked again in this time")
    answered: int = Field(description="those of them that have an answer that counts")
    detractors: int = Field(description="answers of 0..6: unhappy still")
    passives: int = Field(description="answers of 7 and 8")
    promoters: int = Field(description="answers of 9 and 10")
    recovered: int = Field(description="passives and promoters")
    rate: float | None = Field(description="100·recovered/answered, unrounded; null when nobody has answered")
    mean_before: float | None = Field(description="mean score before, of those who have answered; null when nobody has")
    mean_after: float | None = Field(description="their mean score now")
    pairs: list[PairView] = Field(description="from which score to which, those who have answered")


@router.get("/teams/{team}/recovery", summary="Whether follow-ups win customers back")
async def get_recovery(
    own: Own,
    team: Team,
    from_: Annotated[Instant, Query(alias="from", description="only those asked after this time")] = None,
    to: Annotated[Instant, Query(description="only those asked at or before this time")] = None,
) -> RecoveryView:
    """Every number is 0 for a team that has asked nobody. Whoever was asked without the policy counts when they answer.

    A case is of the time when its customer was asked; one that is answered later counts there.
    """
    if from_ is not None and to is not None and from_ > to:
        raise invalid("from", "must not be after `to`")
    after_ms, until_ms = (None if at is None else epoch_ms(at) for at in (from_, to))
    found = await recovery.pairs(
        own.store, team, 0 if after_ms is None else after_ms, _LATEST_MS if until_ms is None else until_ms
    )
    pairs = [PairView(before=one.before, after=one.after, cases=one.cases) for one in found if one.after is not None]
    answered = sum(one.cases for one in pairs)
    bands = [0, 0, 0]
    for one in pairs:
        bands[band_of(one.after)] += one.cases
    recovered = bands[1] + bands[2]
    return RecoveryView(
        team=team,
        from_=from_,
        to=to,
        asked=sum(one.cases for one in found),
        answered=answered,
        detractors=bands[0],
        passives=bands[1],
        promoters=bands[2],
        recovered=recovered,
        rate=100 * recovered / answered if answered else None,
        mean_before=sum(one.before * one.cases for one in pairs) / answered if answered else None,
        mean_after=sum(one.after * one.cases for one in pairs) / answered if answered else None,
        pairs=pairs,
    )
