"""What live events say: records of three topics as JSON for streams. Pure; no personal text is in any of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final, Literal

import msgspec
from pydantic import Field

from schemas.changes import Cause, ChangesRecord, Correction, Policy, TeamChanges
from schemas.followups import FollowupEvent, FollowupRecord
from schemas.followups import State as CaseState
from schemas.scores import Counts, TeamScores
from schemas.topics import FOLLOWUPS, TEAM_CHANGES, TEAM_SCORES
from services.query.feed import EventName
from services.query.params import from_ms, when
from services.query.views import Numbers, View, numbers
from stream.domain.ids import offset_of
from stream.domain.minutes import window_name
from stream.domain.scores import Tally, display, nps

_SCORES = msgspec.json.Decoder(TeamScores)
_CHANGES = msgspec.json.Decoder(ChangesRecord)
_FOLLOWUPS = msgspec.json.Decoder(FollowupRecord)

Out = tuple[EventName, str, bytes]


class LiveWindowView(View):
    """One live window of a team, both policies."""

    window: str
    all: Numbers
    latest: Numbers


class LiveScoreView(View):
    """Event `score`: the rolling scores of a team, exact for every minute from `as_of` to before `valid_until`."""

    team: str
    as_of: datetime
    valid_until: datetime | None = Field(description="null: until the next answer")
    version: int
    record: str = Field(description="the log record behind it, as `at_least` takes it: partition:offset")
    windows: list[LiveWindowView]


class LiveFollowupView(View):
    """Event `followup`: a case changed. Read the case for its text."""

    event_id: str
    kind: str
    at: datetime
    team: str
    case_id: str
    response_id: str | None
    n: int
    state: CaseState
    score: int
    owner: str | None
    raised_at: datetime
    contact_due_at: datetime
    resolve_due_at: datetime
    record: str = Field(description="the log record behind it, as `at_least` takes it: partition:offset")


class DeltaView(View):
    """One answer more (+1) or less (-1) at a score, in the minute that ends at `minute`."""

    minute: datetime
    policy: Policy
    score: int
    change: int


class BandsView(View):
    """Counts of one window, and their score."""

    detractors: int
    passives: int
    promoters: int
    nps: float | None
    display: int | None


class MoveView(View):
    """A live window before and after a correction."""

    window: str
    policy: Policy
    before: BandsView
    after: BandsView


class LiveCorrectionView(View):
    """Event `correction`: a record changed what was shown before. Between two versions of a team, what was shown of the
    past changed by exactly the deltas of the corrections after the one and up to the other."""

    id: str
    team: str
    cause: Cause
    known_at: datetime
    as_of: datetime
    response_id: str
    deltas: list[DeltaView]
    windows: list[MoveView] = Field(description="the live windows that it moved, at `as_of`")
    version: int
    record: str = Field(description="the log record behind it, as `at_least` takes it: partition:offset")


class LiveStatusView(View):
    """Event `status`, every 15 s and whenever it changes: whether events flow to this stream at the moment."""

    live: bool
    now: datetime


class LiveResetView(View):
    """Event `reset`: events were missed; read everything again."""

    reason: Literal["behind", "unknown_id"]


LIVE_VIEWS: Final[dict[str, type[View]]] = {
    "score": LiveScoreView,
    "followup": LiveFollowupView,
    "correction": LiveCorrectionView,
    "status": LiveStatusView,
    "reset": LiveResetView,
}


def events_of(topic: str, partition: int, value: bytes, min_sample: int) -> Iterator[Out]:
    """The events that one record causes, as (name, team, JSON). None for `Position` records.

    Raises:  msgspec.MsgspecError for a value that is not a record of the topic.
    """
    if topic == TEAM_SCORES:
        scores = _SCORES.decode(value)
        yield "score", scores.team, _json(score_event(scores, partition, min_sample))
    elif topic == FOLLOWUPS:
        followup = _FOLLOWUPS.decode(value)
        if isinstance(followup, FollowupEvent):
            yield "followup", followup.case.team, _json(followup_event(followup, partition))
    elif topic == TEAM_CHANGES:
        changes = _CHANGES.decode(value)
        if isinstance(changes, TeamChanges):
            for correction in changes.corrections:
                yield "correction", changes.team, _json(correction_event(changes.team, correction, partition))


def score_event(scores: TeamScores, partition: int, min_sample: int) -> LiveScoreView:
    """A team's scores with everything that follows from the counts."""
    return LiveScoreView(
        team=scores.team,
        as_of=when(scores.as_of),
        valid_until=None if scores.valid_until is None else when(scores.valid_until),
        version=scores.version,
        record=f"{partition}:{offset_of(scores.version)}",
        windows=[
            LiveWindowView(
                window=window_name(window.minutes),
                all=numbers(_tally(window.all), min_sample),
                latest=numbers(_tally(window.latest), min_sample),
            )
            for window in scores.windows
        ],
    )


def followup_event(event: FollowupEvent, partition: int) -> LiveFollowupView:
    """A change of a case."""
    case = event.case
    return LiveFollowupView(
        event_id=event.event_id,
        kind=event.kind,
        at=from_ms(event.at_ms),
        team=case.team,
        case_id=case.case_id,
        response_id=event.response_id,
        n=case.n,
        state=case.state,
        score=case.score,
        owner=case.owner,
        raised_at=from_ms(case.raised_ms),
        contact_due_at=from_ms(case.contact_due_ms),
        resolve_due_at=from_ms(case.resolve_due_ms),
        record=f"{partition}:{offset_of(case.version)}",
    )


def correction_event(team: str, correction: Correction, partition: int) -> LiveCorrectionView:
    """A correction: signed deltas, and what they did to the live windows."""
    return LiveCorrectionView(
        id=correction.id,
        team=team,
        cause=correction.cause,
        known_at=from_ms(correction.known_ms),
        as_of=when(correction.as_of),
        response_id=correction.response_id,
        deltas=[
            DeltaView(minute=when(delta.minute), policy=delta.policy, score=delta.score, change=delta.change)
            for delta in correction.deltas
        ],
        windows=[
            MoveView(
                window=window_name(move.minutes),
                policy=move.policy,
                before=_bands(move.before),
                after=_bands(move.after),
            )
            for move in correction.windows
        ],
        version=correction.version,
        record=f"{partition}:{offset_of(correction.version)}",
    )


def _tally(counts: Counts) -> Tally:
    return Tally(counts.detractors, counts.passives, counts.promoters)


def _bands(counts: tuple[int, int, int]) -> BandsView:
    tally = Tally(*counts)
    return BandsView(
        detractors=counts[0], passives=counts[1], promoters=counts[2], nps=nps(tally), display=display(tally)
    )


def _json(view: View) -> bytes:
    return view.model_dump_json(by_alias=True).encode()
