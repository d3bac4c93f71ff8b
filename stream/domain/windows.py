"""Rolling windows as rings: the cost of an answer does not grow with the number of windows.

A window `(t - W, t]` is a sum of minute panes. The windows of a team nest, so each pane is kept in exactly one ring:
ring j holds the panes whose age is in [W(j-1), W(j)), and window j is the sum of rings 0..j. An answer touches one
ring. When a pane's age reaches W(j) it moves from ring j outward, and with that leaves window j: the smallest
`oldest pane of ring j + W(j)` is the next minute at which any window changes without an answer.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable

from stream.domain.minutes import WINDOWS
from stream.domain.values import Team

Pane = list[int]  # 22 counts: scores 0..10 of policy `all`, then of `latest`
# panes(lo, hi, limit): the team's panes with lo <= minute <= hi, ascending.
Panes = Callable[[int, int, int], Iterable[tuple[int, Pane]]]

_COUNTS = range(1, 7)
UNLIMITED = 1 << 40


def fresh(t: int) -> Team:
    """A team that has no answers yet."""
    return Team(t, 0, 0, [[0] * 7 for _ in WINDOWS])


def ring_of(t: int, minute: int) -> int:
    """Index of the ring a pane belongs to at `t`; len(WINDOWS) when it is older than every window."""
    return bisect_right(WINDOWS, t - minute)


def add(team: Team, minute: int, slot: int, change: int) -> None:
    """Count `change` answers of pane `minute` in or out. `slot`: 0..2 D, N, P of `all`, 3..5 of `latest`.

    The team must stand at the live minute with nothing due (`advance`).
    """
    j = bisect_right(WINDOWS, team.t - minute)
    if j == len(WINDOWS):
        return
    ring = team.rings[j]
    ring[slot + 1] += change
    if not ring[0] or minute < ring[0]:
        ring[0] = minute
        due = minute + WINDOWS[j]
        if not team.due or due < team.due:
            team.due = due


def advance(team: Team, t: int, panes: Panes) -> None:
    """Move a team's windows on to minute `t`. Panes that have grown too old for their ring move outward."""
    before, moved, consumed = team.t, [], set()
    for j, ring in enumerate(team.rings):
        if not ring[0] or ring[0] > t - WINDOWS[j]:
            continue
        edge = min(t - WINDOWS[j], before - (WINDOWS[j - 1] if j else 0))
        for minute, pane in panes(ring[0], edge, UNLIMITED):
            counts = bands(pane)
            for slot in _COUNTS:
                ring[slot] -= counts[slot - 1]
            moved.append((minute, counts))
        consumed.add(j)
    team.t = t
    arrived: dict[int, int] = {}
    for minute, counts in moved:
        j = ring_of(t, minute)
        if j < len(WINDOWS):
            ring = team.rings[j]
            for slot in _COUNTS:
                ring[slot] += counts[slot - 1]
            arrived[j] = min(minute, arrived.get(j, minute))
    for j, ring in enumerate(team.rings):
        if j in consumed:
            newest = t - (WINDOWS[j - 1] if j else 0)
            ring[0] = next((minute for minute, _ in panes(t - WINDOWS[j] + 1, newest, 1)), 0)
        elif j in arrived and (not ring[0] or arrived[j] < ring[0]):
            ring[0] = arrived[j]
    team.due = next_due(team)


def next_due(team: Team) -> int:
    """The next minute at which a pane leaves a window; 0 when no window holds any."""
    return min((ring[0] + window for ring, window in zip(team.rings, WINDOWS, strict=True) if ring[0]), default=0)


def bands(pane: Pane) -> list[int]:
    """[D, N, P] of `all`, then of `latest`."""
    return [
        sum(pane[0:7]),
        pane[7] + pane[8],
        pane[9] + pane[10],
        sum(pane[11:18]),
        pane[18] + pane[19],
        pane[20] + pane[21],
    ]


def sums(team: Team) -> list[list[int]]:
    """For each window, [D, N, P] of `all`, then of `latest`."""
    total, rows = [0] * 6, []
    for ring in team.rings:
        total = [a + b for a, b in zip(total, ring[1:], strict=True)]
        rows.append(total)
    return rows
