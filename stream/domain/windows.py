"""Rolling windows as rings: the cost of an answer does not grow with the number of windows.

A window `(t - W, t]` is a sum of minute panes. The windows of a team nest, so each pane is kept in exactly one ring:
ring j holds the panes whose age is in [W(j-1), W(j)), and window j is the sum of rings 0..j. An answer touches one
ring. When a pane's age reaches W(j) it moves from ring j outward, and with that leaves window j: the smallest
`oldest pane of ring j + W(j)` is the next minute at which any window changes without an answer.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable

from stream.domain.values import Team

Pane = list[int]  # 22 counts: scores 0..10 of policy `all`, then of `latest`
# panes(lo, hi): the team's panes with lo <= minute <= hi, ascending; read as far as they are asked for.
Panes = Callable[[int, int], Iterable[tuple[int, Pane]]]

Lengths = tuple[int, ...]  # of the live windows, minutes, ascending


def fresh(t: int, lengths: Lengths) -> Team:
    """A team that has no answers yet."""
    return Team(t, 0, 0, [[0] * 7 for _ in lengths])


def summed(t: int, lengths: Lengths, panes: Panes) -> Team:
    """The windows of a team at `t` from its panes alone."""
    team = fresh(t, lengths)
    for minute, pane in panes(max(0, t - lengths[-1] + 1), t):
        _put_in(team, minute, bands(pane), lengths)
    team.due = next_due(team, lengths)
    return team


def ring_of(t: int, minute: int, lengths: Lengths) -> int:
    """Index of the ring a pane belongs to at `t`; len(lengths) when it is older than every window."""
    return bisect_right(lengths, t - minute)


def add(team: Team, minute: int, band: int, of_all: int, of_latest: int, lengths: Lengths) -> bool:
    """Count answers of pane `minute` in or out: so many more of a band (0..2: D, N, P) for each policy.

    True when the windows are due at another minute from now on.

    The team must stand at the live minute with nothing due (`advance`).
    """
    j = bisect_right(lengths, team.t - minute)
    if j == len(lengths):
        return False
    ring = team.rings[j]
    ring[band + 1] += of_all
    ring[band + 4] += of_latest
    if ring[0] and minute >= ring[0]:
        return False
    return older(team, j, minute, lengths)


def older(team: Team, j: int, minute: int, lengths: Lengths) -> bool:
    """Pane `minute` is the oldest of ring j from now on. True as in `add`."""
    team.rings[j][0] = minute
    due = minute + lengths[j]
    if team.due and due >= team.due:
        return False
    team.due = due
    return True


def advance(team: Team, t: int, panes: Panes, lengths: Lengths) -> None:
    """Move a team's windows on to minute `t`. Panes that have grown too old for their ring move outward."""
    before, inner = team.t, 0
    moved: list[tuple[int, list[int]]] = []
    for ring, window in zip(team.rings, lengths, strict=True):
        if ring[0] and ring[0] <= t - window:
            moved += _take_out(ring, t - window, before - inner, t - inner, panes)
        inner = window
    team.t = t
    for minute, counts in moved:
        _put_in(team, minute, counts, lengths)
    team.due = next_due(team, lengths)


def _put_in(team: Team, minute: int, counts: list[int], lengths: Lengths) -> None:
    """Add a whole pane, as `bands`, to the ring it belongs to at the team's minute, if any."""
    j = ring_of(team.t, minute, lengths)
    if j == len(lengths):
        return
    ring = team.rings[j]
    for slot, count in enumerate(counts, 1):
        ring[slot] += count
    if not ring[0] or minute < ring[0]:
        ring[0] = minute


def _take_out(ring: list[int], edge: int, newest_before: int, newest: int, panes: Panes) -> list[tuple[int, list[int]]]:
    """Take the panes up to `edge` out of a ring; gives them, and leaves the ring's oldest pane right.

    Before, the ring held panes up to `newest_before`; from now on it holds those in (edge, newest].
    """
    oldest, ring[0] = ring[0], 0
    moved = []
    for minute, pane in panes(oldest, newest):
        if minute > edge:
            ring[0] = minute
            break
        if minute > newest_before:  # time has jumped: these were in rings further in, and are taken out of those
            ring[0] = next((minute for minute, _ in panes(edge + 1, newest)), 0)
            break
        counts = bands(pane)
        for slot, count in enumerate(counts, 1):
            ring[slot] -= count
        moved.append((minute, counts))
    return moved


def next_due(team: Team, lengths: Lengths) -> int:
    """The next minute at which a pane leaves a window; 0 when no window holds any."""
    due = 0
    for ring, window in zip(team.rings, lengths, strict=True):
        if ring[0] and (not due or ring[0] + window < due):
            due = ring[0] + window
    return due


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


def sums(team: Team) -> list[tuple[int, int, int, int, int, int]]:
    """For each window, (D, N, P) of `all`, then of `latest`."""
    d = n = p = latest_d = latest_n = latest_p = 0
    rows = []
    for _, ring_d, ring_n, ring_p, ring_latest_d, ring_latest_n, ring_latest_p in team.rings:
        d += ring_d
        n += ring_n
        p += ring_p
        latest_d += ring_latest_d
        latest_n += ring_latest_n
        latest_p += ring_latest_p
        rows.append((d, n, p, latest_d, latest_n, latest_p))
    return rows
