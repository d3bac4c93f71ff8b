"""Scores and series out of ClickHouse, in counts. What a count means is `stream.domain.scores`."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final

import msgspec

from schemas.changes import Policy
from services.query.params import Ask
from services.query.sources import NEVER, bounds, choose, rows_of
from services.query.store import Store
from stream.domain.minutes import WINDOWS, ceil_minute
from stream.domain.scores import Tally

_SCORE: Final = """
SELECT sum(d) AS detractors, sum(n) AS passives, sum(p) AS promoters, max(version) AS newest,
    minIf(at_minute, d + n + p > 0) AS first_minute
FROM (ROWS
) AS counted
WHERE gone > {as_of:Int64}"""

# Each row counts in the points k of [enters, leaves): add at one, subtract at the other, and sum up afterwards.
_SERIES: Final = """
SELECT name AS team, k,
    sum(sign * toInt64(d)) AS detractors, sum(sign * toInt64(n)) AS passives, sum(sign * toInt64(p)) AS promoters
FROM
(
    SELECT
        if({each:Bool}, team, '') AS name,
        d, n, p,
        intDiv(greatest(at_minute - {first:Int64}, 0) + {step:Int64} - 1, {step:Int64}) AS enters,
        least(
            {points:Int64},
            intDiv(
                greatest(least(gone, at_minute + {length:Int64}) - {first:Int64}, 0) + {step:Int64} - 1,
                {step:Int64}
            )
        ) AS leaves
    FROM (ROWS
    ) AS counted
)
ARRAY JOIN [enters, leaves] AS k, [toInt64(1), toInt64(-1)] AS sign
WHERE enters < leaves
GROUP BY name, k
ORDER BY name, k"""

# The next minute that may bring another answer into a window of the past. Old states are looked at too, which can
# only make it earlier than need be.
_NEXT_PANE: Final = """
SELECT toInt64(min(intDiv(toUnixTimestamp(minute), 60))) AS following
FROM panes
WHERE minute > fromUnixTimestamp({until_s:Int64}) AND ({every:Bool} OR team IN {teams:Array(String)})"""
_NEXT_ANSWER: Final = """
SELECT if(count() = 0, 0, intDiv(toUnixTimestamp64Milli(min(event_at)) - 1 + 60000, 60000)) AS following
FROM answers
WHERE event_at > fromUnixTimestamp64Milli({until_ms:Int64}, 'UTC')
    AND known_at <= fromUnixTimestamp64Milli({known_ms:Int64}, 'UTC')
    AND ({every:Bool} OR team IN {teams:Array(String)}) AND counted"""

# Only answers that some state excludes are looked at, so that the many counted ones cost next to nothing. One that was
# erased is told as that, whenever it happened; when it became known is known no more, but not before it was given.
_EXCLUDED: Final = """
SELECT reason, count() AS answers
FROM
(
    SELECT if(max(erased), ['erased'], argMax(reasons, version)) AS why
    FROM answers
    WHERE event_at > fromUnixTimestamp64Milli({after_ms:Int64}, 'UTC')
        AND event_at <= fromUnixTimestamp64Milli(least({until_ms:Int64}, {known_ms:Int64}), 'UTC')
        AND (known_at <= fromUnixTimestamp64Milli({known_ms:Int64}, 'UTC') OR erased)
        AND ({every:Bool} OR team IN {teams:Array(String)})
        AND (team, response_id) IN
        (
            SELECT team, response_id
            FROM answers
            WHERE event_at > fromUnixTimestamp64Milli({after_ms:Int64}, 'UTC')
                AND event_at <= fromUnixTimestamp64Milli({until_ms:Int64}, 'UTC')
                AND ({every:Bool} OR team IN {teams:Array(String)}) AND NOT counted
        )
    GROUP BY team, response_id
)
ARRAY JOIN why AS reason
GROUP BY reason
ORDER BY reason"""

_TEAMS: Final = """
SELECT DISTINCT team
FROM
(
    SELECT team FROM scores WHERE team > {after:String}
    UNION ALL SELECT team FROM panes WHERE team > {after:String}
    UNION ALL SELECT team FROM answers WHERE team > {after:String}
)
ORDER BY team
LIMIT {limit:UInt32}"""
# Of the team whose scores were published last: every team's are, whenever the list changes.
_LIVE: Final = """
SELECT DISTINCT minutes
FROM scores
WHERE (team, version) IN (SELECT team, max(version) FROM scores GROUP BY team ORDER BY max(version) DESC, team LIMIT 1)
ORDER BY minutes"""
_SEEN: Final = """
SELECT team
FROM
(
    (SELECT team FROM answers WHERE team = {team:String} LIMIT 1)
    UNION ALL (SELECT team FROM panes WHERE team = {team:String} LIMIT 1)
    UNION ALL (SELECT team FROM scores WHERE team = {team:String} LIMIT 1)
)
LIMIT 1"""


@dataclass(frozen=True, slots=True)
class Score:
    """Counts of one window. `valid_until` is the next minute at which they change without a new record, None: never.

    `version` is the greatest of what was read in the window, 0 when there is nothing; over all teams it mixes
    partitions and only tells whether something changed.
    """

    tally: Tally
    version: int
    valid_until: int | None
    excluded: dict[str, int] = field(default_factory=dict)


class _Sums(msgspec.Struct):
    detractors: int
    passives: int
    promoters: int
    newest: int
    first_minute: int


class _Next(msgspec.Struct):
    following: int


class _Reason(msgspec.Struct):
    reason: str
    answers: int


class _Step(msgspec.Struct):
    team: str
    k: int
    detractors: int
    passives: int
    promoters: int


class _Minutes(msgspec.Struct):
    minutes: int


class _Team(msgspec.Struct):
    team: str


async def score(store: Store, ask: Ask, now_ms: int) -> Score:
    """The counts of one window. Empty: a zero tally; see `seen` for a team nobody ever heard of."""
    source = choose(ask.policy, ask.after, ask.as_of, ask.known_ms, now_ms)
    teams = None if ask.team is None else [ask.team]
    bound = bounds(source, ask.policy, teams, ask.after, ask.as_of, now_ms=now_ms, known_ms=ask.known_ms)
    sql = _SCORE.replace("ROWS", rows_of(source, ask.policy))
    counting = store.rows("score", sql, _Sums, **bound, as_of=ask.as_of)
    excluding = store.rows("excluded", _EXCLUDED, _Reason, **bound)
    if ask.as_of >= ceil_minute(now_ms):
        [sums], reasons = await asyncio.gather(counting, excluding)
        entering = 0
    else:
        entering_rows = store.rows("next", _NEXT_PANE if source == "panes" else _NEXT_ANSWER, _Next, **bound)
        [sums], reasons, [upcoming] = await asyncio.gather(counting, excluding, entering_rows)
        entering = upcoming.following
    tally = Tally(sums.detractors, sums.passives, sums.promoters)
    leaving = sums.first_minute + ask.minutes if tally.total and ask.minutes is not None else 0
    due = [minute for minute in (entering, leaving) if minute > 0]
    return Score(tally, sums.newest, min(due, default=None), {row.reason: row.answers for row in reasons})


async def series(
    store: Store,
    teams: list[str] | None,
    *,
    minutes: int | None,
    policy: Policy,
    first: int,
    step: int,
    points: int,
    now_ms: int,
    each: bool,
    known_ms: int | None = None,
) -> dict[str, list[Tally]]:
    """Rolling counts at the minutes first, first + step, …: one list of `points` tallies a team, in one query.

    `teams` None means every team. `each` gives a list for each of them, otherwise one over all under the name "".
    Empty:   a team without an answer in any of the windows is not in the result, but "" always is.
    """
    last = first + (points - 1) * step
    after = None if minutes is None else first - minutes
    # One point is one window; further points of policy `latest` lie in the past of the last one.
    source = choose(policy, after, first if points > 1 else last, known_ms, now_ms)
    rows = await store.rows(
        "series",
        _SERIES.replace("ROWS", rows_of(source, policy)),
        _Step,
        **bounds(source, policy, teams, after, last, now_ms=now_ms, known_ms=known_ms),
        first=first,
        step=step,
        points=points,
        length=NEVER if minutes is None else minutes,
        each=each,
    )
    changes: dict[str, dict[int, Tally]] = {} if each else {"": {}}
    for row in rows:
        changes.setdefault(row.team, {})[row.k] = Tally(row.detractors, row.passives, row.promoters)
    return {team: _running(steps, points) for team, steps in changes.items()}


def _running(steps: dict[int, Tally], points: int) -> list[Tally]:
    """Sums of the changes up to each point."""
    running, out = Tally(), []
    for k in range(points):
        running += steps.get(k, Tally())
        out.append(running)
    return out


async def seen(store: Store, team: str) -> bool:
    """Whether anything was ever stored for a team."""
    return bool(await store.rows("seen", _SEEN, _Team, team=team))


async def live_windows(store: Store) -> list[int]:
    """The windows that are live, in minutes, ascending; the default ones before the first score."""
    return [row.minutes for row in await store.rows("live_windows", _LIVE, _Minutes)] or list(WINDOWS)


async def team_names(store: Store, after: str, limit: int) -> list[str]:
    """Names of teams, ascending, that come after `after`; at most `limit`."""
    return [row.team for row in await store.rows("teams", _TEAMS, _Team, after=after, limit=limit)]
