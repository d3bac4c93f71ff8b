"""Follow-up cases: the board, one case with its history, and how late each is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from schemas.followups import Case
from schemas.followups import State as CaseState
from services.query.store import Store

_ALL: Final = 4_102_444_800_000

# States in which somebody still has to do something, and those in which nobody can have spoken to the customer yet.
ACTIVE: Final[tuple[CaseState, ...]] = ("open", "acknowledged", "contacted", "snoozed")
# Closed, and of interest to those who look back: what has joined another case is shown there.
CLOSED: Final[tuple[CaseState, ...]] = ("resolved", "rescored", "withdrawn")
UNCONTACTED: Final[tuple[CaseState, ...]] = ("open", "acknowledged")

_COLUMNS: Final = """
    case_id, team, response_id, score, state, n,
    toUnixTimestamp64Milli(raised_at) AS raised_ms, toUnixTimestamp64Milli(changed_at) AS changed_ms,
    toUnixTimestamp64Milli(contact_due_at) AS contact_due_ms, toUnixTimestamp64Milli(resolve_due_at) AS resolve_due_ms,
    answers, respondent, owner, survey, channel, locale, medium,
    toUnixTimestamp64Milli(callback_at) AS callback_ms, joined_into, version,
    toUnixTimestamp64Milli(contacted_at) AS contacted_ms, toUnixTimestamp64Milli(agreed_at) AS agreed_ms,
    toUnixTimestamp64Milli(snoozed_until) AS snoozed_until_ms, snoozed_from,
    toUnixTimestamp64Milli(resolved_at) AS resolved_ms, cause, attempts, contacts, notes,
    toUnixTimestamp64Milli(reask_due_at) AS reask_due_ms, reask_response_id, reask_score,
    toUnixTimestamp64Milli(reask_answered_at) AS reask_answered_ms, reask_of"""

# The clock that runs: the first contact until it is made; then the resolution, or before it a callback that was agreed;
# none once the case is closed.
_DUE: Final = """
    multiIf(
        state IN ('open', 'acknowledged') OR (state = 'snoozed' AND snoozed_from != 'contacted'), contact_due_ms,
        state IN ('contacted', 'snoozed'), least(resolve_due_ms, ifNull(agreed_ms, resolve_due_ms)),
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

_BY_CHANGE: Final = _PAGE.replace("(raised_ms, case_id) <", "(changed_ms, case_id) <").replace(
    "ORDER BY raised_ms", "ORDER BY changed_ms"
)

_BY_DUE: Final = """
SELECT COLUMNS_OF_A_CASE, RUNNING_CLOCK AS due_ms
FROM followups FINAL
WHERE ({every:Bool} OR team = {team:String})
    AND (empty({states:Array(String)}) OR state IN {states:Array(String)})
    AND ({any_owner:Bool} OR owner = {owner:String})
    AND due_ms IS NOT NULL AND ({any_due:Bool} OR due_ms < {due_before_ms:Int64})
    AND (assumeNotNull(due_ms), case_id) > ({place_ms:Int64}, {place_id:String})
ORDER BY due_ms, case_id
LIMIT {limit:UInt32}""".replace("COLUMNS_OF_A_CASE", _COLUMNS).replace("RUNNING_CLOCK", _DUE)

_ONE: Final = """
SELECT COLUMNS_OF_A_CASE
FROM followups FINAL
WHERE case_id = {case_id:String}
LIMIT 1""".replace("COLUMNS_OF_A_CASE", _COLUMNS)

_HISTORY: Final = """
SELECT event_id, n, kind, toUnixTimestamp64Milli(at) AS at_ms, response_id, state, score, owner,
    actor, medium, outcome, toUnixTimestamp64Milli(until) AS until_ms, cause, note,
    clock, level
FROM followup_events FINAL
WHERE team = {team:String} AND case_id = {case_id:String}
ORDER BY raised_at, n"""

_COUNTS: Final = """
SELECT team, count() AS active, countIf(due < {now_ms:Int64}) AS overdue, min(due) AS next_due_ms
FROM
(
    SELECT team, toUnixTimestamp64Milli(contact_due_at) AS contact_due_ms,
        toUnixTimestamp64Milli(resolve_due_at) AS resolve_due_ms, toUnixTimestamp64Milli(agreed_at) AS agreed_ms,
        assumeNotNull(RUNNING_CLOCK) AS due
    FROM followups FINAL
    WHERE state IN {states:Array(String)} AND ({every:Bool} OR team IN {teams:Array(String)})
)
GROUP BY team""".replace("RUNNING_CLOCK", _DUE)


Order = Literal["newest", "changed", "due"]


class Place(msgspec.Struct, frozen=True, array_like=True):
    """Where a page of cases ended: what it is ordered by, milliseconds, and the case."""

    at_ms: int
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
    contacted_ms: int | None
    agreed_ms: int | None
    snoozed_until_ms: int | None
    snoozed_from: str
    resolved_ms: int | None
    cause: str
    attempts: int
    contacts: int
    notes: list[str]
    reask_due_ms: int | None
    reask_response_id: str
    reask_score: int | None
    reask_answered_ms: int | None
    reask_of: str

    @property
    def active(self) -> bool:
        """Somebody still has to do something."""
        return self.state in ACTIVE

    @property
    def uncontacted(self) -> bool:
        """Somebody still has to do something, and the customer has not heard from anybody."""
        return self.state in UNCONTACTED or (self.state == "snoozed" and self.snoozed_from != "contacted")

    @property
    def due_ms(self) -> int | None:
        """When the clock that runs is due; None for a closed case."""
        if not self.active:
            return None
        if self.uncontacted:
            return self.contact_due_ms
        return self.resolve_due_ms if self.agreed_ms is None else min(self.agreed_ms, self.resolve_due_ms)

    def contact_overdue(self, now_ms: int) -> bool:
        """The customer should have been spoken to by now and was not: for the first time, or as it was agreed."""
        due_ms = self.contact_due_ms if self.uncontacted else self.agreed_ms
        return self.active and due_ms is not None and due_ms < now_ms

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
    actor: str
    medium: str
    outcome: str
    until_ms: int | None
    cause: str
    note: str
    clock: str
    level: int


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


async def page(
    store: Store, which: Filter, place: Place | None, limit: int, order: Order = "newest"
) -> tuple[list[CaseRow], Place | None]:
    """One page, and the place the next one begins after; None when this is the last.

    `order`: the newest first; what changed last first; or by the clock that runs, the most urgent first, which leaves
    closed cases out.
    """
    start = place or Place(0 if order == "due" else _ALL, "")
    rows = await store.rows(
        "followups",
        {"newest": _PAGE, "changed": _BY_CHANGE, "due": _BY_DUE}[order],
        CaseRow,
        every=which.team is None,
        team=which.team or "",
        states=list(which.states),
        any_owner=which.owner is None,
        owner=which.owner or "",
        any_due=which.due_before_ms is None,
        due_before_ms=which.due_before_ms or 0,
        place_ms=start.at_ms,
        place_id=start.case_id,
        limit=limit + 1,
    )
    shown = rows[:limit]
    if len(rows) <= limit:
        return shown, None
    last = shown[-1]
    ends = {"newest": last.raised_ms, "changed": last.changed_ms, "due": last.due_ms or 0}
    return shown, Place(ends[order], last.case_id)


async def one(store: Store, case_id: str) -> CaseRow | None:
    """A case by its id; None when there is none."""
    rows = await store.rows("followup", _ONE, CaseRow, case_id=case_id)
    return rows[0] if rows else None


async def history(store: Store, case: CaseRow) -> list[EventRow]:
    """All events of a case, oldest first."""
    return await store.rows("history", _HISTORY, EventRow, team=case.team, case_id=case.case_id)


def row_of(case: Case) -> CaseRow:
    """A case as the log's reader has just told it, in the shape of a stored one."""
    return CaseRow(
        case_id=case.case_id,
        team=case.team,
        response_id=case.response_id,
        score=case.score,
        state=case.state,
        n=case.n,
        raised_ms=case.raised_ms,
        changed_ms=case.changed_ms,
        contact_due_ms=case.contact_due_ms,
        resolve_due_ms=case.resolve_due_ms,
        answers=list(case.answers),
        respondent=case.respondent or "",
        owner=case.owner or "",
        survey=case.survey or "",
        channel=case.channel or "",
        locale=case.locale or "",
        medium=case.medium or "",
        callback_ms=case.callback_ms,
        joined_into=case.joined_into or "",
        version=case.version,
        contacted_ms=case.contacted_ms,
        agreed_ms=case.agreed_ms,
        snoozed_until_ms=case.snoozed_until_ms,
        snoozed_from=case.snoozed_from or "",
        resolved_ms=case.resolved_ms,
        cause=case.cause or "",
        attempts=case.attempts,
        contacts=case.contacts,
        notes=list(case.notes),
        reask_due_ms=case.reask_due_ms,
        reask_response_id=case.reask.response_id if case.reask else "",
        reask_score=case.reask.score if case.reask else None,
        reask_answered_ms=case.reask.answered_ms if case.reask else None,
        reask_of=case.reask_of or "",
    )


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
