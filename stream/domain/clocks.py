"""The two clocks of a case, first contact and resolution: when they fall due, and what is said before, then and after.

Both are started by the team's policy of that moment, and are numbers in the case from then on. What is to be said of a
case next is one entry under its due time (`d`, `stream.domain.deadlines`); whenever something is said of the case, the
entry is made anew, by the policy of that moment and the state that the case is in then.
"""

from __future__ import annotations

from heapq import heappush
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import structs

from schemas.feedback import Policy
from schemas.followups import Case, Clock, Kind, State
from stream.domain import keys, policies, promise
from stream.domain.values import Codec

if TYPE_CHECKING:
    from stream.domain.work import Work


class Point(msgspec.Struct, array_like=True, frozen=True, order=True, gc=False):
    """Something to be said of a case when `due_ms` has come. Their order is that in which they are said."""

    due_ms: int
    clock: Clock | None  # None: its sleep is over, or the customer is to be asked again
    step: int  # index in STEPS
    level: int = 0  # of an escalation, from 1


POINTS: Final[Codec[list[Point]]] = Codec(list[Point])
STEPS: Final[tuple[Kind, ...]] = (
    *("followup.reminder", "followup.breached", "followup.escalated", "followup.woke"),
    "followup.reask",
)
REMIND, BREACH, ESCALATE, WAKE, REASK = range(5)

# What is said in which state: acknowledged, nobody further up is told of the first contact any more; contacted, that
# promise is kept, but a callback that was agreed since is one more; snoozed, nothing is said but that a promise is
# broken. A closed case has none to keep.
_ALL: Final = frozenset({REMIND, BREACH, ESCALATE})
SAID: Final[dict[State, dict[Clock, frozenset[int]]]] = {
    "open": {"contact": _ALL, "resolve": _ALL},
    "acknowledged": {"contact": _ALL - {ESCALATE}, "resolve": _ALL},
    "contacted": {"contact": _ALL - {ESCALATE}, "resolve": _ALL},
    "snoozed": {"contact": frozenset({BREACH}), "resolve": frozenset({BREACH})},
}


def start(work: Work, case: Case) -> Case:
    """Both clocks start now: somebody is to see to the case, for the first time or again."""
    contact_due_ms, resolve_due_ms = started(work, case.team, case.callback_ms)
    return structs.replace(case, contact_due_ms=contact_due_ms, resolve_due_ms=resolve_due_ms)


def started(work: Work, team: str, callback_ms: int | None) -> tuple[int, int]:
    """When the two clocks of a case are due that start now."""
    policy = policies.of(work, team)
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
    after_ms = case.changed_ms if after_ms is None else after_ms
    points = _points(policies.of(work, case.team), case)
    next_ms = None
    for point in points:
        if point.due_ms > after_ms:
            next_ms = point.due_ms
            break
    if case.next_ms != next_ms:
        stop(work, case)
    if next_ms is not None:
        key = keys.deadline(next_ms, case.case_id, case.team)
        work.put(key, POINTS.pack([point for point in points if point.due_ms == next_ms]))
        heappush(work.deadlines, key)
        work.next_deadline = min(work.next_deadline, next_ms)
        work.next_ms = min(work.next_ms, next_ms)
    return structs.replace(case, next_ms=next_ms)


def stop(work: Work, case: Case) -> None:
    """Nothing more is to be said of a case as it stands."""
    if case.next_ms is not None:
        work.put(keys.deadline(case.next_ms, case.case_id, case.team), None)


def _points(policy: Policy, case: Case) -> list[Point]:
    """All that is to be said of a case in its state, in order."""
    if case.state == "open" and not policy.remind_ms and not policy.escalate_ms:  # nearly all that are raised
        contact = Point(case.contact_due_ms, "contact", BREACH)
        resolve = Point(case.resolve_due_ms, "resolve", BREACH)
        return [contact, resolve] if contact.due_ms <= resolve.due_ms else [resolve, contact]
    if case.state == "resolved":
        return [] if case.reask_due_ms is None else [Point(case.reask_due_ms, None, REASK)]
    points: list[Point] = []
    hours, until_ms = policy.open, policy.until_ms
    contacted = case.state == "contacted" or case.snoozed_from == "contacted"
    for clock, said in SAID.get(case.state, {}).items():
        if clock == "contact" and contacted and case.agreed_ms is None:
            continue
        due_ms = case.contact_due_ms if clock == "contact" else case.resolve_due_ms
        if policy.remind_ms and REMIND in said:
            points += [Point(promise.before(hours, until_ms, due_ms, ms), clock, REMIND) for ms in policy.remind_ms]
        if BREACH in said:
            points.append(Point(due_ms, clock, BREACH))
        if policy.escalate_ms and ESCALATE in said:
            levels = enumerate(policy.escalate_ms, 1)
            points += [
                Point(promise.deadline(hours, until_ms, due_ms, ms), clock, ESCALATE, level) for level, ms in levels
            ]
    ahead = sorted(points)
    if case.snoozed_until_ms is None:
        return ahead
    # Last of what falls due with it: so all of that is said as of a sleeping case.
    return [
        *(point for point in ahead if point.due_ms <= case.snoozed_until_ms),
        Point(case.snoozed_until_ms, None, WAKE),
    ]
