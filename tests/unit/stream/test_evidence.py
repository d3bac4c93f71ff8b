"""The e-value of a fall: fair to every score that stayed as it is, and near to what it is a bound of."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.domain import evidence as bets
from stream.domain.evidence import evidence
from stream.domain.scores import Tally
from tests.unit.stream.logs import PROPERTY

Shares = tuple[float, float, float]


def gain(before: Tally, since: Tally, m: float) -> float:
    """Log of what the bets have gained against the score m."""

    def bet_on(tally: Tally, size: float, sign: int) -> float:
        counts = {-1: tally.detractors, 0: tally.passives, 1: tally.promoters}
        return math.prod((1 + size * sign * (x - m)) ** count for x, count in counts.items())

    root = math.sqrt(before.total)
    earlier = [bets.BEFORE_EACH * bet_on(before, min(bets.MOST, bet / root), 1) for bet in bets.BEFORE]
    later = [bets.SINCE_EACH * bet_on(since, bet, -1) for bet in bets.SINCE]
    return math.log(bets.BEFORE_NONE + sum(earlier)) + math.log(bets.SINCE_NONE + sum(later))


def tallies(n: int) -> Iterator[Tally]:
    return (Tally(d, k, n - d - k) for d in range(n + 1) for k in range(n + 1 - d))


def chance(tally: Tally, shares: Shares) -> float:
    counts = (tally.detractors, tally.passives, tally.promoters)
    ways = math.factorial(tally.total) // math.prod(map(math.factorial, counts))
    return ways * math.prod(share**count for share, count in zip(shares, counts, strict=True))


@pytest.mark.parametrize("shares", [(0.2, 0.3, 0.5), (0.5, 0.0, 0.5), (0.05, 0.05, 0.9), (0.7, 0.2, 0.1)])
@pytest.mark.parametrize(("n", "k"), [(20, 3), (12, 8), (4, 12)])
def test_a_team_that_stays_as_it_is_gains_nothing_on_average(shares: Shares, n: int, k: int) -> None:
    """All outcomes there are, weighted by their chance: the definition of an e-value, without a simulation."""
    befores = [(before, chance(before, shares)) for before in tallies(n)]
    sinces = [(since, chance(since, shares)) for since in tallies(k)]
    outcomes = ((p * q, evidence(before, since)) for before, p in befores for since, q in sinces)
    assert math.fsum(p * math.exp(weight) for p, weight in outcomes if weight > 0) <= 1


def test_bets_on_one_kind_of_answer_are_fair_whatever_the_score() -> None:
    assert bets.BEFORE_NONE + len(bets.BEFORE) * bets.BEFORE_EACH == pytest.approx(1)
    assert bets.SINCE_NONE + len(bets.SINCE) * bets.SINCE_EACH == pytest.approx(1)
    assert max(bets.SINCE) <= bets.MOST < 0.5


@PROPERTY
@given(
    st.builds(Tally, st.integers(0, 60), st.integers(0, 90), st.integers(1, 150)),
    st.builds(Tally, st.integers(1, 60), st.integers(0, 40), st.integers(0, 40)),
)
def test_it_is_just_below_the_least_gain_against_any_score(before: Tally, since: Tally) -> None:
    found = evidence(before, since)
    least = min(gain(before, since, m / 1_000) for m in range(-1_000, 1_001))
    if found:
        assert least - 0.06 <= found <= least + 1e-6
    elif bets.worth_a_look(before, since):
        assert least <= 0.06


@pytest.mark.parametrize(
    ("before", "since"),
    [
        pytest.param(Tally(), Tally(9, 0, 0), id="nothing-before"),
        pytest.param(Tally(10, 20, 70), Tally(), id="nothing-since"),
        pytest.param(Tally(10, 20, 70), Tally(1, 2, 7), id="the-same"),
        pytest.param(Tally(10, 20, 70), Tally(0, 0, 30), id="risen"),
        pytest.param(Tally(100, 200, 700), Tally(4, 6, 12), id="two-answers-short"),
    ],
)
def test_what_is_no_fall_gives_none(before: Tally, since: Tally) -> None:
    assert evidence(before, since) == 0


def test_more_of_the_same_gives_more() -> None:
    weights = [evidence(Tally(200, 300, 500), Tally(3 * n, 3 * n, 4 * n)) for n in (10, 20, 40, 80)]
    assert weights == sorted(weights)
    assert weights[0] < 3 < 8 < weights[-1]
