"""The promise clock: when a promise of so much working time falls due. Integers alone: milliseconds UTC.

Working hours are `Hours`: starts and ends of intervals in turn, strictly ascending, so that none is empty and none
meets the next; empty for around the clock. They are known up to `until_ms`: what lies beyond counts around the clock,
and what lies before the first interval as closed.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

Hours = tuple[int, ...]


def deadline(hours: Hours, until_ms: int | None, start_ms: int, promise_ms: int) -> int:
    """The first instant at which exactly `promise_ms` of working time have passed since `start_ms`.

    Two days, of which the first has eight hours of work, the second four:

    >>> H = 3_600_000
    >>> days = (9 * H, 17 * H, 33 * H, 37 * H)
    >>> [deadline(days, 48 * H, 16 * H, hours * H) // H for hours in (0, 1, 2, 5, 6)]
    [16, 17, 34, 37, 49]
    >>> deadline((), None, 16 * H, 10 * H) // H
    26
    """
    if not hours or not promise_ms:
        return start_ms + promise_ms
    left = promise_ms
    begun = bisect_right(hours, start_ms)  # odd: within an interval
    for at in range(begun - (begun & 1), len(hours), 2):
        opens = max(start_ms, hours[at])
        if left <= hours[at + 1] - opens:
            return opens + left
        left -= hours[at + 1] - opens
    return max(start_ms, until_ms or 0) + left


def before(hours: Hours, until_ms: int | None, due_ms: int, ahead_ms: int) -> int:
    """The last instant from which exactly `ahead_ms` of working time pass until `due_ms`.

    Where not so much is known to have passed before: the start of the first interval.

    >>> H = 3_600_000
    >>> days = (9 * H, 17 * H, 33 * H, 37 * H)
    >>> [before(days, 48 * H, 34 * H, hours * H) // H for hours in (0, 1, 2, 9, 10)]
    [34, 33, 16, 9, 9]
    """
    if not hours:
        return due_ms - ahead_ms
    left = ahead_ms
    beyond = due_ms - max(hours[-1], until_ms or 0)
    if left <= max(0, beyond):
        return due_ms - left
    left -= max(0, beyond)
    for at in range((bisect_left(hours, due_ms) - 1) & ~1, -1, -2):
        closes = min(due_ms, hours[at + 1])
        if left <= closes - hours[at]:
            return closes - left
        left -= closes - hours[at]
    return hours[0]
