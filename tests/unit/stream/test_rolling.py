"""The contract's rolling scenario, W = 7 days, through the fold; corrections and late answers by example."""

from __future__ import annotations

import pytest

from schemas.changes import PaneDelta, WindowMove
from stream.domain.scores import Tally, nps
from tests.unit.stream.fakes import DAY, HOUR, MINUTE, PARTITION, START_MS, TEAMS, LogBuilder, Record, Run, play
from tests.unit.stream.holding import panes_of, summed
from tests.unit.stream.recount import Counts, Recount

TEAM = TEAMS[0]
WEEK = 7 * 24 * 60
D0 = START_MS  # day 0; days are on whole minutes


def day(days: float) -> int:
    """The minute that a day of the scenario is."""
    return int(D0 + days * DAY) // MINUTE


def scenario() -> list[Record]:
    """A 10 @d1; B 3 @d2; C 8 @d3; A 6 @d5; [d7]; B edits 3 to 9, received d7.5; D 9 @d6 received at d9."""
    log = LogBuilder()
    for number, who, score, at in ((1, "A", 10, 1.0), (2, "B", 3, 2.0), (3, "C", 8, 3.0), (4, "A", 6, 5.0)):
        log.now_ms = int(D0 + at * DAY)
        log.answer(number, score, respondent=who, answered_ms=log.now_ms)
    log.now_ms = D0 + 7 * DAY
    log.tick()
    log.now_ms = int(D0 + 7.5 * DAY)
    log.answer(2, 9, respondent="B", answered_ms=D0 + 2 * DAY, revision=1)
    log.now_ms = D0 + 9 * DAY
    log.tick()
    log.answer(5, 9, respondent="D", answered_ms=D0 + 6 * DAY)
    return log.records


AT_D7, AFTER_EDIT, AT_D9 = 5, 6, 8  # records


def live(run: Run, minutes: int = WEEK) -> tuple[Counts, Counts]:
    """Published counts of a window, policy `all` and `latest`."""
    (window,) = [window for window in run.scores[TEAM].windows if window.minutes == minutes]
    of_all, latest = window.all, window.latest
    return (
        (of_all.detractors, of_all.passives, of_all.promoters),
        (latest.detractors, latest.passives, latest.promoters),
    )


def points(counts: Counts) -> float | None:
    return nps(Tally(*counts))


@pytest.mark.parametrize(
    ("records", "as_of", "of_all", "latest"),
    [
        pytest.param(AT_D7, 7.0, -25.0, -66.667, id="d7"),
        pytest.param(AFTER_EDIT, 7.5, 25.0, 0.0, id="d7.5-after-the-edit"),
        pytest.param(AT_D9, 9.0, 0.0, 0.0, id="d9"),
    ],
)
def test_the_live_scores_of_the_scenario(records: int, as_of: float, of_all: float, latest: float) -> None:
    run = play(scenario()[:records])
    scores = run.scores[TEAM]
    assert scores.as_of <= day(as_of)
    assert scores.valid_until is None or scores.valid_until > day(as_of)
    assert points(live(run)[0]) == pytest.approx(of_all, abs=0.0005)
    assert points(live(run)[1]) == pytest.approx(latest, abs=0.0005)


def test_the_counts_of_the_scenario() -> None:
    assert live(play(scenario()[:AT_D7])) == ((2, 1, 1), (2, 1, 0))
    assert live(play(scenario()[:AT_D9])) == ((1, 1, 1), (1, 1, 1))


def test_d7_asked_again_at_d9_is_40_from_the_panes_and_25_for_each_respondents_newest_until_then() -> None:
    run = play(scenario())
    panes = [(minute, pane) for _, minute, pane in panes_of(run.state) if day(7) - WEEK < minute <= day(7)]
    assert points(summed(panes, "all")) == 40.0
    truth = Recount.of(scenario(), PARTITION)
    assert points(truth.counts(TEAM, "all", day(7), WEEK)) == 40.0
    assert points(truth.counts(TEAM, "latest", day(7), WEEK, as_live=False)) == 25.0


