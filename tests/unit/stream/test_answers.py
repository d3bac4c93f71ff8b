"""Answers by example: duplicates, revisions, event times, and whose answer is a respondent's newest."""

from __future__ import annotations

from stream.domain import keys, values
from stream.domain.values import Resolved
from tests.unit.stream.fakes import DAY, HOUR, MINUTE, START_MS, TEAMS, LogBuilder, Run, play, response_id
from tests.unit.stream.recount import Counts

TEAM = TEAMS[0]


def answer_of(run: Run, number: int) -> Resolved:
    return values.RESOLVED.unpack(run.state.data[keys.answer(TEAM, response_id(number))])


def in_90_days(run: Run) -> tuple[Counts, Counts]:
    """(D, N, P) of policy `all` and of `latest`."""
    window = run.scores[TEAM].windows[-1]
    of_all, latest = window.all, window.latest
    return (
        (of_all.detractors, of_all.passives, of_all.promoters),
        (latest.detractors, latest.passives, latest.promoters),
    )


def test_the_same_revision_with_the_same_content_is_the_same_answer_again() -> None:
    log = LogBuilder()
    log.answer(1, 9)
    log.now_ms += MINUTE
    log.answer(1, 9)
    run = play(log.records)
    assert in_90_days(run)[0] == (0, 0, 1)
    assert len(run.answers) == 1


def test_the_same_revision_with_other_content_is_won_by_the_later_in_the_log() -> None:
    log = LogBuilder()
    for score in (9, 3, 9):
        log.answer(1, score)
    run = play(log.records)
    assert in_90_days(run)[0] == (0, 0, 1)
    assert [change.score for _, change in run.answers] == [9, 3, 9]


def test_a_higher_revision_wins_even_with_the_same_content_hash_and_a_lower_one_has_no_effect() -> None:
    log = LogBuilder()
    log.answer(1, 9, content="c", answered_ms=START_MS)
    log.answer(1, 3, content="c", answered_ms=START_MS, revision=5)
    log.answer(1, 10, content="d", answered_ms=START_MS, revision=4)
    run = play(log.records)
    assert in_90_days(run)[0] == (1, 0, 0)
    assert answer_of(run, 1).revision == 5


def test_a_revision_replaces_every_field_and_keeps_the_event_time_of_the_first_record() -> None:
    log = LogBuilder()
    log.answer(1, 9, answered_ms=START_MS - HOUR, respondent="anna", survey="a", attributes={"plan": "gold"})
    log.now_ms += DAY
    log.answer(1, 8, answered_ms=START_MS - 5 * HOUR, revision=1, channel="web")
    kept = answer_of(play(log.records), 1)
    assert (kept.event_ms, kept.first_offset) == (START_MS - HOUR, 0)
    assert (kept.score, kept.revision, kept.respondent) == (8, 1, None)
    assert kept.context == values.Context(channel="web")


def test_an_answer_that_came_with_nothing_has_no_context() -> None:
    log = LogBuilder()
    log.answer(1, 9)
    assert answer_of(play(log.records), 1).context is None


def test_an_answer_from_a_clock_that_is_ahead_is_given_when_it_was_appended() -> None:
    log = LogBuilder()
    log.answer(1, 9, answered_ms=START_MS + 3 * MINUTE)
    log.answer(2, 9)
    run = play(log.records)
    assert [answer_of(run, number).event_ms for number in (1, 2)] == [START_MS, START_MS]


def test_two_teams_may_use_the_same_response_id() -> None:
    log = LogBuilder()
    log.answer(1, 9)
    log.answer(1, 3, team=TEAMS[1])
    run = play(log.records)
    assert [run.scores[team].windows[0].all.promoters for team in TEAMS[:2]] == [1, 0]


def test_latest_counts_each_respondents_newest_by_event_time_whatever_the_order_of_arrival() -> None:
    log = LogBuilder()
    log.answer(1, 9, respondent="anna", answered_ms=START_MS - HOUR)
    log.answer(2, 3, respondent="anna", answered_ms=START_MS - 2 * HOUR)
    log.answer(3, 7)
    assert in_90_days(play(log.records)) == ((1, 1, 1), (0, 1, 1))


def test_of_answers_at_the_same_time_the_later_first_record_is_the_newest_also_after_an_edit_of_the_earlier() -> None:
    log = LogBuilder()
    for number, score in ((1, 9), (2, 3)):
        log.answer(number, score, respondent="anna", answered_ms=START_MS)
    assert in_90_days(play(log.records))[1] == (1, 0, 0)
    log.answer(1, 8, respondent="anna", answered_ms=START_MS, revision=1)
    assert in_90_days(play(log.records))[1] == (1, 0, 0)
    log.answer(2, 3, respondent="anna", answered_ms=START_MS, revision=1, test=True)
    assert in_90_days(play(log.records))[1] == (0, 1, 0)
    log.answer(2, 3, respondent="anna", answered_ms=START_MS, revision=2)
    log.answer(1, 10, respondent="anna", answered_ms=START_MS, revision=2)
    assert in_90_days(play(log.records))[1] == (1, 0, 0)


def test_an_excluded_answer_is_in_no_count_and_says_why() -> None:
    log = LogBuilder()
    log.answer(1, 9, respondent="anna", answered_ms=START_MS - HOUR)
    log.answer(2, 3, respondent="anna", test=True)
    run = play(log.records)
    assert in_90_days(run) == ((0, 0, 1), (0, 0, 1))
    assert [change.reasons for _, change in run.answers] == [(), ("test",)]


def test_a_respondents_history_that_is_their_newest_answer_counts_nowhere_and_changes_nothing() -> None:
    log = LogBuilder()
    log.answer(1, 9, respondent="anna", answered_ms=START_MS - 399 * DAY)
    log.now_ms += 30 * DAY
    log.answer(2, 3, respondent="anna", answered_ms=START_MS - 398 * DAY)  # 428 days old at its receipt
    run = play(log.records)
    pane = run.panes[TEAM, (START_MS - 399 * DAY) // MINUTE]
    assert (sum(pane.all), sum(pane.latest)) == (1, 1)  # it is as old, and closed
    assert len(run.panes) == 1
