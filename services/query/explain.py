"""Where a number comes from: its counts, what was left out of it, and every answer behind it, of one fixed moment.

Everything is read from the stored states of the answers, up to one version: the newest record of the team that is in
the number. A team lies in one partition of the log, so versions put its records into one order, and what arrives
later cannot change what was read up to a version. Only an erasure can: then the answer moves to `erased`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from schemas.generations import Generation
from schemas.topics import TEAM_CHANGES
from services.query.params import Ask
from services.query.sources import bounds
from services.query.store import Store
from stream.domain.scores import Tally

_NEWEST_FIRST: Final = (4_102_444_800_000, "")  # where the first page begins

# `through` is written once everything below it is stored: a record beyond it may be half written.
_STORED: Final = """
SELECT through, version
FROM positions FINAL
WHERE topic = {topic:String} AND partition = {partition:UInt16} AND bitShiftRight(version, 48) = {generation:UInt64}"""
_NEWEST: Final = """
SELECT max(version) AS newest, toUnixTimestamp64Milli(max(known_at)) AS known_ms
FROM answers
WHERE team = {team:String} AND version < {before:UInt64}
    AND known_at <= fromUnixTimestamp64Milli({known_ms:Int64}, 'UTC')"""

# Each answer of the window as it stood at the version. Rows come in the table's own order, backwards.
_STATES: Final = """
    SELECT
        response_id, version, toUnixTimestamp64Milli(event_at) AS event_ms,
        toUnixTimestamp64Milli(known_at) AS known_ms, first_offset, score, revision, respondent, reasons, erased
    FROM answers
    WHERE team = {team:String}
        AND event_at > fromUnixTimestamp64Milli({after_ms:Int64}, 'UTC')
        AND event_at <= fromUnixTimestamp64Milli(least({until_ms:Int64}, {known_ms:Int64}), 'UTC')
        AND (version <= {newest:UInt64} OR erased)
    ORDER BY event_at DESC, response_id DESC, version DESC
    LIMIT 1 BY response_id"""

# Policy `latest`: of a respondent's counted answers the newest, by event time and then by log order.
_COUNTED: Final = f"""
    SELECT *
    FROM ({_STATES}
    )
    WHERE NOT erased AND empty(reasons)
    ORDER BY event_ms DESC, first_offset DESC
    LIMIT 1 BY if({{policy:String}} = 'latest' AND notEmpty(respondent), (respondent, ''), ('', response_id))"""  # noqa: S608
_COUNTS: Final = f"""
SELECT countIf(score <= 6) AS detractors, countIf(score BETWEEN 7 AND 8) AS passives, countIf(score >= 9) AS promoters
FROM ({_COUNTED}
)"""  # noqa: S608  put together from the constants above; every value is bound
_REASONS: Final = f"""
SELECT reason, count() AS answers
FROM ({_STATES}
)
ARRAY JOIN if(erased, ['erased'], reasons) AS reason
GROUP BY reason
ORDER BY reason"""  # noqa: S608
_PAGE: Final = f"""
SELECT response_id, version, event_ms, known_ms, score, revision, respondent
FROM ({_COUNTED}
)
WHERE (event_ms, response_id) < ({{place_ms:Int64}}, {{place_id:String}})
ORDER BY event_ms DESC, response_id DESC
LIMIT {{limit:UInt32}}"""  # noqa: S608


class Moment(msgspec.Struct, frozen=True, array_like=True):
    """What a number is of and what was known: asked again with it, the number is the same.

    `newest`: version of the team's newest record in it, 0 for none, appended at `known_ms`. `through`: the offset of
    the team's partition below which everything was stored when the question was first asked.
    """

    as_of: int
    newest: int
    known_ms: int
    through: int


class Place(msgspec.Struct, frozen=True, array_like=True):
    """Where a page ended, of which question. `known_ms`: None when the question named no time."""

    team: str
    window: str
    policy: str
    known_ms: int | None
    moment: Moment
    event_ms: int
    response_id: str


class Behind(msgspec.Struct, frozen=True):
    """One answer that counts in the number, as it stood at the moment."""

    response_id: str
    version: int
    event_ms: int
    known_ms: int
    score: int
    revision: int
    respondent: str


@dataclass(frozen=True, slots=True)
class Explained:
    """A number and one page of the answers behind it, newest first; `following` is None on the last page."""

    moment: Moment
    tally: Tally
    excluded: dict[str, int]
    answers: list[Behind]
    following: Place | None


class _Stored(msgspec.Struct):
    through: int
    version: int


class _Newest(msgspec.Struct):
    newest: int
    known_ms: int


class _Counts(msgspec.Struct):
    detractors: int
    passives: int
    promoters: int


class _Reason(msgspec.Struct):
    reason: str
    answers: int


async def explain(
    store: Store, generation: Generation, team: str, ask: Ask, place: Place | None, limit: int, now_ms: int
) -> Explained:
    """The number that `ask` is about, and the page of its answers after `place`. Empty: a zero tally and no answers.

    `place` must come from the same question; its moment then wins over what is stored by now.
    """
    moment = await _moment(store, generation, team, ask) if place is None else place.moment
    start = _NEWEST_FIRST if place is None else (place.event_ms, place.response_id)
    bound: dict[str, Any] = {
        **bounds("answers", ask.policy, [team], ask.after, ask.as_of, now_ms=now_ms, known_ms=ask.known_ms),
        "team": team,
        "newest": moment.newest,
    }
    [counts], reasons, rows = await asyncio.gather(
        store.rows("explain_counts", _COUNTS, _Counts, **bound),
        store.rows("explain_reasons", _REASONS, _Reason, **bound),
        store.rows("explain_page", _PAGE, Behind, **bound, place_ms=start[0], place_id=start[1], limit=limit + 1),
    )
    shown = rows[:limit]
    last = shown[-1] if len(rows) > limit else None
    return Explained(
        moment,
        Tally(counts.detractors, counts.passives, counts.promoters),
        {row.reason: row.answers for row in reasons},
        shown,
        None
        if last is None
        else Place(team, ask.window, ask.policy, ask.known_ms, moment, last.event_ms, last.response_id),
    )


async def _moment(store: Store, generation: Generation, team: str, ask: Ask) -> Moment:
    where = {
        "topic": TEAM_CHANGES,
        "partition": generation.partition_of(team.encode()),
        "generation": generation.number,
    }
    stored = await store.rows("explain_stored", _STORED, _Stored, **where)
    if not stored:
        return Moment(ask.as_of, 0, 0, 0)
    bound = bounds("answers", ask.policy, [team], None, ask.as_of, now_ms=0, known_ms=ask.known_ms)
    known_ms = bound["known_ms"]
    before = stored[0].version
    [found] = await store.rows("explain_newest", _NEWEST, _Newest, team=team, before=before, known_ms=known_ms)
    return Moment(ask.as_of, found.newest, max(0, found.known_ms), stored[0].through)