def test_the_edit_of_the_scenario_is_a_correction_with_its_deltas_and_moves() -> None:
    run = play(scenario()[:AFTER_EDIT])
    correction = run.corrections[-1][1]
    assert (correction.cause, correction.as_of, correction.known_ms) == ("revision", day(7.5), D0 + int(7.5 * DAY))
    assert sorted((delta.policy, delta.minute, delta.score, delta.change) for delta in correction.deltas) == [
        ("all", day(2), 3, -1),
        ("all", day(2), 9, 1),
        ("latest", day(2), 3, -1),
        ("latest", day(2), 9, 1),
    ]
    assert [move for move in correction.windows if move.minutes == WEEK] == [
        WindowMove(WEEK, "all", (2, 1, 1), (1, 1, 2)),
        WindowMove(WEEK, "latest", (2, 1, 0), (1, 1, 1)),
    ]


def test_the_late_answer_of_the_scenario_is_a_correction() -> None:
    run = play(scenario())
    correction = run.corrections[-1][1]
    assert correction.cause == "late"
    assert correction.deltas == [PaneDelta(day(6), "all", 9, 1), PaneDelta(day(6), "latest", 9, 1)]
    assert {move.minutes for move in correction.windows} == {WEEK, 30 * 24 * 60, 90 * 24 * 60}


@pytest.mark.parametrize(
    ("age_ms", "late"),
    [
        pytest.param(0, False, id="now"),
        pytest.param(MINUTE - 1, False, id="its-pane-ended-under-a-minute-ago"),
        pytest.param(MINUTE, True, id="its-pane-ended-a-minute-ago"),
        pytest.param(2 * MINUTE, True, id="two"),
    ],
)
def test_an_answer_is_late_when_its_pane_ended_a_minute_ago_or_more(age_ms: int, late: bool) -> None:
    log = LogBuilder()  # begins on a whole minute
    log.answer(1, 9, answered_ms=log.now_ms - age_ms)
    assert [correction.cause for _, correction in play(log.records).corrections] == (["late"] if late else [])


def test_a_newer_answer_that_takes_an_older_one_out_of_latest_is_a_correction_of_all_it_changes() -> None:
    log = LogBuilder()
    log.answer(1, 3, respondent="anna")
    log.now_ms += HOUR
    log.answer(2, 9, respondent="anna")
    ((_, correction),) = play(log.records).corrections
    first, second = START_MS // MINUTE, log.now_ms // MINUTE
    assert correction.cause == "newer_answer"
    assert correction.deltas == [
        PaneDelta(second, "all", 9, 1),
        PaneDelta(second, "latest", 9, 1),
        PaneDelta(first, "latest", 3, -1),
    ]


def test_a_window_holds_what_is_younger_than_it_and_lets_it_go_on_the_minute() -> None:
    log = LogBuilder()
    log.answer(1, 9)
    run = play(log.records)
    born = START_MS // MINUTE
    assert (run.scores[TEAM].as_of, run.scores[TEAM].valid_until) == (born, born + 60)
    log.tick(59 * MINUTE)
    run.fold(log.records[-1:])
    assert live(run, 60)[0] == (0, 0, 1)
    assert run.scores[TEAM].as_of == born
    log.tick(1)  # a millisecond into the minute in which the answer is an hour old
    run.fold(log.records[-1:])
    assert live(run, 60)[0] == (0, 0, 0)
    assert live(run, 1_440)[0] == (0, 0, 1)
    assert (run.scores[TEAM].as_of, run.scores[TEAM].valid_until) == (born + 60, born + 1_440)


def test_when_nothing_is_left_in_any_window_the_score_holds_until_the_next_answer() -> None:
    log = LogBuilder()
    log.answer(1, 9)
    log.tick(91 * DAY)
    scores = play(log.records).scores[TEAM]
    assert scores.valid_until is None
    assert all(window.all.promoters == window.latest.promoters == 0 for window in scores.windows)


def test_an_answer_older_than_the_horizon_at_its_receipt_is_history_and_in_no_pane() -> None:
    log = LogBuilder()
    log.answer(1, 9, answered_ms=log.now_ms - 400 * DAY - 1)
    log.answer(2, 9, answered_ms=log.now_ms - 400 * DAY)
    run = play(log.records)
    assert [(change.history, change.event_ms) for _, change in run.answers] == [
        (True, log.now_ms - 400 * DAY - 1),
        (False, log.now_ms - 400 * DAY),
    ]
    assert [minute for _, minute in run.panes] == [(log.now_ms - 400 * DAY) // MINUTE]
