"""The arithmetic of the score, to the letter of the contract's vectors."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.domain.scores import (
    BAND_OF,
    BANDS,
    Z95,
    Band,
    Tally,
    adjusted_wald,
    band_of,
    difference,
    display,
    nps,
    score_interval,
    shares,
)
from tests.unit.stream.logs import PROPERTY

TALLIES = st.builds(Tally, *[st.integers(0, 2_000)] * 3)


@pytest.mark.parametrize(
    ("score", "band"),
    [
        pytest.param(0, Band.DETRACTOR, id="lowest"),
        pytest.param(6, Band.DETRACTOR, id="top-of-detractors"),
        pytest.param(7, Band.PASSIVE, id="bottom-of-passives"),
        pytest.param(8, Band.PASSIVE, id="top-of-passives"),
        pytest.param(9, Band.PROMOTER, id="bottom-of-promoters"),
        pytest.param(10, Band.PROMOTER, id="highest"),
    ],
)
def test_band_edges(score: int, band: Band) -> None:
    assert band_of(score) is band
    assert BANDS[score] == BAND_OF[score] == band


@pytest.mark.parametrize("score", [-1, 11, 6.5, 9.0, "9", True, None])
def test_what_is_no_whole_number_from_0_to_10_has_no_band(score: object) -> None:
    with pytest.raises(ValueError, match=r"whole number 0\.\.10"):
        band_of(score)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("counts", "n", "score", "wald", "interval"),
    [
        pytest.param((1, 2, 3), 6, 33.333, (22.222, -26.743, 71.188), (-31.107, 75.396), id="1-2-3"),
        pytest.param((0, 0, 10), 10, 100.0, (76.923, 47.504, 100.0), (44.493, 100.0), id="all-promoters"),
        pytest.param((5, 0, 5), 10, 0.0, (0.0, -51.127, 51.127), (-52.681, 52.681), id="half-and-half"),
        pytest.param((10, 20, 70), 100, 60.0, (58.252, 45.270, 71.235), (45.217, 71.277), id="10-20-70"),
    ],
)
def test_the_contracts_table_of_scores_and_margins(
    counts: tuple[int, int, int],
    n: int,
    score: float,
    wald: tuple[float, float, float],
    interval: tuple[float, float],
) -> None:
    tally = Tally(*counts)
    assert tally.total == n
    assert nps(tally) == pytest.approx(score, abs=0.0005)
    adjusted = adjusted_wald(tally)
    assert adjusted is not None
    assert (adjusted.centre, adjusted.low, adjusted.high) == pytest.approx(wald, abs=0.0005)
    tested = score_interval(tally)
    assert tested is not None
    assert (tested.low, tested.high) == pytest.approx(interval, abs=0.0005)
    assert tested.centre == pytest.approx(score, abs=0.0005)


SMALL = [Tally(d, n, p) for d in range(4) for n in range(4) for p in range(4) if d + n + p]


def likeliest_detractors(tally: Tally, delta: float) -> float:
    """Share of detractors that makes the counts likeliest when the score is `delta`, by looking for it."""
    low, high = max(0.0, -delta), (1 - delta) / 2

    def likelihood(q: float) -> float:
        of_bands = (tally.detractors, q), (tally.promoters, q + delta), (tally.passives, 1 - 2 * q - delta)
        return sum(count * math.log(max(share, 1e-300)) for count, share in of_bands if count)

    for _ in range(200):
        third = (high - low) / 3
        if likelihood(low + third) < likelihood(high - third):
            low += third
        else:
            high -= third
    return (low + high) / 2


@pytest.mark.parametrize("tally", SMALL, ids=lambda tally: f"{tally.detractors}-{tally.passives}-{tally.promoters}")
def test_the_score_interval_ends_where_the_data_are_two_standard_errors_from_the_score(tally: Tally) -> None:
    interval = score_interval(tally)
    assert interval is not None
    assert interval.low <= interval.centre <= interval.high
    for end, reaches in ((interval.low, tally.detractors), (interval.high, tally.promoters)):
        delta = end / 100
        if reaches == tally.total:
            assert abs(delta) == 1
            continue
        q = likeliest_detractors(tally, delta)
        error = math.sqrt(tally.total * (2 * q + delta - delta * delta))
        away = abs(tally.promoters - tally.detractors - tally.total * delta)
        assert away / error == pytest.approx(Z95, abs=1e-4)


def mirrored(tally: Tally) -> Tally:
    return Tally(tally.promoters, tally.passives, tally.detractors)


def test_all_detractors_are_the_mirror_of_all_promoters() -> None:
    wald, interval = adjusted_wald(Tally(10, 0, 0)), score_interval(Tally(10, 0, 0))
    assert wald is not None
    assert interval is not None
    assert (wald.low, wald.high) == pytest.approx((-100, -47.504), abs=0.0005)
    assert (interval.low, interval.high) == pytest.approx((-100, -44.493), abs=0.0005)


@pytest.mark.parametrize("score_of", [nps, display, shares, adjusted_wald, score_interval])
def test_nobody_answered_is_no_score_at_all(score_of: object) -> None:
    assert callable(score_of)
    assert score_of(Tally()) is None


@pytest.mark.parametrize(
    ("counts", "points"),
    [
        pytest.param((3, 1, 4), 13, id="12.5"),
        pytest.param((4, 1, 3), -13, id="-12.5"),
        pytest.param((0, 199, 1), 1, id="0.5"),
        pytest.param((1, 199, 0), -1, id="-0.5"),
        pytest.param((1, 200, 0), 0, id="-0.4975-is-0"),
        pytest.param((5, 0, 5), 0, id="0"),
        pytest.param((0, 0, 1), 100, id="100"),
        pytest.param((1, 0, 0), -100, id="-100"),
        pytest.param((1, 0, 2), 33, id="33.3"),
        pytest.param((2, 0, 1), -33, id="-33.3"),
    ],
)
def test_display_is_whole_points_half_away_from_zero_and_never_minus_0(
    counts: tuple[int, int, int], points: int
) -> None:
    shown = display(Tally(*counts))
    assert shown == points
    assert isinstance(shown, int)
    assert str(shown) == str(points)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        pytest.param((1, 1, 1), (34, 33, 33), id="tie-of-three-goes-to-detractors"),
        pytest.param((0, 1, 1), (0, 50, 50), id="no-remainder"),
        pytest.param((1, 1, 0), (50, 50, 0), id="no-remainder-below"),
        pytest.param((2, 2, 2), (34, 33, 33), id="the-same-twice"),
        pytest.param((1, 2, 3), (17, 33, 50), id="largest-remainder"),
        pytest.param((3, 3, 1), (43, 43, 14), id="two-points-to-give"),
        pytest.param((1, 3, 3), (14, 43, 43), id="two-points-to-the-larger-remainders"),
        pytest.param((2, 3, 3), (25, 38, 37), id="tie-of-two-goes-to-passives"),
        pytest.param((0, 0, 7), (0, 0, 100), id="one-band"),
    ],
)
def test_shares_sum_to_100_by_largest_remainder(counts: tuple[int, int, int], expected: tuple[int, int, int]) -> None:
    assert shares(Tally(*counts)) == expected


@PROPERTY
@given(TALLIES.filter(lambda tally: tally.total > 0))
def test_margins_hold_the_score_and_shares_the_whole_for_any_counts(tally: Tally) -> None:
    score, wald, interval = nps(tally), adjusted_wald(tally), score_interval(tally)
    assert score is not None
    assert wald is not None
    assert interval is not None
    assert -100 <= wald.low <= wald.centre <= wald.high <= 100
    assert -100 <= interval.low <= score + 1e-9
    assert score - 1e-9 <= interval.high <= 100
    parts = shares(tally)
    assert parts is not None
    assert sum(parts) == 100
    for part, count in zip(parts, (tally.detractors, tally.passives, tally.promoters), strict=True):
        assert abs(part - 100 * count / tally.total) < 1
    shown = display(tally)
    assert shown is not None
    assert abs(shown - score) <= 0.5 + 1e-9
    turned = score_interval(mirrored(tally))
    assert turned is not None
    assert (-turned.high, -turned.low) == pytest.approx((interval.low, interval.high), abs=1e-6)
    assert display(mirrored(tally)) == -shown


def test_the_difference_of_two_scores_worked_by_hand() -> None:
    found = difference(Tally(10, 20, 70), Tally(5, 0, 5))
    assert found is not None
    # Adjusted: 10.75, 21.5, 70.75 of 103 and 5.75, 1.5, 5.75 of 13.
    d1, d2 = 60 / 103, 0.0
    v1, v2 = 81.5 / 103 - d1 * d1, 11.5 / 13
    error = math.sqrt(v1 / 103 + v2 / 13)
    assert found.raw == 60.0
    assert (found.low, found.high) == pytest.approx(
        (100 * (d1 - 1.95996398454 * error), 100 * (d1 - d2 + 1.95996398454 * error))
    )
    assert (found.low, found.high, found.p_value) == pytest.approx((5.502, 111.002, 0.030433), abs=0.0005)


def test_a_score_does_not_differ_from_itself() -> None:
    found = difference(Tally(1, 2, 3), Tally(1, 2, 3))
    assert found is not None
    assert (found.raw, found.p_value) == (0.0, 1.0)
    assert found.low == pytest.approx(-found.high)


@pytest.mark.parametrize("pair", [(Tally(), Tally(1, 0, 0)), (Tally(1, 0, 0), Tally())])
def test_there_is_no_difference_to_nobody(pair: tuple[Tally, Tally]) -> None:
    assert difference(*pair) is None


@PROPERTY
@given(TALLIES.filter(lambda tally: tally.total > 0), TALLIES.filter(lambda tally: tally.total > 0))
def test_a_difference_turned_round_is_its_negative(a: Tally, b: Tally) -> None:
    there, back = difference(a, b), difference(b, a)
    assert there is not None
    assert back is not None
    assert (there.raw, there.low, there.high) == pytest.approx((-back.raw, -back.high, -back.low))
    assert there.p_value == pytest.approx(back.p_value)
    assert 0 <= there.p_value <= 1
    assert -200 <= there.low <= there.high <= 200


def test_tallies_add_up_and_read_a_histogram() -> None:
    assert Tally(1, 2, 3) + Tally(4, 5, 6) == Tally(5, 7, 9)
    assert Tally.of_histogram([1, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5]) == Tally(2, 5, 9)
