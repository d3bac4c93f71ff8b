"""Answers, newest first: each as it stands now, with its text. Those that were erased are none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec

from services.query.params import BandName
from services.query.people import Personal, look_up
from services.query.store import Store

_SCORES: Final[dict[BandName, list[int]]] = {
    "detractor": [0, 1, 2, 3, 4, 5, 6],
    "passive": [7, 8],
    "promoter": [9, 10],
}
_EARLIEST_MS: Final = -2_208_988_800_000
_LATEST_MS: Final = 4_102_444_800_000
_MINUTE_MS: Final = 60_000
_GROWTH: Final = 8
# Over all teams no order of the table helps, and what is read is sorted: so it is read in spans of time, newest first,
# each longer than the one before. A search reads every comment for each span. So of a rare word, where few answers are
# left to be sorted, everything is read at once, and of others it begins with days.
_FIRST_SPAN_MS: Final = _MINUTE_MS
_FIRST_SEARCHED_MS: Final = _GROWTH**4 * _MINUTE_MS

_FEW: Final = 10_000  # answers that are sorted without a thought

_SAYING: Final = """
            SELECT team, response_id
            FROM people FINAL
            WHERE ({every:Bool} OR team = {team:String})
                AND positionCaseInsensitiveUTF8(comment, {q:String}) > 0"""

# Rows of a team come in the table's own order, backwards: reading ends when the page is full. The newest state of
# an answer is the one that is filtered, so an edit that changes the band moves the answer.
_ANSWERS: Final = """
SELECT
    team, response_id, version,
    toUnixTimestamp64Milli(event_at) AS event_ms, toUnixTimestamp64Milli(known_at) AS known_ms,
    score, revision, respondent, reasons, history, survey, channel, locale, medium,
    toUnixTimestamp64Milli(callback_at) AS callback_ms, age_group, attributes, case_id, not_raised, reask_of
FROM
(
    SELECT *
    FROM answers
    WHERE ({every:Bool} OR team = {team:String})
        AND ({q:String} = '' OR (team, response_id) IN (THOSE_THAT_SAY_IT))
        AND event_at > fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
        AND event_at <= fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
        AND ((toUnixTimestamp64Milli(event_at), response_id, team)
            < ({place_ms:Int64}, {place_id:String}, {place_team:String}))
    ORDER BY event_at DESC, response_id DESC, team DESC, version DESC
    LIMIT 1 BY team, response_id
)
WHERE NOT erased AND (empty({scores:Array(UInt8)}) OR score IN {scores:Array(UInt8)})
ORDER BY event_ms DESC, response_id DESC, team DESC
LIMIT {limit:UInt32}""".replace("THOSE_THAT_SAY_IT", _SAYING)

# Ends at the first ones beyond a few.
_MANY_SAY_IT: Final = f"SELECT count() AS n FROM (SELECT 1 {_SAYING[_SAYING.index('FROM') :]} LIMIT {_FEW + 1})"  # noqa: S608  our own text

_NEWEST: Final = """
SELECT toUnixTimestamp64Milli(max(event_at)) AS event_ms, count() AS n
FROM answers
WHERE event_at > fromUnixTimestamp64Milli({after_ms:Int64}, 'UTC')
    AND event_at <= fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')"""

_BY_ID: Final = """
SELECT response_id, argMax(score, version) AS score, toUnixTimestamp64Milli(any(event_at)) AS event_ms
FROM answers
WHERE team = {team:String} AND response_id IN {ids:Array(String)}
GROUP BY response_id
HAVING NOT max(erased)"""


class Place(msgspec.Struct, frozen=True, array_like=True):
    """Where a page of answers ended."""

    event_ms: int
    response_id: str
    team: str


class AnswerRow(msgspec.Struct, frozen=True):
    """One answer as it stands. `reasons` empty: counted. Empty texts were not given."""

    team: str
    response_id: str
    version: int
    event_ms: int
    known_ms: int
    score: int
    revision: int
    respondent: str
    reasons: list[str]
    history: bool
    survey: str
    channel: str
    locale: str
    medium: str
    callback_ms: int | None
    age_group: str
    attributes: dict[str, str]
    case_id: str
    not_raised: str
    reask_of: str


