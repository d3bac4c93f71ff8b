"""`GET /v1/alarms`: which teams' scores have fallen, since when and how far, and who was told."""

from __future__ import annotations

from typing import Annotated, Literal, Protocol

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from schemas.responses import TEAM_PATTERN
from services.alerts.alarms.records import Alarm
from services.alerts.alarms.store import Said
from services.alerts.alarms.wording import data_of
from services.alerts.routes import REFUSALS, allowed
from services.common.keys import Keyring
from stream.domain.alarms import Ending


class Margin(BaseModel):
    """A 95 % interval, adjusted Wald."""

    low: float
    high: float


class Score(BaseModel):
    """The score of some answers."""

    n: int
    detractors: int
    passives: int
    promoters: int
    nps: float | None
    margin: Margin | None


class SpanScore(Score):
    """The score of the answers of some days, the first and the last included (UTC)."""

    first: str = Field(alias="from")
    last: str = Field(alias="to")


class Change(BaseModel):
    """After minus before, in points, with its 95 % interval. Right after an alarm it tends to look too large."""

    points: float
    low: float
    high: float


class SaidView(BaseModel):
    """What became of one message on one channel."""

    id: str
    channel: str
    state: Literal["pending", "delivered", "given_up"]
    attempts: int
    last_status: str | None


class AlarmView(BaseModel):
    """A team's score fell. `since_first` … `since_last` may as well be the day it fell on as `since`."""

    alarm_id: str
    team: str
    state: Literal["open", "ended"]
    ending: Ending | None
    since: str
    since_first: str
    since_last: str
    raised_at: str
    ended_at: str | None
    before: SpanScore = Field(description="the 180 days before, as they counted when it was raised")
    after: SpanScore = Field(description="from `since` to the day it was raised, as it counted then")
    now: Score = Field(description="all answers from `since` on, as they count now; until the end")
    change: Change | None
    explain: str = Field(description="path on the query service: every answer from `since` to the alarm")
    told: list[SaidView]


class AlarmList(BaseModel):
    """Newest first."""

    alarms: list[AlarmView]


class Listed(Protocol):
    """Where alarms are read from; `AlarmsFile` is one."""

    async def listed(self, team: str | None, open_: bool | None, limit: int) -> list[tuple[Alarm, list[Said]]]: ...


def router(alarms: Listed, keyring: Keyring) -> APIRouter:
    """The route of score alarms."""
    routes = APIRouter(prefix="/v1", tags=["alarms"])

    @routes.get(
        "/alarms", dependencies=[Depends(allowed(keyring, "read"))], responses=REFUSALS, summary="Whose score fell"
    )
    async def list_alarms(
        team: Annotated[str | None, Query(pattern=TEAM_PATTERN)] = None,
        state: Literal["open", "ended"] | None = None,
        limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
    ) -> AlarmList:
        """Score alarms, newest first."""
        found = await alarms.listed(team, None if state is None else state == "open", limit)
        return AlarmList(alarms=[_view(alarm, said) for alarm, said in found])

    return routes


def said_view(one: Said) -> SaidView:
    """What became of one message, for a reader."""
    return SaidView(
        id=one.note_id, channel=one.channel, state=one.state, attempts=one.attempts, last_status=one.last_status
    )


def _view(alarm: Alarm, said: list[Said]) -> AlarmView:
    return AlarmView.model_validate(data_of(alarm) | {"told": [said_view(one) for one in said]})
