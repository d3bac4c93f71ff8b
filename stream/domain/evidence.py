"""How strongly two sets of answers say that the score has fallen between them: an e-value, made of bets.

Take some score `m` and say that it held before and since. Against it one bets on every answer, a constant share of
what one has: before, that answers lie above m; since, that they lie below it. An answer x (-1 detractor, 0 passive,
1 promoter) multiplies what was bet on it by 1 + bet·(x - m), or 1 + bet·(m - x): if m is the truth, by 1 on average,
so whoever says m is right expects no gain. Several bets are placed side by side, some money on none.
The evidence of a fall is the gain against the *best* m: no one score explains what came before and what came since.
So the level before need not be known, only be one; nothing is assumed of the distribution.

Sources: I. Waudby-Smith and A. Ramdas, "Estimating means of bounded random variables by betting", JRSS B 86 (2024);
J. Shin, A. Ramdas and A. Rinaldo, "E-detectors", NEJSDS (2023). Why these bets: docs/decisions/0024-score-alarms.md.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from typing import Final

from stream.domain.scores import Tally

# Bets on what came before follow its number n: so large that m is told from a score 1 or 2 standard errors above it.
BEFORE: Final = (1.25, 2.5)  # each divided by √n
BEFORE_NONE, BEFORE_EACH = 0.3, 0.35
# Bets on what came since suit falls of some 5, 10, 20 and 30 points or more.
SINCE: Final = (0.08, 0.16, 0.32, 0.49)
SINCE_NONE, SINCE_EACH = 0.1, 0.225
MOST: Final = 0.49  # below ½ every answer leaves something, whatever m is
_CLOSE: Final = 0.05  # how far below the infimum the bound may be, in nats
TOO_WEAK: Final = 4.0  # a difference below 2 standard errors is not looked at: it could not count for much

_Gain = Callable[[float], float]
_Point = tuple[float, float, float]  # m, and the gain against it on what came before and on what came since


def evidence(before: Tally, since: Tally) -> float:
    """The natural logarithm of the e-value against "one score before and since", for a fall.

    Shape:   two tallies in, one number out; a lower bound of the exact infimum over m, at most 5 % below it.
    Unit:    nats. 3.0 is a gain of 20 to 1.
    Empty:   0.0 where either has no answers, and for whatever speaks of no fall: less than no gain is not told.
    """
    if not worth_a_look(before, since):
        return 0.0
    gain_before, gain_since = _gain_before(before), _gain_since(since)

    def at(m: float) -> _Point:
        return m, gain_before(m), gain_since(m)

    # The gain on what came before falls with m, that on what came since grows. So between two m's it is at least what
    # the upper one leaves of the first and the lower one of the second. Halve where that is least, until it is the
    # least there is, or nothing is left of the evidence.
    bottom, top = at(-1.0), at(1.0)
    least = min(bottom[1] + bottom[2], top[1] + top[2])
    spans = [(top[1] + bottom[2], bottom, top)]
    while spans[0][0] < least - _CLOSE and least > 0:
        _, low, high = heapq.heappop(spans)
        middle = at((low[0] + high[0]) / 2)
        least = min(least, middle[1] + middle[2])
        heapq.heappush(spans, (middle[1] + low[2], low, middle))
        heapq.heappush(spans, (high[1] + middle[2], middle, high))
    return max(0.0, min(least, spans[0][0]))


def worth_a_look(before: Tally, since: Tally) -> bool:
    """Whether the fall is of 2 standard errors or more."""
    n, k = before.total, since.total
    if not n or not k:
        return False
    fall = (before.promoters - before.detractors) / n - (since.promoters - since.detractors) / k
    if fall <= 0:
        return False
    both = before + since
    mean = (both.promoters - both.detractors) / both.total
    variance = (both.promoters + both.detractors) / both.total - mean * mean
    return fall * fall >= TOO_WEAK * variance * (1 / n + 1 / k)


def _gain_before(tally: Tally) -> _Gain:
    root = math.sqrt(tally.total)
    bets = [min(MOST, bet / root) for bet in BEFORE]

    def gain(m: float) -> float:
        return _log_sum(
            math.log(BEFORE_NONE),
            [math.log(BEFORE_EACH) + _product(tally, bet, 1.0 - bet * m) for bet in bets],
        )

    return gain


def _gain_since(tally: Tally) -> _Gain:
    def gain(m: float) -> float:
        return _log_sum(
            math.log(SINCE_NONE),
            [math.log(SINCE_EACH) + _product(tally, -bet, 1.0 + bet * m) for bet in SINCE],
        )

    return gain


def _product(tally: Tally, bet: float, middle: float) -> float:
    """log ∏ (1 + bet·(x - m)), where `middle` is 1 - bet·m."""
    return (
        tally.detractors * math.log(middle - bet)
        + tally.passives * math.log(middle)
        + tally.promoters * math.log(middle + bet)
    )


def _log_sum(first: float, others: list[float]) -> float:
    most = max(first, *others)
    return most + math.log(math.exp(first - most) + math.fsum(math.exp(other - most) for other in others))
