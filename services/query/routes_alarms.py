"""Score alarms, as the alerts service has left them in ClickHouse: which stand, and which have ended."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field

from services.query import alarms
from services.query.alarms import LoggedAlarm
from services.query.deps import READ_AT_LEAST, Own
from services.query.params import Limit, TeamFilter, from_ms
from services.query.views import View
from stream.domain.scores import Tally, difference, display, nps

router = APIRouter(prefix="/v1", tags=["alarms"], dependencies=READ_AT_LEAST)


class AlarmScoreView(View):
    """The score of some answers."""

    n: int
    detractors: int
    passives: int
    promoters: int
    nps: float | None
    display: int | None = Field(description="whole points, as people read it")


class AlarmChangeView(View):
    """After minus before, in points, with its 95 % interval. Right after an alarm it tends to look too large."""

    points: float
    low: float
    high: float


class AlarmView(View):
    """A team's score fell."""

    alarm_id: str
    team: str
    state: Literal["open", "ended"]
    ending: Literal["recovered", "withdrawn", "settled"] | None
    since: str = Field(description="first day of the lower score, UTC: `2026-11-20`")
    raised_at: datetime
    ended_at: datetime | None
    before: AlarmScoreView = Field(description="the 180 days before, as they counted when it was raised")
    after: AlarmScoreView = Field(description="from `since` to the day it was raised, as it counted then")
    now: AlarmScoreView = Field(description="all answers since, as they counted when it was last looked at")
    change: AlarmChangeView | None


class AlarmsView(View):
    """Score alarms, newest first."""

    items: list[AlarmView]


@router.get("/alarms", summary="Whose score fell, newest first")
async def get_alarms(
    own: Own,
    team: TeamFilter = None,
    state: Annotated[Literal["open", "ended"] | None, Query(description="only those that stand, or have ended")] = None,
    limit: Limit = 50,
) -> AlarmsView:
    """The newest alarms; to whom each was told, the alerts service knows."""
    found = await alarms.listed(own.store, team, state, limit)
    return AlarmsView(items=[_view(one) for one in found])


def _view(one: LoggedAlarm) -> AlarmView:
    before, after = Tally(*one.before), Tally(*one.after)
    apart = difference(after, before)
    return AlarmView(
        alarm_id=one.alarm_id,
        team=one.team,
        state="open" if one.ended_ms is None else "ended",
        ending=one.ending or None,
        since=(from_ms(0) + timedelta(days=one.since)).date().isoformat(),
        raised_at=from_ms(one.raised_ms),
        ended_at=None if one.ended_ms is None else from_ms(one.ended_ms),
        before=_score(before),
        after=_score(after),
        now=_score(Tally(*one.now)),
        change=AlarmChangeView(points=apart.raw, low=apart.low, high=apart.high) if apart else None,
    )


def _score(tally: Tally) -> AlarmScoreView:
    return AlarmScoreView(
        n=tally.total,
        detractors=tally.detractors,
        passives=tally.passives,
        promoters=tally.promoters,
        nps=nps(tally),
        display=display(tally),
    )
