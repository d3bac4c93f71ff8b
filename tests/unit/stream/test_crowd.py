"""An id that a whole crowd shares (an integration that sends `anonymous` for everybody) must not hurt anybody else."""

from __future__ import annotations

import msgspec

from stream.domain.cases import MOST_LISTED
from tests.unit.stream.fakes import TEAMS, LogBuilder, Run, play, response_id
from tests.unit.stream.test_followups import answer_of, case_of, kinds

CROWD = 150


def crowded() -> tuple[LogBuilder, Run]:
    log = LogBuilder()
    for number in range(CROWD):
        log.answer(number, 3, respondent="anonymous")
        log.now_ms += 1
    return log, play(log.records, range(0, CROWD, 40))


def test_a_case_lists_its_opening_answer_and_the_newest_ones_and_its_events_stay_small() -> None:
    _, run = crowded()
    case = run.events[-1].case
    assert kinds(run) == ["raised", *["answer_joined"] * (CROWD - 1)]
    assert len(case.answers) == MOST_LISTED
    assert (case.answers[0], case.answers[-1]) == (response_id(0), response_id(CROWD - 1))
    assert max(len(msgspec.json.encode(event)) for event in run.events) < 8_000


def test_a_case_stays_open_while_an_answer_that_it_does_not_list_is_unhappy() -> None:
    log, run = crowded()
    start = len(log.records)
    unlisted = 10
    for number in range(CROWD):
        if number != unlisted:
            log.answer(number, 9, respondent="anonymous", revision=1)
    log.answer(unlisted, 9, respondent="anonymous", revision=1)
    run.fold(log.records[start:])
    assert kinds(run)[-2:] == ["answer_edited", "rescored"]


def test_all_answers_go_along_when_their_case_joins_an_older_one() -> None:
    log = LogBuilder()
    log.answer(900, 3)
    log.now_ms += 1
    for number in range(CROWD):
        log.answer(number, 3, respondent="anonymous")
    log.answer(900, 3, respondent="anonymous", revision=1)
    run = play(log.records)
    case = case_of(run, 900)
    assert case is not None
    assert case.response_id == response_id(900)
    assert {answer_of(run, number).case_id for number in range(CROWD)} == {case.case_id}
    told = {change.response_id: change.case_id for team, change in run.answers if team == TEAMS[0]}
    assert set(told.values()) == {case.case_id}
