"""Follow-up cases: the board, one case with its history, and how late each is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec

from schemas.followups import State as CaseState
from services.query.store import Store

_ALL: Final = 4_102_444_800_000

# States in which somebody still has to do something, and those in which the customer has not been spoken to yet.
ACTIVE: Final[tuple[CaseState, ...]] = ("open", "acknowledged", "contacted", "snoozed")
UNCONTACTED: Final[tuple[CaseState, ...]] = ("open", "acknowledged", "snoozed")

_COLUMNS: Final = """
    case_id, team, response_id, score, state, n,
    toUnixTimestamp64Milli(raised_at) AS raised_ms, toUnixTimestamp64Milli(changed_at) AS changed_ms,
    toUnixTimestamp64Milli(contact_due_at) AS contact_due_ms, toUnixTimestamp64Milli(resolve_due_at) AS resolve_due_ms,
    answers, respondent, owner, survey, channel, locale, medium,
    toUnixTimestamp64Milli(callback_at) AS callback_ms, joined_into, version"""

# The clock that runs: the first contact until it is made, then the resolution; none once the case is closed.
_DUE: Final = """
    multiIf(
        state IN ('open', 'acknowledged', 'snoozed'), contact_due_ms,
        state = 'contacted', resolve_due_ms,
        NULL
    )"""

_PAGE: Final = """
SELECT COLUMNS_OF_A_CASE
FROM followups FINAL
WHERE ({every:Bool} OR team = {team:String})
    AND (empty({states:Array(String)}) OR state IN {states:Array(String)})
    AND ({any_owner:Bool} OR owner = {owner:String})
    AND ({any_due:Bool} OR ifNull(RUNNING_CLOCK < {due_before_ms:Int64}, false))
    AND (raised_ms, case_id) < ({place_ms:Int64}, {place_id:String})
ORDER BY raised_ms DESC, case_id DESC
LIMIT {limit:UInt32}""".replace("COLUMNS_OF_A_CASE", _COLUMNS).replace("RUNNING_CLOCK", _DUE)

_ONE: Final = """
SELECT COLUMNS_OF_A_CASE
FROM followups FINAL
WHERE case_id = {case_id:String}
LIMIT 1""".replace("COLUMNS_OF_A_CASE", _COLUMNS)

_HISTORY: Final = """
SELECT event_id, n, kind, toUnixTimestamp64Milli(at) AS at_ms, response_id, state, score, owner
FROM followup_events FINAL
WHERE team = {team:String} AND case_id = {case_id:String}
ORDER BY raised_at, n"""

_COUNTS: Final = """
SELECT team, count() AS active, countIf(due < {now_ms:Int64}) AS overdue, min(due) AS next_due_ms
FROM
(
    SELECT team, toUnixTimestamp64Milli(contact_due_at) AS contact_due_ms,
        toUnixTimestamp64Milli(resolve_due_at) AS resolve_due_ms, assumeNotNull(RUNNING_CLOCK) AS due
    FROM followups FINAL
    WHERE state IN {states:Array(String)} AND ({every:Bool} OR team IN {teams:Array(String)})
)
GROUP BY team""".replace("RUNNING_CLOCK", _DUE)


class Place(msgspec.Struct, frozen=True, array_like=True):
    """Where a page of cases ended."""

    raised_ms: int
    case_id: str


class CaseRow(msgspec.Struct, frozen=True):
    """One case as it stands. Empty texts were not given; an empty owner is nobody."""

    case_id: str
    team: str
    response_id: str
    score: int
    state: CaseState
    n: int
    raised_ms: int
    changed_ms: int
    contact_due_ms: int
    resolve_due_ms: int
    answers: list[str]
    respondent: str
    owner: str
    survey: str
    channel: str
    locale: str
    medium: str
    callback_ms: int | None
    joined_into: str
    version: int

    @property
    def active(self) -> bool:
        """Somebody still has to do something."""
        return self.state in ACTIVE

    @property
    def due_ms(self) -> int | None:
        """When the clock that runs is due; None for a closed case."""
        if not self.active:
            return None
        return self.contact_due_ms if self.state in UNCONTACTED else self.resolve_due_ms

    def contact_overdue(self, now_ms: int) -> bool:
        """The customer should have been spoken to by now and was not."""
        return self.state in UNCONTACTED and self.contact_due_ms < now_ms

    def resolve_overdue(self, now_ms: int) -> bool:
        """The case should have been resolved by now and is not."""
        return self.active and self.resolve_due_ms < now_ms


class EventRow(msgspec.Struct, frozen=True):
    """One event of a case, and how the case stood after it."""

    event_id: str
    n: int
    kind: str
    at_ms: int
    response_id: str
    state: CaseState
    score: int
    owner: str


class TeamCases(msgspec.Struct, frozen=True):
    """Cases of a team that wait for somebody; `next_due_ms` is the earliest clock among them."""

    team: str
    active: int
    overdue: int
    next_due_ms: int


@dataclass(frozen=True, slots=True)
class Filter:
    """Which cases; None means any. `due_before_ms` looks at the clock that runs, so it finds active cases only."""

    team: str | None = None
    states: tuple[CaseState, ...] = ()
    owner: str | None = None
    due_before_ms: int | None = None


async def page(store: Store, which: Filter, place: Place | None, limit: int) -> tuple[list[CaseRow], Place | None]:
    """One page, newest first, and the place the next one begins after; None when this is the last."""
    start = place or Place(_ALL, "")
    rows = await store.rows(
        "followups",
        _PAGE,
        CaseRow,
        every=which.team is None,
        team=which.team or "",
        states=list(which.states),
        any_owner=which.owner is None,
        owner=which.owner or "",
        any_due=which.due_before_ms is None,
        due_before_ms=which.due_before_ms or 0,
        place_ms=start.raised_ms,
        place_id=start.case_id,
        limit=limit + 1,
    )
    shown = rows[:limit]
    return shown, Place(shown[-1].raised_ms, shown[-1].case_id) if len(rows) > limit else None


async def one(store: Store, case_id: str) -> CaseRow | None:
    """A case by its id; None when there is none."""
    rows = await store.rows("followup", _ONE, CaseRow, case_id=case_id)
    return rows[0] if rows else None


async def history(store: Store, case: CaseRow) -> list[EventRow]:
    """All events of a case, oldest first."""
    return await store.rows("history", _HISTORY, EventRow, team=case.team, case_id=case.case_id)


async def counts(store: Store, teams: list[str] | None, now_ms: int) -> dict[str, TeamCases]:
    """Cases that wait, by team. A team without any is not in the result."""
    rows = await store.rows(
        "followup_counts",
        _COUNTS,
        TeamCases,
        states=list(ACTIVE),
        every=teams is None,
        teams=teams or [],
        now_ms=now_ms,
    )
    return {row.team: row for row in rows}
