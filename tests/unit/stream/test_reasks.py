"""Asking again by example: when a customer is due for it, what they answer, and what becomes of the pair."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.followups import Case, Reask
from stream.domain import keys, values
from tests.unit.stream.fakes import (
    DAY,
    HOUR,
    MINUTE,
    START_MS,
    TEAMS,
    LogBuilder,
    Run,
    act_value,
    carries,
    case_id,
    command_value,
    erase_respondent_value,
    play,
    response_id,
)
from tests.unit.stream.holding import cases_of, resolved_of

TEAM = TEAMS[0]
AFTER = 14 * DAY


@pytest.fixture
def log() -> LogBuilder:
    """A log in which answer 1, of anna, has raised a case that is resolved; her team asks again after 14 days."""
    log = LogBuilder()
    log.policy(reask_ms=AFTER)
    log.answer(1, 3, respondent="anna")
    log.act(1, "resolve")
    return log


def case_of(run: Run, number: int = 1) -> Case:
    return cases_of(run.state)[case_id(number)]


def told(run: Run) -> list[str]:
    return [event.kind.removeprefix("followup.") for event in run.events]


def pair(number: int, score: int, at_ms: int) -> Reask:
    return Reask(response_id(number), score, at_ms)


# -- asking ------------------------------------------------------------------------------------------------------------


def test_a_customer_is_to_be_asked_again_so_long_after_the_resolution_to_the_millisecond_and_once(
    log: LogBuilder,
) -> None:
    log.tick(AFTER - 1)
    run = play(log.records)
    assert told(run) == ["raised", "resolved"]
    assert case_of(run).reask_due_ms == case_of(run).next_ms == START_MS + AFTER
    log.tick(1)
    log.tick(30 * DAY)
    run = play(log.records)
    event = run.events[-1]
    assert told(run) == ["raised", "resolved", "reask"]
    assert (event.at_ms, event.clock, event.act, event.response_id) == (START_MS + AFTER, None, None, None)
    assert (event.case.state, event.case.reask_due_ms, event.case.next_ms) == ("resolved", START_MS + AFTER, None)
    assert case_of(run) == event.case
    assert [key for key in run.state.data if key[:1] == keys.DEADLINE] == []


def test_what_was_promised_at_the_resolution_stays_so(log: LogBuilder) -> None:
    log.policy(reask_ms=HOUR)
    assert case_of(play(log.records)).reask_due_ms == START_MS + AFTER


def test_a_team_whose_policy_says_nothing_of_it_asks_nobody() -> None:
    log = LogBuilder()
    log.answer(1, 3)
    log.act(1, "resolve")
    log.tick(366 * DAY)
    run = play(log.records)
    assert told(run) == ["raised", "resolved"]
    assert case_of(run).reask_due_ms is None


def test_a_case_that_is_opened_again_asks_nobody_until_it_is_resolved_again(log: LogBuilder) -> None:
    log.act(1, "reopen")
    assert case_of(play(log.records)).reask_due_ms is None
    log.now_ms += 20 * DAY
    log.act(1, "resolve")
    run = play(log.records)
    assert "reask" not in told(run)
    assert case_of(run).reask_due_ms == START_MS + 20 * DAY + AFTER


def test_nobody_is_asked_twice_about_one_case(log: LogBuilder) -> None:
    log.tick(AFTER)
    log.act(1, "reopen")
    log.act(1, "resolve")
    log.tick(AFTER)
    run = play(log.records)
    assert told(run).count("reask") == 1
    assert case_of(run).reask_due_ms == START_MS + AFTER


@pytest.mark.parametrize("why", ["unhappy anew", "edited", "excluded", "erased"])
def test_nobody_is_asked_who_is_unhappy_anew_or_of_whom_no_unhappy_answer_is_left(log: LogBuilder, why: str) -> None:
    if why == "unhappy anew":
        log.answer(2, 2, respondent="anna")
    elif why == "edited":
        log.answer(1, 9, respondent="anna", revision=1)
    elif why == "excluded":
        log.append(TEAM.encode(), command_value("exclude", 1, reason="bot"))
    else:
        log.append(TEAM.encode(), command_value("erase", 1))
    log.tick(AFTER)
    run = play(log.records)
    (event,) = [event for event in run.events if "reask" in event.kind]
    assert (event.kind, event.at_ms, event.case.reask_due_ms) == ("followup.reask_withheld", START_MS + AFTER, None)
    assert case_of(run) == event.case


def test_whoever_has_answered_already_is_not_asked(log: LogBuilder) -> None:
    log.now_ms += DAY
    log.answer(2, 9, reask_of=case_id(1))
    log.tick(AFTER)
    run = play(log.records)
    assert told(run) == ["raised", "resolved", "reasked"]
    assert case_of(run).reask_due_ms is None


# -- the pair ----------------------------------------------------------------------------------------------------------


def test_the_case_tells_what_the_customer_answered_when_asked_again(log: LogBuilder) -> None:
    log.tick(AFTER + HOUR)
    log.answer(2, 9, respondent="anna", reask_of=case_id(1))
    run = play(log.records)
    event = run.events[-1]
    assert told(run) == ["raised", "resolved", "reask", "reasked"]
    assert event.response_id == response_id(2)
    assert event.case.reask == pair(2, 9, log.now_ms)
    assert (event.case.state, event.case.score, event.case.answers) == ("resolved", 3, (response_id(1),))
    assert case_of(run) == event.case
    change = run.answers[-1][1]
    assert (change.reask_of, change.case_id) == (case_id(1), None)
    assert run.scores[TEAM].windows[0].all.promoters == 1, "it counts like any other answer"


def test_a_tool_may_ask_of_its_own_accord_also_while_the_case_is_open() -> None:
    log = LogBuilder()
    log.answer(1, 3)
    log.answer(2, 8, reask_of=case_id(1))
    assert case_of(play(log.records)).reask == pair(2, 8, START_MS)


def test_a_customer_who_is_unhappy_still_raises_a_case_that_says_so(log: LogBuilder) -> None:
    log.now_ms += AFTER
    log.answer(2, 2, respondent="anna", reask_of=case_id(1))
    run = play(log.records)
    assert told(run) == ["raised", "resolved", "reask", "reasked", "raised"]
    first, second = case_of(run), case_of(run, 2)
    assert (first.state, first.reask) == ("resolved", pair(2, 2, log.now_ms))
    assert (second.state, second.reask_of, second.reask) == ("open", case_id(1), None)
    assert resolved_of(run.state, TEAM, response_id(2)).case_id == case_id(2)


@pytest.mark.parametrize(
    "named",
    [case_id(7), case_id(1, TEAMS[1]), "no id", "é" * 36, case_id(2)],
    ids=["none", "another team's", "no id", "not ascii", "its own"],
)
def test_an_answer_that_names_no_case_of_its_team_or_its_own_counts_and_nothing_is_linked(
    log: LogBuilder, named: str
) -> None:
    log.answer(1, 3, team=TEAMS[1])
    log.answer(2, 2, reask_of=named)
    run = play(log.records)
    assert run.rejects == []
    assert [case.reask for case in cases_of(run.state).values()] == [None] * 3
    assert run.scores[TEAM].windows[0].all.detractors == 2


def test_an_answer_that_came_before_the_case_is_linked_when_it_is_changed_next(log: LogBuilder) -> None:
    log.answer(3, 9, reask_of=case_id(2))
    log.answer(2, 3)
    assert case_of(play(log.records), 2).reask is None
    log.answer(3, 10, reask_of=case_id(2), revision=1)
    assert case_of(play(log.records), 2).reask == pair(3, 10, START_MS)


def test_an_answer_sent_again_says_nothing_again(log: LogBuilder) -> None:
    log.answer(2, 9, reask_of=case_id(1))
    log.append(log.records[-1].key, log.records[-1].value)
    run = play(log.records)
    assert told(run).count("reasked") == 1


def test_the_pair_follows_the_answers_edits(log: LogBuilder) -> None:
    log.answer(2, 9, reask_of=case_id(1))
    log.now_ms += MINUTE
    log.answer(2, 7, revision=1, reask_of=case_id(1), comment="the same time")
    run = play(log.records)
    assert told(run)[-2:] == ["reasked", "reasked"]
    assert case_of(run).reask == pair(2, 7, START_MS)


def test_the_first_answer_is_the_one_and_the_next_takes_its_place_only_when_it_is_changed(log: LogBuilder) -> None:
    log.answer(2, 9, reask_of=case_id(1))
    log.answer(3, 4, reask_of=case_id(1))
    assert case_of(play(log.records)).reask == pair(2, 9, START_MS)
    log.append(TEAM.encode(), command_value("erase", 2))
    assert case_of(play(log.records)).reask is None
    log.answer(3, 5, reask_of=case_id(1), revision=1)
    assert case_of(play(log.records)).reask == pair(3, 5, START_MS)


@pytest.mark.parametrize("how", ["exclude", "erase", "erase_respondent", "names none", "names another", "test"])
def test_the_pair_forgets_an_answer_that_counts_no_more_or_names_the_case_no_more(log: LogBuilder, how: str) -> None:
    log.answer(4, 1, respondent="bo")
    log.answer(2, 9, respondent="anna's other address", reask_of=case_id(1))
    again: dict[str, Any] = {"respondent": "anna's other address", "revision": 1}
    if how == "exclude":
        log.append(TEAM.encode(), command_value("exclude", 2, reason="bot"))
    elif how == "erase":
        log.append(TEAM.encode(), command_value("erase", 2))
    elif how == "erase_respondent":
        log.append(None, erase_respondent_value("anna's other address"))
    elif how == "names none":
        log.answer(2, 9, **again)
    elif how == "names another":
        log.answer(2, 9, **again, reask_of=case_id(4))
    else:
        log.answer(2, 9, **again, reask_of=case_id(1), test=True)
    run = play(log.records)
    (event,) = [event for event in run.events if event.kind == "followup.reask_forgotten"]
    assert (event.case.case_id, event.case.reask, event.response_id) == (case_id(1), None, response_id(2))
    assert case_of(run) == event.case
    assert (case_of(run, 4).reask is not None) == (how == "names another")


def test_an_answer_that_counts_again_is_linked_again(log: LogBuilder) -> None:
    log.answer(2, 9, reask_of=case_id(1))
    log.append(TEAM.encode(), command_value("exclude", 2, reason="bot"))
    log.append(TEAM.encode(), command_value("include", 2, reason="bot"))
    run = play(log.records)
    assert told(run)[-3:] == ["reasked", "reask_forgotten", "reasked"]
    assert case_of(run).reask == pair(2, 9, START_MS)


def test_a_case_forgets_what_its_opening_answer_was_asked_for_when_that_is_erased(log: LogBuilder) -> None:
    log.answer(2, 2, reask_of=case_id(1))
    log.append(TEAM.encode(), command_value("erase", 2))
    run = play(log.records)
    assert (case_of(run, 2).reask_of, case_of(run).reask) == (None, None)
    assert run.answers[-1][1].reask_of is None


# -- what outlives what ------------------------------------------------------------------------------------------------


def outlived(log: LogBuilder, score: int) -> Run:
    """401 days after answer 2: its own case, if any, has left, and the case that tells of it was noted on meanwhile."""
    log.answer(2, score, reask_of=case_id(1))
    if score <= 6:
        log.policy()  # or asking about it, too, would keep its case for longer
        log.act(2, "resolve")
    log.now_ms += 100 * DAY
    log.append(TEAM.encode(), act_value(1, "note", 900))
    log.tick(301 * DAY)
    return play(log.records)


@pytest.mark.parametrize("score", [9, 2])
def test_an_answer_is_known_as_long_as_a_case_tells_of_it_so_that_it_can_be_erased(log: LogBuilder, score: int) -> None:
    run = outlived(log, score)
    assert case_of(run).reask == pair(2, score, START_MS)
    assert case_id(2) not in cases_of(run.state)
    assert resolved_of(run.state, TEAM, response_id(2)).case_id is None
    run.fold([log.append(TEAM.encode(), command_value("erase", 2))])
    assert case_of(run).reask is None
    log.tick(401 * DAY)
    run.fold(log.records[-1:])
    assert cases_of(run.state) == {}


def test_an_old_answer_whose_own_case_has_left_can_be_edited(log: LogBuilder) -> None:
    run = outlived(log, 2)
    run.fold([log.answer(2, 1, revision=1, reask_of=case_id(1), answered_ms=START_MS)])
    assert case_of(run).reask == pair(2, 1, START_MS)
    assert resolved_of(run.state, TEAM, response_id(2)).not_raised == "too_old"


def test_an_answer_leaves_with_the_last_case_that_needs_it(log: LogBuilder) -> None:
    run = outlived(log, 2)
    run.fold([log.tick(100 * DAY)])
    left = [key for key in run.state.data if key[:1] in b"rca"]
    assert left == []


def test_a_carry_brings_the_pair_and_an_answer_too_old_for_the_log(log: LogBuilder) -> None:
    log.act(1, "reopen")
    log.answer(2, 9, respondent="anna", reask_of=case_id(1))
    for _ in range(15):
        log.tick(28 * DAY)
    whole = play(log.records)
    carried = carries(whole.state)
    assert carried, "it is due to be said again"
    later = LogBuilder(log.now_ms, log.next_offset)
    for key, value in carried:
        later.append(key, value)
    late = play(later.records)
    assert case_of(late).reask == case_of(whole).reask == pair(2, 9, START_MS)
    found = resolved_of(late.state, TEAM, response_id(2))
    assert (found.case_id, values.reask_of(found), found.score) == (None, case_id(1), 9)
    late.fold([later.append(TEAM.encode(), command_value("erase", 2))])
    assert case_of(late).reask is None


def test_other_answers_are_stored_as_they_were_before_there_was_such_a_thing() -> None:
    log = LogBuilder()
    log.answer(1, 9)
    log.answer(2, 9, reask_of=case_id(1))
    run = play(log.records)
    plain, longer = (run.state.data[keys.answer(TEAM, response_id(number))] for number in (1, 2))
    assert plain[1:2] == b"\x9e"
    assert longer[1:2] == b"\x9f"
    assert values.RESOLVED.pack(values.RESOLVED.unpack(longer)) == longer
