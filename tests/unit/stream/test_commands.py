"""Exclusion, inclusion and erasure by example."""

from __future__ import annotations

import pytest

from tests.unit.stream.fakes import (
    HOUR,
    MINUTE,
    PARTITION,
    TEAMS,
    LogBuilder,
    Run,
    command_value,
    erase_respondent_value,
    play,
    response_id,
)
from tests.unit.stream.recount import Recount

TEAM = TEAMS[0]


@pytest.fixture
def log() -> LogBuilder:
    return LogBuilder()


def command(log: LogBuilder, kind: str, number: int, team: str = TEAM, **fields: str) -> None:
    log.append(team.encode(), command_value(kind, number, **fields))


def exclude(log: LogBuilder, number: int, reason: str) -> None:
    command(log, "exclude", number, reason=reason)


def include(log: LogBuilder, number: int, reason: str) -> None:
    command(log, "include", number, reason=reason)


def shown(run: Run, team: str = TEAM) -> tuple[int, int, int]:
    """(D, N, P) of the widest live window, policy `all`."""
    counts = run.scores[team].windows[-1].all
    return counts.detractors, counts.passives, counts.promoters


def test_an_excluded_answer_is_not_counted_until_its_last_reason_is_taken_back(log: LogBuilder) -> None:
    log.answer(1, 9)
    exclude(log, 1, "bot")
    exclude(log, 1, "invalid")
    include(log, 1, "bot")
    run = play(log.records)
    assert shown(run) == (0, 0, 0)
    assert run.answers[-1][1].reasons == ("invalid",)
    include(log, 1, "invalid")
    run = play(log.records)
    assert shown(run) == (0, 0, 1)
    assert [item.cause for _, item in run.corrections] == ["exclusion", "inclusion"]


def test_a_reason_may_come_before_the_answer_and_survives_its_revisions(log: LogBuilder) -> None:
    exclude(log, 1, "duplicate_person")
    log.answer(1, 9)
    log.answer(1, 3, revision=1)
    run = play(log.records)
    assert [answer.reasons for _, answer in run.answers] == [("duplicate_person",)] * 2
    assert (run.corrections, run.events, run.scores) == ([], [], {})


def test_a_command_overrides_what_an_answer_says_of_being_a_test(log: LogBuilder) -> None:
    log.answer(1, 9, test=True)
    include(log, 1, "test")
    log.answer(1, 10, test=True, revision=1)
    log.answer(2, 9)
    exclude(log, 2, "test")
    run = play(log.records)
    assert shown(run) == (0, 0, 1)


def test_excluding_a_detractor_withdraws_its_case_and_including_it_reopens_the_same(log: LogBuilder) -> None:
    log.answer(1, 2, respondent="anna")
    exclude(log, 1, "bot")
    include(log, 1, "bot")
    events = play(log.records).events
    assert [event.kind for event in events] == ["followup.raised", "followup.withdrawn", "followup.reopened"]
    assert len({event.case.case_id for event in events}) == 1


def test_a_respondent_s_next_answer_is_the_latest_when_the_newest_is_excluded(log: LogBuilder) -> None:
    log.answer(1, 3, respondent="anna")
    log.now_ms += HOUR
    log.answer(2, 9, respondent="anna")
    exclude(log, 2, "invalid")
    latest = play(log.records).scores[TEAM].windows[-1].latest
    assert (latest.detractors, latest.promoters) == (1, 0)


def test_an_erased_answer_leaves_the_counts_and_its_case_and_is_said_to_be_erased(log: LogBuilder) -> None:
    log.answer(1, 2, respondent="anna", survey="s", channel="web", attributes={"tier": "gold"})
    log.now_ms += 5 * MINUTE
    command(log, "erase", 1)
    run = play(log.records)
    assert shown(run) == (0, 0, 0)
    (_, said) = run.answers[-1]
    assert (said.erased, said.score, said.respondent, said.survey, said.reasons) == (True, 0, None, None, ())
    assert [(item.cause, len(item.deltas)) for _, item in run.corrections] == [("erasure", 2)]
    case = run.events[-1].case
    assert (case.state, case.respondent, case.survey, case.channel) == ("withdrawn", None, None, None)
    assert case.attributes == {}
    assert run.tombstones == [f"{TEAM}|{response_id(1)}".encode()]


def test_a_late_retry_of_an_erased_answer_is_rejected_without_its_record_and_its_text_goes_again(
    log: LogBuilder,
) -> None:
    log.answer(1, 9)
    command(log, "erase", 1)
    log.answer(1, 9)
    exclude(log, 1, "bot")
    run = play(log.records)
    assert [(reject.reason, reject.record) for reject in run.rejects] == [("erased", None)] * 2
    assert len(play(log.records, range(4)).tombstones) == 2
    assert shown(run) == (0, 0, 0)