class _Newest(msgspec.Struct, frozen=True):
    event_ms: int
    n: int


class _Count(msgspec.Struct, frozen=True):
    n: int


class Brief(msgspec.Struct, frozen=True):
    """An answer of a case: score as it stands, and when it was given."""

    response_id: str
    score: int
    event_ms: int


@dataclass(frozen=True, slots=True)
class Filter:
    """Which answers: event time in (from_ms, to_ms], as in windows; None means any. `q` is looked for in comments."""

    team: str | None = None
    band: BandName | None = None
    q: str = ""
    from_ms: int | None = None
    to_ms: int | None = None


async def page(
    store: Store, which: Filter, place: Place | None, limit: int
) -> tuple[list[tuple[AnswerRow, Personal | None]], Place | None]:
    """One page, newest first, and the place the next one begins after; None when this is the last."""
    start = place or Place(_LATEST_MS, "", "")
    after_ms = _EARLIEST_MS if which.from_ms is None else which.from_ms
    to_ms = min(start.event_ms, _LATEST_MS if which.to_ms is None else which.to_ms)
    if which.team is None:
        rows = await _of_all_teams(store, which, start, after_ms, to_ms, limit + 1)
    else:
        rows = await _between(store, which, start, after_ms, to_ms, limit + 1)
    shown = rows[:limit]
    texts = await look_up(store, ((row.team, row.response_id) for row in shown))
    last = shown[-1] if len(rows) > limit else None
    return (
        [(row, texts.get((row.team, row.response_id))) for row in shown],
        None if last is None else Place(last.event_ms, last.response_id, last.team),
    )


async def _of_all_teams(
    store: Store, which: Filter, start: Place, after_ms: int, to_ms: int, limit: int
) -> list[AnswerRow]:
    """The same as `_between`, in spans until there are enough. An answer's time never changes, so each is in one."""
    if which.q and not await _many_say(store, which.q):
        return await _between(store, which, start, after_ms, to_ms, limit)
    rows: list[AnswerRow] = []
    span_ms = _FIRST_SEARCHED_MS if which.q else _FIRST_SPAN_MS
    to_ms = await _newest_ms(store, after_ms, to_ms)
    while len(rows) < limit and to_ms > after_ms:
        reach_ms = max(after_ms, to_ms - span_ms)
        found = await _between(store, which, start, reach_ms, to_ms, limit - len(rows))
        rows += found
        to_ms = reach_ms if found else await _newest_ms(store, after_ms, reach_ms)
        span_ms *= _GROWTH
    return rows


async def _many_say(store: Store, q: str) -> bool:
    """Whether so many comments hold a text that their answers are better not sorted all together."""
    (found,) = await store.rows("answers_saying", _MANY_SAY_IT, _Count, every=True, team="", q=q)
    return found.n > _FEW


async def _newest_ms(store: Store, after_ms: int, to_ms: int) -> int:
    """When the newest answer of a time was given; `after_ms` when there is none in it."""
    (newest,) = await store.rows("answers_newest", _NEWEST, _Newest, after_ms=after_ms, to_ms=to_ms)
    return newest.event_ms if newest.n else after_ms


async def _between(store: Store, which: Filter, start: Place, after_ms: int, to_ms: int, limit: int) -> list[AnswerRow]:
    """The first answers behind `start` that were given in (after_ms, to_ms], newest first."""
    return await store.rows(
        "answers",
        _ANSWERS,
        AnswerRow,
        every=which.team is None,
        team=which.team or "",
        from_ms=after_ms,
        to_ms=to_ms,
        place_ms=start.event_ms,
        place_id=start.response_id,
        place_team=start.team,
        scores=[] if which.band is None else _SCORES[which.band],
        q=which.q,
        limit=limit,
    )


async def of_case(store: Store, team: str, ids: list[str]) -> dict[str, Brief]:
    """The answers of a case by id, as they stand. One that is not stored yet, or was erased, is not in the result."""
    return {row.response_id: row for row in await store.rows("case_answers", _BY_ID, Brief, team=team, ids=ids)}
