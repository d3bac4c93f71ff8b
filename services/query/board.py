"""What the page shows, worked out before any HTML: cards of scores and the follow-ups that wait."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from schemas.feedback import ActKind
from services.query import alarms, followups, policies, scores
from services.query.alarms import AlarmRow
from services.query.deps import Services
from services.query.followups import ACTIVE, CLOSED, CaseRow, TeamCases
from services.query.params import from_ms, when
from services.query.people import look_up
from services.query.spark import Spark, spark
from services.query.views import Numbers, numbers
from services.query.words import (
    CHANCE,
    again_text,
    ago_text,
    answers_text,
    change_text,
    closed_text,
    contacts_text,
    due_text,
    excerpt,
    falling_text,
    headline,
    margin_text,
    state_text,
    window_text,
)
from stream.domain.minutes import MINUTES_A_DAY, ceil_minute, parse_window, window_name
from stream.domain.moves import allowed
from stream.domain.scores import Difference, Tally, difference

TEAMS_A_PAGE: Final = 48
CASES_SHOWN: Final = 24
STEPS: Final = 12  # of a spark line in one window, at most; it spans two, so its middle is the window before
USUAL_MINUTES: Final = 7 * MINUTES_A_DAY  # the window that a board opens with, or the live one nearest to it


@dataclass(frozen=True, slots=True)
class CasesLine:
    """Follow-ups of a team in one line."""

    active: int
    overdue: int
    due: str


@dataclass(frozen=True, slots=True)
class Falling:
    """A score alarm that stands, in one line. `window` is that of the answers since the fall, up to now."""

    text: str
    window: str


@dataclass(frozen=True, slots=True)
class Card:
    """One score as shown. `team` None: over all teams."""

    team: str | None
    figures: Numbers
    headline: str
    margin: str
    answers: str
    change: str
    direction: str
    spark: Spark | None
    cases: CasesLine | None
    falling: Falling | None = None


@dataclass(frozen=True, slots=True)
class Clock:
    """A promise to a customer, and how far it is: `due` such as "first contact due in 9 h"."""

    due: str
    at: datetime
    overdue: bool


@dataclass(frozen=True, slots=True)
class CaseCard:
    """One follow-up as shown."""

    case_id: str
    n: int
    team: str
    score: int
    state: str
    raised: str
    raised_at: datetime
    medium: str
    comment: str
    owner: str
    progress: str
    again: str
    clocks: list[Clock]
    overdue: bool
    allowed: tuple[ActKind, ...]
    causes: list[str]


Shown = Literal["open", "closed"]


@dataclass(frozen=True, slots=True)
class Waiting:
    """The newest follow-ups that wait, or the last that closed, and how many wait over all teams."""

    shown: Shown
    cases: list[CaseCard]
    active: int
    overdue: int


@dataclass(frozen=True, slots=True)
class Board:
    """Everything a card list needs."""

    minutes: int
    as_of: datetime
    overall: Card
    cards: list[Card]
    after: str | None


def window_links(live: list[int]) -> list[tuple[str, str]]:
    """The live windows, given in minutes: (name, text)."""
    return [(window_name(minutes), window_text(minutes)) for minutes in live]


def window_of(live: list[int], asked: str) -> int:
    """The window to show, in minutes: that which is asked for if it is live, else the usual one. `live` is not empty.

    >>> window_of([60, 1440], "1h"), window_of([60, 1440], "7d"), window_of([60, 1440], "all")
    (60, 1440, 1440)
    """
    minutes = parse_window(asked)
    if minutes is not None and minutes in live:
        return minutes
    return min(live, key=lambda one: abs(one - USUAL_MINUTES))


def steps_of(minutes: int) -> int:
    """Into how many whole minutes' steps a window is cut for its spark line.

    >>> steps_of(10_080), steps_of(90), steps_of(7), steps_of(13)
    (12, 10, 7, 1)
    """
    return max(steps for steps in range(1, STEPS + 1) if minutes % steps == 0)


async def read_board(own: Services, minutes: int, after: str = "", only: list[str] | None = None) -> Board:
    """The over-all card and a page of team cards: teams named after `after`, or `only` these."""
    now_ms = own.now_ms()
    as_of = ceil_minute(now_ms)
    names = only if only is not None else await scores.team_names(own.store, after, TEAMS_A_PAGE + 1)
    shown = names if only is not None else names[:TEAMS_A_PAGE]
    steps = steps_of(minutes)
    step = minutes // steps

    def ask(teams: list[str] | None, *, each: bool) -> asyncio.Task[dict[str, list[Tally]]]:
        return asyncio.ensure_future(
            scores.series(
                own.store,
                teams,
                minutes=minutes,
                policy="all",
                first=as_of - 2 * minutes,
                step=step,
                points=2 * steps + 1,
                now_ms=now_ms,
                each=each,
            )
        )

    by_team, overall, cases, falls = await asyncio.gather(
        ask(shown, each=True),
        ask(None, each=False),
        followups.counts(own.store, shown, now_ms),
        alarms.standing(own.store, shown),
    )
    least = own.settings.min_sample
    return Board(
        minutes,
        when(as_of),
        _card(None, overall[""], minutes, least, None),
        [
            _card(
                name,
                by_team.get(name) or [Tally()] * (2 * steps + 1),
                minutes,
                least,
                _cases_line(cases.get(name), now_ms),
                _falling(falls.get(name), as_of),
            )
            for name in shown
        ],
        shown[-1] if only is None and len(names) > TEAMS_A_PAGE else None,
    )


async def read_waiting(own: Services, shown: Shown = "open") -> Waiting:
    """The newest follow-ups that wait for somebody, or those that closed last, and how many wait in all."""
    now_ms = own.now_ms()
    states = ACTIVE if shown == "open" else CLOSED
    order: followups.Order = "newest" if shown == "open" else "changed"
    (rows, _), counts = await asyncio.gather(
        followups.page(own.store, followups.Filter(states=states), None, CASES_SHOWN, order),
        followups.counts(own.store, None, now_ms),
    )
    texts, causes = await asyncio.gather(
        look_up(own.store, ((row.team, row.response_id) for row in rows)),
        policies.causes(own.store, sorted({row.team for row in rows})),
    )
    cards = []
    for row in rows:
        text = texts.get((row.team, row.response_id))
        cards.append(_case_card(row, "" if text is None else text.comment, causes.get(row.team, []), now_ms))
    return Waiting(
        shown, cards, sum(team.active for team in counts.values()), sum(team.overdue for team in counts.values())
    )


def _falling(alarm: AlarmRow | None, as_of: int) -> Falling | None:
    if alarm is None:
        return None
    length = max(1, as_of - alarm.since * MINUTES_A_DAY)
    return Falling(falling_text(alarm.since, alarm.was, alarm.fell_to), f"{length}m")


def _card(
    team: str | None,
    points: list[Tally],
    minutes: int,
    least: int,
    cases: CasesLine | None,
    falling: Falling | None = None,
) -> Card:
    now, before = points[-1], points[len(points) // 2]
    figures = numbers(now, least)
    moved = difference(now, before)
    comparable = moved is not None and figures.state == "ok" and before.total >= least
    return Card(
        team=team,
        figures=figures,
        headline=headline(figures),
        margin=margin_text(figures),
        answers=answers_text(figures.n),
        change=change_text(moved if comparable else None, minutes) if figures.state == "ok" else "",
        direction=_direction(moved) if comparable else "",
        spark=spark(points, least),
        cases=cases,
        falling=falling,
    )


def _direction(moved: Difference | None) -> str:
    """Which way a score went; nowhere when that could be chance."""
    if moved is None or moved.p_value >= CHANCE:
        return ""
    return "up" if moved.raw > 0 else "down"


def _cases_line(cases: TeamCases | None, now_ms: int) -> CasesLine:
    if cases is None:
        return CasesLine(0, 0, "")
    return CasesLine(cases.active, cases.overdue, due_text(cases.next_due_ms, now_ms))


def _case_card(row: CaseRow, comment: str, causes: list[str], now_ms: int) -> CaseCard:
    clocks = _clocks(row, now_ms)
    return CaseCard(
        case_id=row.case_id,
        n=row.n,
        team=row.team,
        score=row.score,
        state=_state_text(row, now_ms),
        raised=ago_text(row.raised_ms, now_ms),
        raised_at=from_ms(row.raised_ms),
        medium=row.medium or row.channel,
        comment=excerpt(comment),
        owner=row.owner,
        progress=contacts_text(row.contacts, row.attempts),
        again=again_text(row.reask_score, row.reask_of),
        clocks=clocks,
        overdue=any(clock.overdue for clock in clocks),
        allowed=allowed(row.state),
        causes=causes,
    )


def _state_text(row: CaseRow, now_ms: int) -> str:
    if row.active:
        return state_text(row.state, row.snoozed_until_ms, now_ms)
    return closed_text(row.state, row.resolved_ms or row.changed_ms, row.cause, now_ms)


def _clocks(row: CaseRow, now_ms: int) -> list[Clock]:
    """The promises that are still to be kept, the first one due first; none of a closed case."""
    if not row.active:
        return []
    due = [("resolution", row.resolve_due_ms)]
    if row.agreed_ms is not None:
        due.append(("call back", row.agreed_ms))
    elif row.uncontacted:
        due.append(("first contact", row.contact_due_ms))
    ordered = sorted(due, key=lambda one: one[1])
    return [Clock(f"{name} {due_text(ms, now_ms)}", from_ms(ms), ms < now_ms) for name, ms in ordered]
