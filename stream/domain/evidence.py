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
_STEP: Final = 0.08  # between the m's that are tried, divided by √n: a tenth of a standard error
TOO_WEAK: Final = 4.0  # a difference below 2 standard errors is not looked at: it could not count for much

_Gain = Callable[[float], float]


def evidence(before: Tally, since: Tally) -> float:
    """The natural logarithm of the e-value against "one score before and since", for a fall.

    Shape:   two tallies in, one number out; a lower bound of the exact infimum over m, at most some percent below it.
    Unit:    nats. 3.0 is a gain of 20 to 1.
    Empty:   0.0 where either has no answers, and for whatever speaks of no fall: less than no gain is not told.
    """
    if not worth_a_look(before, since):
        return 0.0
    against_before, against_since = _gain_before(before), _gain_since(since)
    start = (before.promoters - before.detractors) / before.total
    step = _STEP / math.sqrt(before.total)
    # The gain on what came before falls with m, that on what came since grows. So between two neighbours it is at
    # least what the upper one leaves of the first times what the lower one leaves of the second.
    lowest = math.inf
    m, gain = start, against_before(start)
    while m > -1 and lowest > 0 and gain + math.log(SINCE_NONE) < lowest:
        m = max(-1.0, m - step)
        lowest = min(lowest, gain + against_since(m))
        gain = against_before(m)
    m, gain = start, against_since(start)
    while m < 1 and lowest > 0 and gain + math.log(BEFORE_NONE) < lowest:
        m = min(1.0, m + step)
        lowest = min(lowest, gain + against_before(m))
        gain = against_since(m)
    return max(0.0, lowest)


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