def test_an_id_may_be_erased_before_its_answer_comes(log: LogBuilder) -> None:
    command(log, "erase", 1)
    log.answer(1, 3)
    run = play(log.records)
    assert [reject.reason for reject in run.rejects] == ["erased"]
    assert [answer.erased for _, answer in run.answers] == [True]
    assert (run.events, run.scores) == ([], {})


def test_erasing_a_respondent_erases_what_they_said_in_every_team_so_far(log: LogBuilder) -> None:
    for number, team in enumerate((TEAMS[0], TEAMS[0], TEAMS[1])):
        log.answer(number, 2, team=team, respondent="anna")
    log.answer(7, 9, team=TEAMS[1], respondent="bo")
    log.append(None, erase_respondent_value("anna"))
    log.answer(8, 10, respondent="anna")  # given afterwards: it is another one
    run = play(log.records)
    assert (shown(run, TEAMS[0]), shown(run, TEAMS[1])) == ((0, 0, 1), (0, 0, 1))
    assert {answer.response_id for _, answer in run.answers if answer.erased} == {response_id(n) for n in range(3)}
    assert {event.case.state for event in run.events[-3:]} <= {"withdrawn", "open"}
    assert Recount.of(log.records, PARTITION).erased == {
        (TEAMS[0], response_id(0)),
        (TEAMS[0], response_id(1)),
        (TEAMS[1], response_id(2)),
    }


def test_a_case_stays_open_for_another_answer_of_the_same_person(log: LogBuilder) -> None:
    log.answer(1, 2, respondent="anna")
    log.answer(2, 3, respondent="anna")
    command(log, "erase", 1)
    events = play(log.records).events
    assert [event.kind for event in events][-1] == "followup.answer_erased"
    assert (events[-1].case.state, events[-1].case.respondent) == ("open", "anna")


def test_a_case_whose_opening_answer_was_erased_forgets_the_person_when_the_last_other_answer_leaves(
    log: LogBuilder,
) -> None:
    log.answer(1, 2, respondent="anna")
    log.answer(2, 3, respondent="anna")
    command(log, "erase", 1)
    log.answer(2, 3, respondent="bo", revision=1)
    run = play(log.records)
    first = [event for event in run.events if event.case.response_id == response_id(1)]
    assert (first[-1].kind, first[-1].case.state, first[-1].case.respondent) == ("followup.rescored", "rescored", None)
    assert {event.case.respondent for event in run.events if event.case.response_id == response_id(2)} == {"bo"}
    log.answer(3, 4, respondent="anna")
    assert play(log.records).events[-1].kind == "followup.raised", "the closed case takes no further answer"


@pytest.mark.parametrize("left", [False, True], ids=["in-the-older-case", "in-no-case"])
def test_a_joined_case_keeps_nothing_of_its_erased_opening_answer(log: LogBuilder, left: bool) -> None:
    log.answer(1, 2, respondent="anna")
    log.now_ms += MINUTE
    log.answer(2, 3, survey="s", channel="web", locale="da", medium="sms", callback_ms=log.now_ms, personal=True)
    log.answer(2, 3, respondent="anna", revision=1, survey="s", personal=True, attributes={"tier": "gold"})
    if left:
        log.answer(2, 9, respondent="bo", revision=2)
    joined = play(log.records)
    command(log, "erase", 2)
    events = play(log.records).events[len(joined.events) :]
    own = next(event for event in events if event.case.response_id == response_id(2))
    case = own.case
    assert (own.kind, case.state) == ("followup.answer_erased", "joined")
    assert (case.respondent, case.survey, case.channel, case.locale, case.medium) == (None,) * 5
    assert (case.callback_ms, case.personal, case.attributes) == (None, False, {})
    assert len(events) == (1 if left else 2)


def test_a_case_that_joins_after_its_opening_answer_was_erased_keeps_nobodys_key(log: LogBuilder) -> None:
    log.answer(2, 3)
    log.now_ms += MINUTE
    log.answer(1, 2, respondent="anna", survey="s", personal=True)
    log.answer(3, 4, respondent="anna")
    command(log, "erase", 1)
    log.answer(2, 3, respondent="anna", revision=1)
    run = play(log.records)
    (joined,) = [event.case for event in run.events if event.kind == "followup.joined"]
    assert (joined.response_id, joined.respondent, joined.personal) == (response_id(1), None, False)
    assert run.events[-1].case.answers == (response_id(2), response_id(1), response_id(3))
    assert run.events[-1].case.respondent == "anna"


def test_a_command_about_a_team_of_another_partition_is_rejected(log: LogBuilder) -> None:
    command(log, "exclude", 1, team="team-1", reason="bot")
    log.append(None, command_value("erase", 1))
    log.append(TEAM.encode(), b'{"type":"exclude","response_id":"short","reason":"bot"}')
    log.append(TEAM.encode(), command_value("exclude", 1, reason="dislike"))
    reasons = [reject.reason for reject in play(log.records).rejects]
    assert reasons == ["wrong_partition", "no_key", "bad_field", "undecodable"]
