"""Scores: teams, one window, over all teams, a series, a comparison."""

from __future__ import annotations

import asyncio
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query
from pydantic import StringConstraints

from services.common.problems import NotFound
from services.query import followups, scores
from services.query.deps import READ_AT_LEAST, Own, Services
from services.query.params import (
    MAX_POINTS,
    Ask,
    AsOf,
    Cursor,
    Instant,
    KnownAt,
    Limit,
    Margin,
    PolicyParam,
    Step,
    Team,
    Window,
    ask,
    decode_cursor,
    encode_cursor,
    epoch_ms,
    invalid,
    minute_of,
    not_ahead,
    parse_step,
    when,
)
from services.query.params import from_ms as instant
from services.query.views import (
    CompareView,
    PointView,
    ScoreView,
    SeriesView,
    TeamsView,
    TeamView,
    WindowsView,
    difference_view,
    margin_view,
    numbers,
    score_view,
    state_of,
)
from stream.domain.minutes import ceil_minute, parse_window, window_name
from stream.domain.scores import Tally, difference, display, nps

router = APIRouter(prefix="/v1", tags=["scores"], dependencies=READ_AT_LEAST)

Side = Annotated[str, StringConstraints(pattern=r"^(\*|[a-z0-9][a-z0-9._-]{0,63})$")]


class _After(msgspec.Struct, frozen=True, array_like=True):
    team: str


@router.get("/windows", summary="The live windows")
async def get_windows(own: Own) -> WindowsView:
    """Windows whose scores are kept up with every answer. Any other can be asked for as well."""
    return WindowsView(windows=[window_name(minutes) for minutes in await scores.live_windows(own.store)])


@router.get("/teams", summary="Teams, by name, with their scores now")
async def get_teams(
    own: Own, window: Window = "7d", policy: PolicyParam = "all", limit: Limit = 100, cursor: Cursor = None
) -> TeamsView:
    """Every team that ever sent an answer: its live score and the follow-ups that wait for somebody."""
    place = decode_cursor(cursor, _After)
    now_ms = own.now_ms()
    question = ask(now_ms, None, window, policy)
    names = await scores.team_names(own.store, "" if place is None else place.team, limit + 1)
    shown = names[:limit]
    tallies, cases = await asyncio.gather(
        scores.series(
            own.store,
            shown,
            minutes=question.minutes,
            policy=policy,
            first=question.as_of,
            step=1,
            points=1,
            now_ms=now_ms,
            each=True,
        ),
        followups.counts(own.store, shown, now_ms),
    )
    return TeamsView(
        window=window,
        policy=policy,
        as_of=when(question.as_of),
        items=[
            _team_view(name, tallies.get(name, [Tally()])[0], cases.get(name), own.settings.min_sample)
            for name in shown
        ],
        next_cursor=encode_cursor(_After(shown[-1])) if len(names) > limit else None,
    )


def _team_view(team: str, tally: Tally, cases: followups.TeamCases | None, min_sample: int) -> TeamView:
    return TeamView(
        team=team,
        score=numbers(tally, min_sample),
        open_followups=0 if cases is None else cases.active,
        overdue_followups=0 if cases is None else cases.overdue,
        next_due_at=None if cases is None else instant(cases.next_due_ms),
    )


@router.get("/teams/{team}/score", summary="The score of one team in one window")
async def get_team_score(
    own: Own,
    team: Team,
    window: Window = "7d",
    policy: PolicyParam = "all",
    as_of: AsOf = None,
    known_at: KnownAt = None,
    margin: Margin = "adjusted_wald",
) -> ScoreView:
    """The rolling score. `nps` is null when nobody answered in the window; 404 for a team never seen."""
    return await _scored(own, ask(own.now_ms(), team, window, policy, as_of, known_at), margin)


@router.get("/score", summary="The score over all teams")
async def get_score(
    own: Own,
    window: Window = "7d",
    policy: PolicyParam = "all",
    as_of: AsOf = None,
    known_at: KnownAt = None,
    margin: Margin = "adjusted_wald",
) -> ScoreView:
    """All teams' answers in one window. Respondents are known per team: one who answered to two counts for both."""
    return await _scored(own, ask(own.now_ms(), None, window, policy, as_of, known_at), margin)


