"""Score alarms: what is found in counts a day, when it is told, and when it is over."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import falls
from stream.domain.alarms import Days, Fall, ending, fall, matters, to_raise
from stream.domain.evidence import evidence, worth_a_look
from stream.domain.scores import Tally
from tests.unit.stream.logs import PROPERTY

TODAY = 20_000
USUAL = Tally(2, 3, 5)  # a day of 10 answers, 30 points
LOW = Tally(4, 2, 4)  # 0 points
ONE_TEAM = math.log(1 / 0.05)


def days_of(*spans: tuple[int, Tally]) -> dict[int, Tally]:
    """So many days of each, one after the other, the last of them today."""
    counts = [tally for length, tally in spans for _ in range(length)]
    return {TODAY - len(counts) + 1 + at: tally for at, tally in enumerate(counts)}


def found(days: Days, not_before: int = 0) -> Fall:
    seen = fall(days, TODAY, not_before)
    assert seen is not None
    return seen


def test_a_fall_is_found_with_its_day_its_size_and_its_counts() -> None:
    seen = found(days_of((200, USUAL), (20, LOW)))
    assert seen.evidence > ONE_TEAM
    assert seen.since == TODAY - 19
    assert seen.first <= seen.since <= seen.last
    assert seen.before == Tally(360, 540, 900)
    assert seen.after == Tally(80, 40, 80)
    assert seen.points == 30
    assert matters(seen, days_of((200, USUAL), (20, LOW)), TODAY)


@pytest.mark.parametrize(
    "days",
    [
        pytest.param({}, id="no-answers"),
        pytest.param(days_of((20, LOW)), id="nothing-before"),
        pytest.param(days_of((200, USUAL)), id="quiet"),
        pytest.param(days_of((200, LOW), (40, USUAL)), id="risen"),
        pytest.param({TODAY - 400: Tally(0, 0, 900), TODAY: Tally(5, 0, 0)}, id="what-was-before-is-too-old"),
    ],
)
def test_what_is_no_fall_of_the_last_90_days_is_none(days: Days) -> None:
    seen = fall(days, TODAY)
    assert seen is None or seen.evidence < 0


def test_a_fall_before_the_day_that_is_asked_for_is_not_that_teams_any_more() -> None:
    days = days_of((200, USUAL), (40, LOW))
    seen = fall(days, TODAY, not_before=TODAY - 10)
    assert found(days).evidence > ONE_TEAM
    assert seen is None or seen.since >= TODAY - 10


def test_a_level_that_is_90_days_old_is_what_a_new_fall_is_measured_against() -> None:
    """The watcher leaves out what lies before it; else the old fall would be told once more."""
    days = days_of((180, USUAL), (130, LOW))
    assert found(days).evidence > ONE_TEAM
    assert fall({day: counts for day, counts in days.items() if day > TODAY - 130}, TODAY) is None


def test_days_that_lie_further_back_change_nothing() -> None:
    days = days_of((260, USUAL), (10, LOW))
    assert fall(days, TODAY) == fall({**days, TODAY - 270: Tally(50, 0, 0)}, TODAY)


def test_a_small_fall_is_real_and_raises_nothing() -> None:
    days = days_of((180, Tally(200, 300, 500)), (40, Tally(220, 300, 480)))
    seen = found(days)
    assert seen.evidence > ONE_TEAM
    assert seen.points == pytest.approx(4)
    assert not matters(seen, days, TODAY)


def weekends(length: int, on_weekdays: Tally, on_weekends: Tally) -> dict[int, Tally]:
    span = range(TODAY - length + 1, TODAY + 1)
    return {day: on_weekends if (TODAY - day) % 7 in (0, 1) else on_weekdays for day in span}


def test_a_weekend_like_all_the_others_is_no_fall() -> None:
    """100 answers a day, 40 points less on weekends; today is the second day of one."""
    days = weekends(270, Tally(20, 30, 50), Tally(40, 30, 30))
    seen = found(days)
    assert seen.evidence > ONE_TEAM
    assert not matters(seen, days, TODAY)


def test_a_weekend_worse_than_all_the_others_is_one() -> None:
    days = weekends(270, Tally(20, 30, 50), Tally(30, 30, 40)) | {
        TODAY - 1: Tally(60, 20, 20),
        TODAY: Tally(60, 20, 20),
    }
    seen = found(days)
    assert seen.since == TODAY - 1
    assert matters(seen, days, TODAY)


@pytest.mark.parametrize(
    ("gained", "teams", "raised", "told"),
    [
        pytest.param({"a": 20}, 1, 0, ["a"], id="one-team-needs-20-times"),
        pytest.param({"a": 19}, 1, 0, [], id="not-less"),
        pytest.param({"a": 190, "b": 20}, 10, 0, [], id="one-of-ten-needs-200"),
        pytest.param({"a": 200, "b": 20}, 10, 0, ["a"], id="and-has-them"),
        pytest.param({"a": 110, "b": 101, "c": 60}, 10, 0, ["a", "b"], id="two-of-ten-need-100-each"),
        pytest.param({"b": 101, "c": 70, "a": 67}, 10, 0, ["b", "c", "a"], id="three-need-67-each"),
        pytest.param({"a": 101}, 10, 1, ["a"], id="one-more-beside-one-that-was-raised"),
        pytest.param({"a": 19}, 2, 40, [], id="never-less-than-one-team-alone-needs"),
        pytest.param({}, 10, 0, [], id="nothing"),
    ],
)
def test_more_alarms_at_once_need_less_each(gained: dict[str, float], teams: int, raised: int, told: list[str]) -> None:
    assert to_raise({team: math.log(times) for team, times in gained.items()}, teams, raised, 0.05) == told


def test_an_alarm_ends_when_the_score_is_back() -> None:
    before, since = Tally(360, 540, 900), TODAY - 39
    assert ending(days_of((200, USUAL), (40, LOW)), since, before, TODAY - 20, TODAY) is None
    back = days_of((200, USUAL), (40, LOW), (40, USUAL))
    assert ending(back, TODAY - 79, before, TODAY - 60, TODAY) == "recovered"


def test_a_score_that_rose_by_a_little_is_not_back() -> None:
    little = days_of((200, Tally(10, 20, 70)), (30, Tally(60, 20, 20)), (40, Tally(50, 20, 30)))
    assert ending(little, TODAY - 69, Tally(1_800, 3_600, 12_600), TODAY - 60, TODAY) is None


def test_an_alarm_is_withdrawn_when_the_answers_that_made_it_are_not_counted_any_more() -> None:
    days = days_of((200, USUAL), (20, LOW))
    for day in range(TODAY - 19, TODAY - 4):
        days[day] = USUAL  # most of the bad ones were a bot's
    assert ending(days, TODAY - 19, Tally(360, 540, 900), TODAY - 3, TODAY) == "withdrawn"


def test_a_fall_of_90_days_ago_has_settled() -> None:
    days = days_of((180, USUAL), (91, LOW))
    assert ending(days, TODAY - 90, Tally(360, 540, 900), TODAY - 70, TODAY) == "settled"
    assert ending(days, TODAY - 89, Tally(360, 540, 900), TODAY - 70, TODAY) is None


@PROPERTY
@given(
    st.builds(Tally, st.integers(0, 300), st.integers(0, 300), st.integers(1, 900)),
    st.builds(Tally, st.integers(1, 300), st.integers(0, 100), st.integers(0, 100)),
    st.floats(-0.99, 0.99),
)
def test_what_the_simulation_leaves_out_could_not_have_been_an_alarm(before: Tally, since: Tally, m: float) -> None:
    counts = [np.array([[t.detractors, t.passives, t.promoters]], dtype=np.float64) for t in (before, since)]
    if worth_a_look(before, since):
        assert evidence(before, since) <= max(0.0, falls.gain(counts[0], counts[1], np.array([m]))[0]) + 1e-9


def test_quiet_teams_get_few_false_alarms() -> None:
    rng = np.random.default_rng(20_261_129)
    alarms = falls.first_alarms(falls.quiet(rng, 300, 10, falls.USUAL, falls.HISTORY + 30), 1 / falls.FALSE_SHARE)
    assert falls.upper_bound(int(np.isfinite(alarms).sum()), 300) <= falls.FALSE_SHARE


def test_a_fall_of_20_points_is_found_in_some_weeks() -> None:
    rng = np.random.default_rng(20_261_129)
    days = falls.first_alarms(falls.falling(rng, 40, 10, 20, 60), 1 / falls.FALSE_SHARE, every=10)
    assert 10 < np.median(np.where(np.isnan(days), 99, days)) < 35


def test_the_upper_bound_of_a_share_is_the_exact_one() -> None:
    assert falls.upper_bound(0, 100) == pytest.approx(1 - 0.05 ** (1 / 100))
    assert falls.upper_bound(5, 100) == pytest.approx(0.10225, abs=1e-4)


def test_of_many_alarms_few_are_false() -> None:
    """40 teams, 10 of which fall by 40 points."""
    draw = random.Random(7)

    def day(shares: tuple[float, float, float]) -> Tally:
        given = draw.choices(range(3), shares, k=20)
        return Tally(*(given.count(band) for band in range(3)))

    teams = {f"team-{n}": {at: day((0.2, 0.3, 0.5)) for at in range(120)} for n in range(40)}
    raised: list[str] = []
    for today in range(120, 135):
        for n, days in enumerate(teams.values()):
            days[today] = day((0.4, 0.3, 0.3) if n < 10 else (0.2, 0.3, 0.5))
        seen = {team: fall(days, today) for team, days in teams.items() if team not in raised} if today % 3 == 2 else {}
        falls_now = {team: one.evidence for team, one in seen.items() if one is not None}
        raised += to_raise(falls_now, len(teams), len(raised), 0.05)
    assert sorted(raised) == sorted(list(teams)[:10])


@pytest.mark.soak
@pytest.mark.parametrize(
    ("a_day", "teams", "shares"),
    [
        pytest.param(10, 10_000, falls.USUAL, id="10-a-day"),
        pytest.param(1, 2_000, falls.USUAL, id="1-a-day"),
        pytest.param(30, 600, (0.1, 0.2, 0.7), id="30-a-day-60-points"),
        pytest.param(30, 600, (0.5, 0.3, 0.2), id="30-a-day-minus-30-points"),
        pytest.param(100, 500, (0.3, 0.1, 0.6), id="100-a-day-all-or-nothing"),
    ],
)
def test_of_quiet_teams_at_most_5_percent_get_a_false_alarm_in_90_days(
    a_day: int, teams: int, shares: tuple[float, float, float]
) -> None:
    """Looked at after every answer; the exact upper 95 % bound of the share."""
    rng = np.random.default_rng([2026, a_day, teams])
    answers = falls.quiet(rng, teams, a_day, shares, falls.HISTORY + falls.WATCHED)
    alarms = int(np.isfinite(falls.first_alarms(answers, 1 / falls.FALSE_SHARE)).sum())
    bound = falls.upper_bound(alarms, teams)
    print(f"{teams} quiet teams, {a_day} a day: {alarms} false alarms, upper bound {bound:.2%}")  # noqa: T201
    assert bound <= falls.FALSE_SHARE


@pytest.mark.soak
@pytest.mark.parametrize(("a_day", "teams"), [(10, 1_000), (30, 600), (100, 300)])
def test_weekends_that_are_40_points_lower_raise_no_more_false_alarms(a_day: int, teams: int) -> None:
    rng = np.random.default_rng([2026, a_day, teams])
    answers = falls.with_weekends(rng, teams, a_day, 40, falls.HISTORY + falls.WATCHED)
    alarms = int(np.isfinite(falls.first_alarms(answers, 1 / falls.FALSE_SHARE, every=a_day)).sum())
    bound = falls.upper_bound(alarms, teams)
    print(f"{teams} quiet teams, {a_day} a day, low weekends: {alarms} false alarms, upper bound {bound:.2%}")  # noqa: T201
    assert bound <= falls.FALSE_SHARE
