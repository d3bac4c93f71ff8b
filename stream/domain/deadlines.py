"""What falls due as time passes, told in the order of (due, case): reminders, broken promises, escalations, awakenings,
and that a customer is to be asked again.

Stream time fires them, to the millisecond, before the record that has moved it is applied: so the log's order decides
whether somebody was in time, and a replay decides the same. Each is told as of the moment when it fell due.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final

from msgspec import structs

from stream.domain import cases, clocks, keys, reasks, values
from stream.domain.minutes import ceil_minute
from stream.domain.view import UNLIMITED, View

if TYPE_CHECKING:
    from stream.domain.work import Work

_NEVER: Final = 1 << 62


def fire(work: Work, before_ms: int) -> None:
    """Tell all that falls due after `before_ms`, up to stream time; before that all is told."""
    heap, stop = work.deadlines, keys.number(work.known_ms + 1)
    for key, _ in work.view.scan(keys.DEADLINE, keys.number(before_ms + 1), stop, UNLIMITED):
        heappush(heap, key)
    while heap and keys.due_of(heap[0]) <= work.known_ms:
        key = heappop(heap)
        raw = work.get(key)
        if raw is not None:  # otherwise it stood there twice, or is to be told at another time
            _tell(work, key, raw)
    work.next_deadline = keys.due_of(heap[0]) if heap else _NEVER
    for key, _ in work.view.scan(keys.DEADLINE, stop, keys.AFTER_ALL, 1):
        work.next_deadline = min(work.next_deadline, keys.due_of(key))


def is_due(view: View, known_ms: int, now_ms: int) -> bool:
    """Whether anything falls due by `now_ms` in a state whose stream time is `known_ms`: of a case, or a window."""
    said = view.scan(keys.DEADLINE, keys.number(known_ms + 1), keys.AFTER_ALL, 1)
    moved = view.scan(keys.DUE, b"", keys.AFTER_ALL, 1)
    return any(keys.due_of(key) <= now_ms for key, _ in said) or any(
        keys.split_due(key)[0] <= ceil_minute(now_ms) for key, _ in moved
    )


def _tell(work: Work, key: bytes, raw: bytes) -> None:
    due_ms, case_id, team = keys.split_deadline(key)
    case = cases.known(work, team, case_id)
    for point in values.POINTS.unpack(raw):
        kind = clocks.STEPS[point.step]
        if point.step == clocks.WAKE:
            case = cases.awake(case)
        elif point.step == clocks.REASK and reasks.is_withheld(work, case):
            kind = "followup.reask_withheld"
            case = structs.replace(case, reask_due_ms=None)
        case = structs.replace(case, n=case.n + 1, changed_ms=due_ms, version=work.version)
        case = cases.say(work, case, kind, clock=point.clock, level=point.level or None)
