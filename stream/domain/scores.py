"""Net Promoter Score arithmetic: bands, the score, its display and its margin.

Everything works on counts. The raw score is the point value that is shown; the intervals say how far to trust it.
Sources: F. Reichheld, "The One Number You Need to Grow", HBR, Dec 2003; B. Rocks, "Interval Estimation for the
Net Promoter Score", The American Statistician 70 (2016) 365-372.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

Z95: Final = 1.959963984540  # two-sided 95 %
MIN_SAMPLE: Final = 5
SCORES: Final = 11  # 0..10


class Band(IntEnum):
    """Position of a band in the `[detractors, passives, promoters]` triple."""

    DETRACTOR = 0
    PASSIVE = 1
    PROMOTER = 2


BAND_OF: Final[tuple[Band, ...]] = (*(Band.DETRACTOR,) * 7, *(Band.PASSIVE,) * 2, *(Band.PROMOTER,) * 2)
BANDS: Final[tuple[int, ...]] = tuple(int(band) for band in BAND_OF)  # plain numbers, for the fold's inner loop


def band_of(score: int) -> Band:
    """Detractor 0-6, passive 7-8, promoter 9-10. Raises ValueError for anything but a whole number 0..10."""
    if isinstance(score, bool) or not isinstance(score, int) or not 0 <= score <= 10:
        raise ValueError(f"score must be a whole number 0..10, got {score!r}")
    return BAND_OF[score]


@dataclass(frozen=True, slots=True)
class Tally:
    """Counted answers per band. Adding tallies is associative; `Tally()` is the zero."""

    detractors: int = 0
    passives: int = 0
    promoters: int = 0

    @property
    def total(self) -> int:
        """n, the denominator of the score."""
        return self.detractors + self.passives + self.promoters

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.detractors + other.detractors,
            self.passives + other.passives,
            self.promoters + other.promoters,
        )

    @classmethod
    def of_histogram(cls, counts: list[int] | tuple[int, ...]) -> Tally:
        """The tally of 11 counts, one per score 0..10."""
        return cls(sum(counts[:7]), sum(counts[7:9]), sum(counts[9:11]))


def nps(tally: Tally) -> float | None:
    """Net Promoter Score of a tally, 100·(P - D)/n, unrounded.

    Unit:    points, -100.0 .. 100.0.
    Empty:   None for no answers. Zero is a real score, so it must not also mean "nobody answered".

    >>> nps(Tally(promoters=5, passives=3, detractors=2))
    30.0
    """
    if tally.total == 0:
        return None
    return 100 * (tally.promoters - tally.detractors) / tally.total


def display(tally: Tally) -> int | None:
    """The score as people read it: whole points, half away from zero, never "-0". None for no answers.

    Rounds in whole numbers, so that 12.5 is exactly a half.

    >>> display(Tally(detractors=3, passives=1, promoters=4))
    13
    """
    if tally.total == 0:
        return None
    difference = tally.promoters - tally.detractors
    points = (200 * abs(difference) + tally.total) // (2 * tally.total)
    return points if difference > 0 else -points


def shares(tally: Tally) -> tuple[int, int, int] | None:
    """Whole percentages of detractors, passives, promoters that sum to 100. None for no answers.

    Largest remainder; ties go to detractors, then passives, then promoters.
    """
    n = tally.total
    if n == 0:
        return None
    counts = (tally.detractors, tally.passives, tally.promoters)
    whole = [100 * count // n for count in counts]
    by_remainder = sorted(range(3), key=lambda band: (-(100 * counts[band] % n), band))
    for band in by_remainder[: 100 - sum(whole)]:
        whole[band] += 1
    return whole[0], whole[1], whole[2]


@dataclass(frozen=True, slots=True)
class Interval:
    """An interval in points, `low <= high`, both within -100 .. 100. `centre` is where the method is centred."""

    low: float
    high: float
    centre: float


def _moments(d: float, n_: float, p: float) -> tuple[float, float, float]:
    """(n, delta, variance of one answer) of possibly fractional counts, delta in -1 .. 1."""
    n = d + n_ + p
    delta = (p - d) / n
    return n, delta, (p + d) / n - delta * delta


def _adjusted(tally: Tally) -> tuple[float, float, float]:
    return _moments(tally.detractors + 0.75, tally.passives + 1.5, tally.promoters + 0.75)


def adjusted_wald(tally: Tally, z: float = Z95) -> Interval | None:
    """Margin of a score: adjusted Wald (Rocks 2016), three answers added as ¾ D, 1½ N, ¾ P, clamped to ±100.

    Empty:   None for no answers: the three added ones alone would invent an interval.
    """
    if tally.total == 0:
        return None
    n, delta, variance = _adjusted(tally)
    half = z * math.sqrt(variance / n)
    return Interval(100 * max(-1.0, delta - half), 100 * min(1.0, delta + half), 100 * delta)


def score_interval(tally: Tally, z: float = Z95) -> Interval | None:
    """Margin by the constrained score test (Rocks' iterative one): all δ₀ the data do not refute.

    δ₀ stays while |P - D - nδ₀| <= z·√(n(2q + δ₀(1 - δ₀))), q being the likeliest share of detractors under δ₀.
    Empty:   None for no answers.
    """
    n, d, p = tally.total, tally.detractors, tally.promoters
    if n == 0:
        return None

    def excess(delta: float) -> float:
        a = 2 * n
        b = -d - p + (2 * n - p + d) * delta
        c = -d * delta * (1 - delta)
        q = (math.sqrt(max(0.0, b * b - 4 * a * c)) - b) / (2 * a)
        return abs(p - d - n * delta) - z * math.sqrt(max(0.0, n * (2 * q + delta * (1 - delta))))

    point = (p - d) / n
    low = -1.0 if d == n else _edge(excess, inside=point, outside=-1.0)
    high = 1.0 if p == n else _edge(excess, inside=point, outside=1.0)
    return Interval(100 * low, 100 * high, 100 * point)


def _edge(excess: Callable[[float], float], *, inside: float, outside: float) -> float:
    """Where `excess` turns positive between a point within the interval and the end of the scale, by bisection.

    At the end of the scale the variance is 0 and `excess` positive, unless all answers are of the band there.
    """
    for _ in range(60):
        middle = (inside + outside) / 2
        if excess(middle) <= 0:
            inside = middle
        else:
            outside = middle
    return inside


@dataclass(frozen=True, slots=True)
class Difference:
    """How far two scores are apart, in points: `raw` on the counts; interval and `p_value` on the adjusted ones."""

    raw: float
    low: float
    high: float
    p_value: float


def difference(a: Tally, b: Tally, z: float = Z95) -> Difference | None:
    """Score of `a` minus score of `b`, of two windows or teams. None when either has no answers."""
    nps_a, nps_b = nps(a), nps(b)
    if nps_a is None or nps_b is None:
        return None
    n_a, delta_a, variance_a = _adjusted(a)
    n_b, delta_b, variance_b = _adjusted(b)
    delta = delta_a - delta_b
    error = math.sqrt(variance_a / n_a + variance_b / n_b)
    p_value = math.erfc(abs(delta) / error / math.sqrt(2))
    return Difference(
        nps_a - nps_b,
        100 * max(-2.0, delta - z * error),
        100 * min(2.0, delta + z * error),
        p_value,
    )
