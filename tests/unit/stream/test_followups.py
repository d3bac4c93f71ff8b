"""Follow-up cases by example: raised once, joined, rescored, withdrawn, reopened, moved."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.followups import Case, FollowupEvent
from stream.domain import keys, values
from stream.domain.values import Resolved
from tests.unit.stream.fakes import DAY, HOUR, MINUTE, TEAMS, LogBuilder, Run, play, response_id

TEAM = TEAMS[0]


def kinds(run: Run) -> list[str]:
    return [event.kind.removeprefix("followup.") for event in run.events]


def states(run: Run) -> dict[int, str]:
    """Number of the opening answer to the state of its case."""
    numbers = {response_id(number): number for number in range(20)}
    return {numbers[event.case.response_id]: event.case.state for event in run.events}


def case_of(run: Run, number: int) -> Case | None:
    """The case an answer is in."""
    resolved = answer_of(run, number)
    if resolved.case_id is None:
        return None
    return values.CASE.unpack(run.state.data[keys.case(TEAM, resolved.case_id)])


def answer_of(run: Run, number: int) -> Resolved:
    return values.RESOLVED.unpack(run.state.data[keys.answer(TEAM, response_id(number))])


def last(run: Run) -> FollowupEvent:
    return run.events[-1]


def anna(log: LogBuilder, number: int, score: int, **fields: Any) -> None:
    log.answer(number, score, respondent="anna", **fields)


def test_a_detractor_answer_raises_a_case_with_both_clocks_running_from_its_append() -> None:
    log = LogBuilder()
    came_with: dict[str, Any] = {
        "survey": "s",
        "channel": "web",
        "locale": "da-DK",
        "medium": "phone",
        "callback_ms": log.now_ms - HOUR,
        "attributes": {"tier": "gold"},
    }
    log.answer(1, 4, answered_ms=log.now_ms - 2 * HOUR, respondent="anna", personal=True, **came_with)
    (event,) = play(log.records).events
    case = event.case
    assert (event.kind, event.at_ms, event.response_id) == ("followup.raised", log.now_ms, response_id(1))
    assert (case.team, case.response_id, case.score, case.state, case.n) == (TEAM, response_id(1), 4, "open", 1)
    assert case.raised_ms == case.changed_ms == log.now_ms
    assert case.contact_due_ms == log.now_ms + 10 * HOUR
    assert case.resolve_due_ms == log.now_ms + 3 * DAY
    assert case.answers == (response_id(1),)
    assert case.version == (1 << 48) + 0
    assert (case.respondent, case.survey, case.channel, case.locale) == ("anna", "s", "web", "da-DK")
    assert (case.medium, case.callback_ms, case.personal) == ("phone", log.now_ms - HOUR, True)
    assert case.attributes == {"tier": "gold"}


@pytest.mark.parametrize(
    ("score", "raised"), [pytest.param(6, True, id="top-of-detractors"), pytest.param(7, False, id="passive")]
)
def test_only_detractors_raise_a_case(score: int, raised: bool) -> None:
    log = LogBuilder()
    log.answer(1, score)
    assert kinds(play(log.records)) == (["raised"] if raised else [])


@pytest.mark.parametrize(
    ("age_ms", "reason"),
    [
        pytest.param(7 * DAY, None, id="seven-days"),
        pytest.param(7 * DAY + 1, "too_old", id="a-millisecond-more"),
        pytest.param(400 * DAY, "too_old", id="at-the-horizon"),
        pytest.param(400 * DAY + 1, "history", id="beyond-the-horizon"),
    ],
)
def test_an_old_detractor_is_not_raised_and_says_why(age_ms: int, reason: str | None) -> None:
    log = LogBuilder()
    log.answer(1, 0, answered_ms=log.now_ms - age_ms)
    run = play(log.records)
    assert answer_of(run, 1).not_raised == reason
    assert [change.not_raised for _, change in run.answers] == [reason]
    assert kinds(run) == (["raised"] if reason is None else [])


def test_an_excluded_detractor_raises_nothing_until_it_is_included() -> None:
    log = LogBuilder()
    log.answer(1, 0, test=True)
    log.answer(1, 0, revision=1)
    run = play(log.records[:1])
    assert (kinds(run), answer_of(run, 1).not_raised) == ([], None)
    run.fold(log.records[1:])
    assert kinds(run) == ["raised"]


def test_further_detractors_of_the_same_respondent_join_the_open_case() -> None:
    log = LogBuilder()
    anna(log, 1, 3)
    anna(log, 2, 0, personal=True)
    anna(log, 3, 9)
    run = play(log.records)
    assert kinds(run) == ["raised", "answer_joined"]
    assert last(run).case.answers == (response_id(1), response_id(2))
    assert (last(run).response_id, last(run).case.personal) == (response_id(2), True)


@pytest.mark.parametrize("who", [{}, {"respondent": "bo"}], ids=["unknown", "another"])
def test_anybody_else_gets_a_case_of_their_own(who: dict[str, Any]) -> None:
    log = LogBuilder()
    anna(log, 1, 3)
    log.answer(2, 3, **who)
    log.answer(3, 3, team=TEAMS[1], respondent="anna")
    assert kinds(play(log.records)) == ["raised", "raised", "raised"]


def test_a_detractor_after_the_case_was_closed_raises_a_new_one() -> None:
    log = LogBuilder()
    anna(log, 1, 3)
    anna(log, 1, 9, revision=1)
    anna(log, 2, 3)
    run = play(log.records)
    assert kinds(run) == ["raised", "rescored", "raised"]
    assert states(run) == {1: "rescored", 2: "open"}


def test_an_edit_to_seven_closes_the_case_as_rescored_and_back_to_six_reopens_it_with_new_clocks() -> None:
    log = LogBuilder()
    log.answer(1, 2)
    log.now_ms += HOUR
    log.answer(1, 7, revision=1)
    log.now_ms += 30 * DAY  # long after an answer may raise a case: it is not raised, it is reopened
    log.answer(1, 6, revision=2)
    run = play(log.records)
    assert kinds(run) == ["raised", "rescored", "reopened"]
    assert [event.case.score for event in run.events] == [2, 7, 6]
    case = last(run).case
    assert (case.raised_ms, case.contact_due_ms) == (log.records[0].timestamp, log.now_ms + 10 * HOUR)


def test_an_edit_within_the_detractors_only_says_so() -> None:
    log = LogBuilder()
    log.answer(1, 2, attributes={"tier": "gold"})
    log.answer(1, 5, revision=1, channel="mail", attributes={"tier": "tin"})
    run = play(log.records)
    assert kinds(run) == ["raised", "answer_edited"]
    assert (last(run).case.score, last(run).case.channel) == (5, "mail")
    assert last(run).case.attributes == {"tier": "tin"}


def test_a_case_tells_the_attributes_of_its_opening_answer_whoever_joins() -> None:
    log = LogBuilder()
    anna(log, 1, 2, attributes={"tier": "gold"})
    anna(log, 2, 3, attributes={"tier": "tin"})
    anna(log, 2, 4, revision=1, attributes={"tier": "lead"})
    assert [event.case.attributes for event in play(log.records).events] == [{"tier": "gold"}] * 3


def test_an_exclusion_closes_the_case_as_withdrawn_and_inclusion_reopens_it() -> None:
    log = LogBuilder()
    log.answer(1, 2)
    log.answer(1, 2, revision=1, test=True)
    log.answer(1, 2, revision=2)
    assert kinds(play(log.records)) == ["raised", "withdrawn", "reopened"]


def test_a_case_stays_open_while_another_of_its_answers_is_unhappy() -> None:
    log = LogBuilder()
    anna(log, 1, 3)
    anna(log, 2, 3)
    anna(log, 1, 9, revision=1)
    anna(log, 2, 9, revision=1)
    anna(log, 2, 1, revision=2)
    run = play(log.records)
    assert kinds(run) == ["raised", "answer_joined", "answer_edited", "rescored", "reopened"]
    assert [event.response_id for event in run.events] == [response_id(number) for number in (1, 2, 1, 2, 2)]
    assert last(run).case.score == 9  # the opening answer's


def test_a_duplicate_an_older_revision_and_a_replay_raise_nothing() -> None:
    log = LogBuilder()
    log.answer(1, 3, revision=1, answered_ms=log.now_ms)
    log.answer(1, 3, revision=1, answered_ms=log.records[0].timestamp)
    log.answer(1, 0)
    run = play(log.records)
    run.fold(log.records)
    assert kinds(run) == ["raised"]


def test_naming_a_respondent_with_an_open_case_closes_the_younger_case_as_joined() -> None:
    log = LogBuilder()
    anna(log, 1, 3)
    log.now_ms += MINUTE
    log.answer(2, 4)
    anna(log, 2, 4, revision=1)
    run = play(log.records)
    assert kinds(run) == ["raised", "raised", "joined", "answer_joined", "answer_edited"]
    assert states(run) == {1: "open", 2: "joined"}
    joined = run.events[2].case
    assert joined.joined_into == run.events[0].case.case_id
    case = case_of(run, 2)
    assert case is not None
    assert case.answers == (response_id(1), response_id(2))


def test_naming_a_respondent_whose_open_case_is_younger_draws_that_one_in() -> None:
    log = LogBuilder()
    log.answer(1, 4)
    log.now_ms += MINUTE
    anna(log, 2, 3)
    anna(log, 1, 4, revision=1)
    run = play(log.records)
    assert states(run) == {1: "open", 2: "joined"}
    assert case_of(run, 1) == case_of(run, 2)
    assert [change.case_id for _, change in run.answers if change.response_id == response_id(2)] == [
        run.events[1].case.case_id,
        run.events[0].case.case_id,
    ]


def test_reopening_beside_another_open_case_leaves_the_answer_in_the_older_one() -> None:
    log = LogBuilder()
    anna(log, 1, 3)
    log.now_ms += MINUTE
    log.answer(2, 3, respondent="bo")
    log.answer(2, 9, respondent="bo", revision=1)  # rescored
    log.answer(2, 9, respondent="anna", revision=2)  # a closed case goes along quietly
    anna(log, 2, 0, revision=3)
    run = play(log.records)
    assert kinds(run) == ["raised", "raised", "rescored", "answer_edited", "reopened", "joined", "answer_joined"]
    case = case_of(run, 2)
    assert case is not None
    assert (case.response_id, case.state, case.answers) == (response_id(1), "open", (response_id(1), response_id(2)))
    anna(log, 2, 1, revision=4)
    run.fold(log.records[-1:])
    assert kinds(run)[-1] == "answer_edited"
    assert last(run).case.case_id == case.case_id


def test_a_joined_answer_that_names_another_respondent_leaves_and_is_followed_up_however_old() -> None:
    log = LogBuilder()
    anna(log, 1, 3)
    anna(log, 2, 3)
    log.now_ms += 8 * DAY
    log.answer(2, 3, revision=1, respondent="bo")
    run = play(log.records)
    assert kinds(run) == ["raised", "answer_joined", "breached", "breached", "answer_edited", "raised"]
    assert run.events[4].case.answers == (response_id(1),)
    assert states(run) == {1: "open", 2: "open"}


def test_a_happy_answer_that_leaves_takes_no_case_along() -> None:
    log = LogBuilder()
    anna(log, 1, 3)
    anna(log, 2, 3)
    anna(log, 1, 9, revision=1)
    log.answer(2, 9, revision=1, respondent="bo")
    run = play(log.records)
    assert kinds(run) == ["raised", "answer_joined", "answer_edited", "answer_edited", "rescored"]
    assert (case_of(run, 2), answer_of(run, 2).not_raised) == (None, None)


def test_a_case_that_moves_with_its_opening_answer_leaves_the_first_respondents_other_answers_to_them() -> None:
    log = LogBuilder()
    anna(log, 1, 3)
    anna(log, 2, 0)
    anna(log, 3, 1)
    log.answer(1, 3, revision=1, respondent="bo")
    run = play(log.records)
    assert kinds(run)[3:] == ["raised", "answer_joined", "answer_edited"]
    of_bo, of_anna = case_of(run, 1), case_of(run, 2)
    assert of_bo is not None
    assert of_anna is not None
    assert (of_bo.respondent, of_bo.answers) == ("bo", (response_id(1),))
    assert (of_anna.respondent, of_anna.answers) == ("anna", (response_id(2), response_id(3)))
    assert case_of(run, 3) == of_anna


def test_an_answer_whose_case_was_joined_and_that_leaves_reopens_its_own_case_and_counts_its_events_on() -> None:
    log = LogBuilder()
    anna(log, 1, 3)
    log.now_ms += MINUTE
    log.answer(2, 4, respondent="bo")
    anna(log, 2, 4, revision=1)
    log.answer(2, 4, respondent="bo", revision=2)
    run = play(log.records)
    own = [event for event in run.events if event.case.response_id == response_id(2)]
    assert [event.kind for event in own] == ["followup.raised", "followup.joined", "followup.reopened"]
    assert [event.case.n for event in own] == [1, 2, 3]
    assert (own[-1].case.state, own[-1].case.joined_into) == ("open", None)