@router.get("/compare", summary="Two teams, or two windows, and how far they are apart")
async def get_compare(
    own: Own,
    a: Annotated[Side, Query(description="a team, or * for all teams")],
    b: Annotated[Side, Query(description="a team, or * for all teams; may be the same as a")],
    window: Window = "7d",
    policy: PolicyParam = "all",
    as_of: AsOf = None,
    known_at: KnownAt = None,
    b_window: Annotated[Window | None, Query(description="window of b; default: that of a")] = None,
    b_as_of: Annotated[Instant, Query(description="end of b's window; default: that of a")] = None,
    b_known_at: Annotated[
        Instant, Query(description="what b counts was known at this time; default: that of a")
    ] = None,
    margin: Margin = "adjusted_wald",
) -> CompareView:
    """The difference a - b with its interval and p-value, from the adjusted counts; null when either is empty.

    The interval is that of two samples: between two times of knowing of one window look at the counts alone.
    """
    now_ms = own.now_ms()
    not_ahead(now_ms, "b_known_at", b_known_at)
    left = ask(now_ms, None if a == "*" else a, window, policy, as_of, known_at)
    right = ask(
        *(now_ms, None if b == "*" else b, b_window or window, policy, b_as_of or as_of, b_known_at or known_at),
        path="b_as_of",
    )
    view_a, view_b = await asyncio.gather(_scored(own, left, margin), _scored(own, right, margin))
    return CompareView(a=view_a, b=view_b, difference=difference_view(difference(_tally(view_a), _tally(view_b))))


@router.get("/teams/{team}/series", summary="The rolling score of one team over time")
async def get_series(
    own: Own,
    team: Team,
    window: Window = "7d",
    step: Step = "1d",
    from_: Annotated[Instant, Query(alias="from", description="first point; default: 30 steps before `to`")] = None,
    to: Annotated[Instant, Query(description="last point; default: now, the next whole minute")] = None,
    policy: PolicyParam = "all",
    known_at: KnownAt = None,
    margin: Margin = "adjusted_wald",
) -> SeriesView:
    """One score every `step` from `from` on; the last point is the last one not after `to`. At most 2,000 points."""
    now_ms, step_minutes, minutes = own.now_ms(), parse_step(step), parse_window(window)
    not_ahead(now_ms, "from", from_)
    not_ahead(now_ms, "to", to)
    not_ahead(now_ms, "known_at", known_at)
    until = ceil_minute(now_ms) if to is None else minute_of(to)
    first = max(0, until - 30 * step_minutes) if from_ is None else minute_of(from_)
    if first > until:
        raise invalid("from", "must not be after `to`")
    points = (until - first) // step_minutes + 1
    if points > MAX_POINTS:
        raise invalid("step", f"gives {points} points from `from` to `to`; at most {MAX_POINTS} are allowed")
    found = await scores.series(
        own.store,
        [team],
        minutes=minutes,
        policy=policy,
        first=first,
        step=step_minutes,
        points=points,
        now_ms=now_ms,
        each=False,
        known_ms=None if known_at is None else epoch_ms(known_at),
    )
    tallies = found[""]
    if not any(tally.total for tally in tallies):
        await _must_be_known(own, team)
    return SeriesView(
        team=team,
        window=window,
        step=step,
        policy=policy,
        from_=when(first),
        to=when(first + (points - 1) * step_minutes),
        points=[
            PointView(
                at=when(first + k * step_minutes),
                n=tally.total,
                detractors=tally.detractors,
                passives=tally.passives,
                promoters=tally.promoters,
                nps=nps(tally),
                display=display(tally),
                margin=margin_view(tally, margin),
                state=state_of(tally.total, own.settings.min_sample),
            )
            for k, tally in enumerate(tallies)
        ],
    )


async def _scored(own: Services, question: Ask, margin: Margin) -> ScoreView:
    found = await scores.score(own.store, question, own.now_ms())
    if question.team is not None and not found.tally.total and not found.excluded:
        await _must_be_known(own, question.team)
    return score_view(question, found, own.settings.min_sample, margin)


async def _must_be_known(own: Services, team: str) -> None:
    if not await scores.seen(own.store, team):
        raise NotFound(f"team {team!r} has never sent an answer")


def _tally(view: ScoreView) -> Tally:
    return Tally(view.detractors, view.passives, view.promoters)
