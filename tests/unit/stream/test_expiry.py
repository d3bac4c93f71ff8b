"""What leaves the state with the horizon, by example and over two simulated years."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from stream.comparing import compare_states
from stream.domain import keys, values
from stream.domain.minutes import HORIZON, HORIZON_MS
from tests.unit.stream.fakes import (
    DAY,
    HOUR,
    MINUTE,
    PARTITION,
    START_MS,
    TEAMS,
    LogBuilder,
    Record,
    Run,
    command_value,
    erase_respondent_value,
    play,
    response_id,
)
from tests.unit.stream.recount import Recount

TEAM = TEAMS[0]


def letters(run: Run) -> Counter[str]:
    """How many keys of each kind the state holds."""
    return Counter(chr(key[0]) for key in run.state.data)


def kept(run: Run, number: int) -> values.Resolved | None:
    raw = run.state.data.get(keys.answer(TEAM, response_id(number)))
    return None if raw is None else values.RESOLVED.unpack(raw)


def command(log: LogBuilder, kind: str, number: int, **fields: str) -> None:
    log.append(TEAM.encode(), command_value(kind, number, **fields))


@pytest.fixture
def log() -> LogBuilder:
    return LogBuilder()


def test_an_answer_leaves_with_everything_of_it_a_minute_after_400_days(log: LogBuilder) -> None:
    log.answer(1, 9, respondent="anna")
    log.tick(HORIZON_MS)
    run = play(log.records)
    assert letters(run) == Counter("ralpwhm")
    log.tick(1)
    run.fold(log.records[-1:])
    assert letters(run) == Counter("wm")


def test_it_leaves_400_days_after_it_came_however_long_before_that_it_was_given(log: LogBuilder) -> None:
    log.answer(1, 9, answered_ms=START_MS - 399 * DAY)
    log.answer(2, 9, answered_ms=START_MS - 500 * DAY)
    log.tick(HORIZON_MS)
    run = play(log.records)
    assert letters(run)["r"] == 2
    assert letters(run)["p"] == 1
    log.tick(MINUTE)
    assert letters(play(log.records)) == Counter("wm")


def test_a_revision_of_what_is_known_but_older_than_the_horizon_changes_no_pane(log: LogBuilder) -> None:
    log.answer(1, 9, answered_ms=START_MS - 399 * DAY)
    log.now_ms += 2 * DAY
    log.answer(1, 3, revision=1)
    run = play(log.records)
    assert run.answers[-1][1].score == 3
    assert [item.cause for _, item in run.corrections] == ["late"]
    (pane,) = [values.PANE.unpack(raw) for key, raw in run.state.data.items() if key[:1] == b"p"]
    assert (pane[9], pane[3]) == (1, 0)


def test_a_revision_of_what_has_left_is_one_of_an_unknown_answer(log: LogBuilder) -> None:
    log.answer(1, 9)
    log.answer(2, 9)
    log.tick(HORIZON_MS + MINUTE)
    log.answer(1, 3, revision=1)
    log.answer(2, 3, revision=1, answered_ms=START_MS)
    run = play(log.records)
    assert [reject.reason for reject in run.rejects] == ["unknown_original"]
    assert [(answer.history, answer.first_offset) for _, answer in run.answers[2:]] == [(True, 4)]
    assert letters(run)["p"] == 0


def test_an_erased_id_stays_erased_and_one_that_has_left_can_still_be_erased(log: LogBuilder) -> None:
    for number in (1, 2):
        log.answer(number, 9, respondent="anna")
    command(log, "erase", 1)
    log.tick(HORIZON_MS + MINUTE)
    command(log, "erase", 2)
    log.answer(1, 9)
    log.answer(2, 9)
    log.tick(2 * HORIZON_MS)
    run = play(log.records)
    assert letters(run) == Counter("rrwm" + "hyy")  # and both are to be said again in the log
    assert [reject.reason for reject in run.rejects] == ["erased", "erased"]
    assert [(name, answer.erased) for name, answer in run.answers[-1:]] == [(TEAM, True)]
    assert run.tombstones[-1] == f"{TEAM}|{response_id(2)}".encode()


def test_the_marks_of_an_answer_that_never_comes_go_400_days_after_the_last(log: LogBuilder) -> None:
    command(log, "exclude", 1, reason="bot")
    log.tick(300 * DAY)
    command(log, "exclude", 1, reason="invalid")
    log.tick(HORIZON_MS)
    run = play(log.records)
    assert kept(run, 1) is not None
    log.tick(MINUTE)
    assert letters(play(log.records)) == Counter("m")


def test_marks_that_came_before_their_answer_stay_as_long_as_it_does(log: LogBuilder) -> None:
    command(log, "exclude", 1, reason="bot")
    log.tick(300 * DAY)
    log.answer(1, 3)
    log.tick(HORIZON_MS)
    left = kept(play(log.records), 1)
    assert left is not None
    assert left.reasons == ("bot",)


def test_a_closed_case_leaves_after_its_last_change_and_an_open_one_stays(log: LogBuilder) -> None:
    log.answer(1, 3, respondent="anna")
    log.answer(2, 3, respondent="bo")
    log.tick(300 * DAY)
    log.answer(1, 9, respondent="anna", revision=1)
    log.tick(HORIZON_MS)
    assert letters(play(log.records))["c"] == 2
    log.tick(MINUTE)
    run = play(log.records)
    assert (letters(run)["c"], letters(run)["q"]) == (1, 1)
    log.tick(1_000 * DAY)
    run = play(log.records)
    assert (letters(run)["c"], letters(run)["q"]) == (1, 1)


def test_an_answer_of_an_open_case_is_still_known_after_400_days(log: LogBuilder) -> None:
    log.answer(1, 3)
    log.tick(HORIZON_MS + DAY)
    log.answer(1, 5)
    run = play(log.records)
    assert [(event.kind, event.case.n) for event in run.caused] == [
        ("followup.raised", 1),
        ("followup.answer_edited", 4),  # after both clocks
    ]
    log.answer(1, 9, revision=1)
    assert play(log.records).events[-1].kind == "followup.rescored"


def test_what_opened_a_case_takes_it_along_when_it_is_edited_to_somebody_else_after_400_days(log: LogBuilder) -> None:
    log.answer(1, 3, respondent="anna")
    log.tick(HORIZON_MS + DAY)
    log.answer(2, 4, respondent="anna")
    log.answer(1, 5, respondent="bo")
    run = play(log.records)
    cases = [values.CASE.unpack(raw) for key, raw in run.state.data.items() if key[:1] == b"c"]
    assert sorted((case.respondent or "", case.answers) for case in cases) == [
        ("anna", (response_id(2),)),
        ("bo", (response_id(1),)),
    ]


def test_an_old_answer_can_be_erased_from_its_open_case(log: LogBuilder) -> None:
    log.answer(1, 3, respondent="anna", survey="s")
    log.tick(HORIZON_MS + DAY)
    command(log, "erase", 1)
    case = play(log.records).events[-1].case
    assert (case.state, case.respondent, case.survey) == ("withdrawn", None, None)


def test_an_answer_leaves_with_its_closed_case_and_so_do_its_marks(log: LogBuilder) -> None:
    log.answer(1, 3, respondent="anna")
    log.tick(300 * DAY)
    log.answer(1, 9, respondent="anna", revision=1)
    log.tick(200 * DAY)
    command(log, "exclude", 1, reason="bot")  # the case changes once more
    log.tick(HORIZON_MS)
    run = play(log.records)
    assert letters(run) == Counter("rachwmy")  # excluded, it is nobody's newest; y: to be said again
    assert [event.kind for event in run.caused] == ["followup.raised", "followup.rescored", "followup.answer_edited"]
    log.tick(MINUTE)
    assert letters(play(log.records)) == Counter("wm")


def test_an_open_case_stays_open_when_the_answer_that_joined_it_is_edited_up_long_after(log: LogBuilder) -> None:
    def anna(day: int, number: int, score: int, revision: int = 0) -> None:
        log.now_ms = START_MS + day * DAY
        log.answer(number, score, respondent="anna", revision=revision)

    anna(0, 1, 3)
    anna(200, 2, 4)
    anna(500, 2, 9, revision=1)
    assert play(log.records).caused[-1].kind == "followup.answer_edited"
    anna(501, 1, 9, revision=1)
    run = play(log.records)
    assert (run.caused[-1].kind, run.caused[-1].case.state) == ("followup.rescored", "rescored")
    log.tick(HORIZON_MS + MINUTE)
    assert letters(play(log.records)) == Counter("wm")


def test_an_answer_that_changes_its_case_for_another_leaves_with_that(log: LogBuilder) -> None:
    log.answer(1, 3, respondent="anna")
    log.answer(2, 3, respondent="anna")
    log.tick(HORIZON_MS + DAY)
    log.answer(2, 2, respondent="bo", revision=1)
    log.answer(1, 9, respondent="anna", revision=1)
    log.tick(HORIZON_MS + MINUTE)
    run = play(log.records)
    assert kept(run, 1) is None
    left = kept(run, 2)
    assert left is not None
    (case,) = [values.CASE.unpack(raw) for key, raw in run.state.data.items() if key[:1] == b"c"]
    assert (case.case_id, case.respondent, case.state) == (left.case_id, "bo", "open")


def test_an_id_that_comes_again_when_all_of_it_has_left_tells_events_of_ids_of_their_own(log: LogBuilder) -> None:
    for again in range(3):
        log.answer(1, 3, content=f"{again}-a")
        log.tick(DAY)
        log.answer(1, 9, revision=1, content=f"{again}-b")
        log.tick(HORIZON_MS + MINUTE)
    run = play(log.records)
    assert [event.kind for event in run.caused] == ["followup.raised", "followup.rescored"] * 3
    assert len({event.case.case_id for event in run.events}) == 1
    assert len({event.event_id for event in run.events}) == len(run.events)
    assert len({event.case.n for event in run.events}) == len(run.events) / 3


def two_years(least: int = 0) -> list[Record]:
    """Two teams, some three answers a day: edits, exclusions and erasures of old and new, late answers.

    `least`: the lowest score.
    """
    draw = random.Random(20_261_122)
    log = LogBuilder()
    number = 0
    while log.now_ms < START_MS + 730 * DAY:
        log.now_ms += draw.choice((HOUR, 4 * HOUR, 9 * HOUR, 15 * HOUR))
        team = draw.choice(TEAMS[:2])
        which = draw.randrange(max(0, number - 1_200), number + 3)
        kind = draw.random()
        who = {"respondent": f"r{draw.randrange(40)}"} if draw.random() < 0.5 else {}
        if kind < 0.8:
            number += 1
            age = draw.choice((0, 0, 0, HOUR, 3 * DAY, 100 * DAY, 399 * DAY, 420 * DAY))
            log.answer(number, draw.randrange(least, 11), team=team, answered_ms=log.now_ms - age, **who)
        elif kind < 0.9:
            log.answer(which, draw.randrange(least, 11), team=team, revision=1, **who)
        elif kind < 0.97:
            log.append(team.encode(), command_value("exclude", which, reason=draw.choice(("bot", "invalid"))))
        elif kind < 0.99:
            log.append(team.encode(), command_value("erase", which))
        else:
            log.append(None, erase_respondent_value(f"r{draw.randrange(40)}"))
    return log.records


def test_over_two_years_the_scores_are_the_recount_s_and_the_state_stops_growing() -> None:
    records = two_years()
    run, truth = Run(), Recount(PARTITION)
    sizes: dict[int, int] = {}
    for at in range(0, len(records), 12):
        batch = records[at : at + 12]
        run.outputs.clear()
        run.fold(batch)
        for record in batch:
            truth.read(record)
        day = (batch[-1].timestamp - START_MS) // DAY
        sizes[day] = len(run.state.data) - len(truth.erased)
        for team, scores in run.scores.items():
            for window in scores.windows:
                for policy, shown in (("all", window.all), ("latest", window.latest)):
                    counted = truth.counts(team, policy, truth.minute, window.minutes)
                    assert (shown.detractors, shown.passives, shown.promoters) == counted
    known = {keys.answer(*name) for name in (*truth.answers, *truth.erased)}
    held = {key for key in run.state.data if key[:1] == b"r"}
    assert known <= held
    others = [values.RESOLVED.unpack(run.state.data[key]) for key in held - known]
    # Marks alone, and what a case has kept.
    assert all(other.first_offset == values.NOT_GIVEN or other.minute < truth.closed for other in others)
    assert max(keys.pane_minute(key) for key in run.state.data if key[:1] == b"p") <= truth.minute
    full = max(size for day, size in sizes.items() if 390 <= day <= 410)
    assert max(size for day, size in sizes.items() if day > 410) < 1.15 * full


def test_a_log_without_its_first_300_days_comes_to_the_same_state_inside_the_horizon() -> None:
    """Of 730 days 430 are left, as retention leaves them."""
    records = two_years(least=7)
    cut = next(index for index, record in enumerate(records) if record.timestamp >= START_MS + 300 * DAY)
    whole, rest = play(records, range(0, len(records), 90)), play(records[cut:], range(0, len(records) - cut, 70))
    since_ms = (whole.state.meta.known_ms // MINUTE - HORIZON) * MINUTE
    tally = compare_states(sorted(whole.state.data.items()), sorted(rest.state.data.items()), since_ms)
    assert tally.compared > 1_000
    assert (tally.different, tally.first) == (0, [])
