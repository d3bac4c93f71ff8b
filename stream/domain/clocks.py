"""The two clocks of a case, first contact and resolution: when they fall due, and what is said before, then and after.

Both are started by the team's policy of that moment, and are numbers in the case from then on. What is to be said of a
case next is one entry under its due time (`d`, `stream.domain.deadlines`); whenever something is said of the case, the
entry is made anew, by the policy of that moment and the state that the case is in then.
"""

from __future__ import annotations

from heapq import heappush
from typing import TYPE_CHECKING, Final

from msgspec import structs

from schemas.feedback import Policy
from schemas.followups import Case, Clock, Kind, State
from stream.domain import keys, policies, promise
from stream.domain.values import POINTS, Point

if TYPE_CHECKING:
    from stream.domain.work import Work


STEPS: Final[tuple[Kind, ...]] = (
    *("followup.reminder", "followup.breached", "followup.escalated", "followup.woke"),
    "followup.reask",
)
REMIND, BREACH, ESCALATE, WAKE, REASK = range(5)

# What is said in which state but `open`, which hears all. Acknowledged, nobody further up is told of the first contact
# any more; contacted, that promise is kept, but a callback that was agreed since is one more; snoozed, nothing is said
# but that a promise is broken. A closed case has none to keep.
_ALL: Final = frozenset({REMIND, BREACH, ESCALATE})
SAID: Final[dict[State, dict[Clock, frozenset[int]]]] = {
    "acknowledged": {"contact": _ALL - {ESCALATE}, "resolve": _ALL},
    "contacted": {"contact": _ALL - {ESCALATE}, "resolve": _ALL},
    "snoozed": {"contact": frozenset({BREACH}), "resolve": frozenset({BREACH})},
}


def start(work: Work, case: Case) -> Case:
    """Both clocks start now: somebody is to see to the case again."""
    contact_due_ms, resolve_due_ms = started(work, policies.of(work, case.team), case.callback_ms)
    return structs.replace(case, contact_due_ms=contact_due_ms, resolve_due_ms=resolve_due_ms)


def started(work: Work, policy: Policy, callback_ms: int | None) -> tuple[int, int]:
    """When the two clocks of a case are due that start now."""
    due_ms = promise.deadline(policy.open, policy.until_ms, work.known_ms, policy.resolve_ms)
    return contact_started(work, policy, callback_ms), due_ms


def start_contact(work: Work, case: Case) -> Case:
    """The first clock starts now."""
    return structs.replace(case, contact_due_ms=contact_started(work, policies.of(work, case.team), case.callback_ms))


def contact_started(work: Work, policy: Policy, callback_ms: int | None) -> int:
    """When a first clock is due that starts now: when the customer has asked to be called, if that is to come."""
    if callback_ms is not None and callback_ms > work.known_ms:
        return callback_ms
    return promise.deadline(policy.open, policy.until_ms, work.known_ms, policy.contact_ms)


def kept(work: Work, case: Case, after_ms: int | None = None) -> Case:
    """The case with what is to be said of it next; its entry is put where that belongs.

    `after_ms`: what came before has been said. None: before the case's last change.
    """
    points = _points(policies.of(work, case.team), case)
    first = _first(points, case.changed_ms if after_ms is None else after_ms)
    next_ms = first[0].due_ms if first else None
    if case.next_ms != next_ms:
        stop(work, case)
    if first:
        _put(work, case.team, case.case_id, first)
    return structs.replace(case, next_ms=next_ms)


def opened(work: Work, policy: Policy, team: str, case_id: str, due_ms: tuple[int, int]) -> int | None:
    """As `kept`, of a case that is being raised: when its next is to be said, once its entry is put."""
    contact_ms, resolve_ms = due_ms
    if policy.remind_ms or policy.escalate_ms or contact_ms == resolve_ms:
        first = _first(_of_open(policy, contact_ms, resolve_ms), work.known_ms)
    elif contact_ms < resolve_ms:  # nearly all; both are ahead, as a promise is longer than nothing
        first = [Point(contact_ms, "contact", BREACH)]
    else:
        first = [Point(resolve_ms, "resolve", BREACH)]
    if not first:
        return None
    _put(work, team, case_id, first)
    return first[0].due_ms


def _first(points: list[Point], after_ms: int) -> list[Point]:
    """Those of the first moment after `after_ms`."""
    for point in points:
        if point.due_ms > after_ms:
            return [other for other in points if other.due_ms == point.due_ms]
    return []


def _put(work: Work, team: str, case_id: str, points: list[Point]) -> None:
    """Put the entry of what is to be said at one moment."""
    due_ms = points[0].due_ms
    key = keys.deadline(due_ms, case_id, team)
    work.put(key, POINTS.pack(points))
    heappush(work.deadlines, key)
    if due_ms < work.next_deadline:
        work.next_deadline = due_ms
    if due_ms < work.next_ms:
        work.next_ms = due_ms


def stop(work: Work, case: Case) -> None:
    """Nothing more is to be said of a case as it stands."""
    if case.next_ms is not None:
        work.put(keys.deadline(case.next_ms, case.case_id, case.team), None)


def _points(policy: Policy, case: Case) -> list[Point]:
    """All that is to be said of a case in its state, in order."""
    if case.state == "resolved":
        return [] if case.reask_due_ms is None else [Point(case.reask_due_ms, None, REASK)]
    if case.state == "open":
        return _of_open(policy, case.contact_due_ms, case.resolve_due_ms)
    points: list[Point] = []
    contacted = case.state == "contacted" or case.snoozed_from == "contacted"
    for clock, said in SAID.get(case.state, {}).items():
        if clock == "contact" and contacted and case.agreed_ms is None:
            continue
        points += _of_clock(policy, clock, said, case.contact_due_ms if clock == "contact" else case.resolve_due_ms)
    ahead = sorted(points)
    if case.snoozed_until_ms is None:
        return ahead
    # Last of what falls due with it: so all of that is said as of a sleeping case.
    return [
        *[point for point in ahead if point.due_ms <= case.snoozed_until_ms],
        Point(case.snoozed_until_ms, None, WAKE),
    ]


def _of_open(policy: Policy, contact_ms: int, resolve_ms: int) -> list[Point]:
    """All that is to be said of an open case, in order."""
    contact = _of_clock(policy, "contact", _ALL, contact_ms)
    return sorted(contact + _of_clock(policy, "resolve", _ALL, resolve_ms))


def _of_clock(policy: Policy, clock: Clock, said: frozenset[int], due_ms: int) -> list[Point]:
    """Of one clock, as far as it is said."""
    points = [Point(due_ms, clock, BREACH)] if BREACH in said else []
    hours, until_ms = policy.open, policy.until_ms
    if policy.remind_ms and REMIND in said:
        points += [Point(promise.before(hours, until_ms, due_ms, ms), clock, REMIND) for ms in policy.remind_ms]
    if policy.escalate_ms and ESCALATE in said:
        points += [
            Point(promise.deadline(hours, until_ms, due_ms, ms), clock, ESCALATE, level)
            for level, ms in enumerate(policy.escalate_ms, 1)
        ]
    return points
