"""What people ask for: silences, telling again what was given up, how the attempts of a message went."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, Depends
from fastapi import Path as InPath
from pydantic import BaseModel, ConfigDict, Field

from schemas.responses import TEAM_PATTERN
from services.alerts.deliveries import Silence
from services.alerts.ledger import Ledger
from services.alerts.routes import REFUSALS, allowed, moment
from services.common import problems
from services.common.clock import wall_clock_ms
from services.common.keys import Keyring

Team = Annotated[str, Field(pattern=TEAM_PATTERN)]
Name = Annotated[str, Field(min_length=1, max_length=64)]
Id = Annotated[str, InPath(max_length=64)]
_LONGEST_MIN: Final = 30 * 24 * 60
_MINUTE_MS: Final = 60_000


class SilenceIn(BaseModel):
    """What to hold back: of one team or of all, on one channel or on all, for how long, and why."""

    model_config = ConfigDict(extra="forbid")

    team: Team | None = None
    channel: Name | None = None
    minutes: Annotated[int, Field(ge=1, le=_LONGEST_MIN)]
    reason: Annotated[str, Field(max_length=200)] = ""


class SilenceView(BaseModel):
    """A silence. What it holds back is told when it ends."""

    id: str
    team: str | None
    channel: str | None
    since: datetime
    until: datetime
    reason: str

    @classmethod
    def of(cls, one: Silence) -> SilenceView:
        """As it is stored."""
        since, until = moment(one.made_ms), moment(one.until_ms)
        return cls(id=one.id, team=one.team, channel=one.channel, since=since, until=until, reason=one.reason)


class SilenceList(BaseModel):
    """Those that hold now and those that ended within a day, the last to end first."""

    silences: list[SilenceView]


class AgainIn(BaseModel):
    """What to tell again: everything given up, that of one channel, or one message or event by its id."""

    model_config = ConfigDict(extra="forbid")

    channel: Name | None = None
    id: Name | None = None


class AgainView(BaseModel):
    """How many events are pending again, by channel."""

    resent: dict[str, int]


class AttemptView(BaseModel):
    """One attempt as it went. `events`: how many the message told of."""

    message_id: str
    channel: str
    at: datetime
    number: int
    verdict: str
    status: str
    took_ms: int
    events: int


class AttemptList(BaseModel):
    """Oldest first, over all channels."""

    attempts: list[AttemptView]


def router(ledger: Ledger, keyring: Keyring, look: Callable[[], None]) -> APIRouter:
    """The routes. `look` has every channel look for what is due now."""
    routes = APIRouter(prefix="/v1", tags=["alerts"])
    may_read, may_ask = (Depends(allowed(keyring, right)) for right in ("read", "admin"))

    @routes.get(
        "/deliveries/{id}/attempts", dependencies=[may_read], responses=REFUSALS, summary="How its attempts went"
    )
    async def list_attempts(id: Id) -> AttemptList:  # the name in the address
        """The attempts of an event or a message, one a line. Kept for 30 days, the newest 200,000 of them."""
        found = await ledger.attempts(id)
        return AttemptList(
            attempts=[
                AttemptView(
                    message_id=one.message_id,
                    channel=one.channel,
                    at=moment(one.at_ms),
                    number=one.number,
                    verdict=one.verdict,
                    status=one.status,
                    took_ms=one.took_ms,
                    events=one.events,
                )
                for one in found
            ]
        )

    @routes.post(
        "/deliveries/resend", dependencies=[may_ask], responses=REFUSALS, summary="Tell again what was given up"
    )
    async def resend(asked: AgainIn) -> AgainView:
        """Under the old ids, with all attempts before it. What was withdrawn, or erased, is not told again."""
        counts = await ledger.again(asked.channel, asked.id, wall_clock_ms())
        look()
        return AgainView(resent=counts)

    @routes.get("/silences", dependencies=[may_read], responses=REFUSALS, summary="What is held back")
    async def list_silences() -> SilenceList:
        """Silences, the last to end first."""
        return SilenceList(silences=[SilenceView.of(one) for one in await ledger.silences()])

    @routes.post(
        "/silences", status_code=201, dependencies=[may_ask], responses=REFUSALS, summary="Hold back for a while"
    )
    async def silence(asked: SilenceIn) -> SilenceView:
        """From now on. What comes meanwhile is on the board at once, and is told when the silence ends."""
        now_ms = wall_clock_ms()
        until_ms = now_ms + asked.minutes * _MINUTE_MS
        return SilenceView.of(await ledger.silence(asked.team, asked.channel, until_ms, asked.reason, now_ms))

    @routes.delete(
        "/silences/{id}",
        dependencies=[may_ask],
        responses={**REFUSALS, 404: {"description": "No silence of that id holds"}},
        summary="End a silence now",
    )
    async def end(id: Id) -> SilenceView:  # the name in the address
        """What it held back is told now."""
        ended = await ledger.end(id, wall_clock_ms())
        if ended is None:
            raise problems.NotFound("no silence of that id holds")
        look()
        return SilenceView.of(ended)

    return routes
