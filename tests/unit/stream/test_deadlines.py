"""What falls due by example: told once, in order, as of its moment, before the record that moved time."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from schemas.feedback import Policy
from schemas.followups import State
from schemas.policies import TeamPolicy
from stream.domain import clocks, deadlines, keys, values
from stream.domain.work import Work
from tests.unit.stream.fakes import (
    DAY,
    HOUR,
    MINUTE,
    PARTITION,
    START_MS,
    TEAMS,
    LogBuilder,
    Run,
    office_hours,
    play,
    response_id,
)

TEAM = TEAMS[0]
SHORT: dict[str, Any] = {"contact_ms": HOUR, "resolve_ms": 5 * HOUR}
BOTH = SHORT | {"remind_ms": [10 * MINUTE], "escalate_ms": [0, 2 * HOUR]}


@pytest.fixture
def log() -> LogBuilder:
    return LogBuilder()


def told(run: Run) -> list[tuple[str, str | None, int | None, int]]:
    """(kind, clock, level, minutes since the log began) of what clocks told."""
    return [
        (event.kind.removeprefix("followup."), event.clock, event.level, (event.at_ms - START_MS) // MINUTE)
        for event in run.events
        if event.clock is not None
    ]


def test_a_case_nobody_sees_to_is_reminded_of_breached_and_escalated_on_both_clocks(log: LogBuilder) -> None:
    log.policy(**BOTH)
    log.answer(1, 3)
    log.tick(30 * DAY)
    run = play(log.records)
    assert told(run) == [
        ("reminder", "contact", None, 50),
        ("breached", "contact", None, 60),
        ("escalated", "contact", 1, 60),
        ("escalated", "contact", 2, 180),
        ("reminder", "resolve", None, 290),
        ("breached", "resolve", None, 300),
        ("escalated", "resolve", 1, 300),
        ("escalated", "resolve", 2, 420),
    ]
    assert [event.case.n for event in run.events] == list(range(1, 10))
    assert run.events[-1].case.next_ms is None
    assert [key for key in run.state.data if key[:1] == keys.DEADLINE] == []


def test_a_deadline_falls_due_to_the_millisecond_and_once(log: LogBuilder) -> None:
    log.answer(1, 3)
    log.tick(10 * HOUR - 1)
    assert told(play(log.records)) == []
    log.tick(1)
    for _ in range(3):
        log.tick()
    run = play(log.records, range(len(log.records)))
    assert told(run) == [("breached", "contact", None, 600)]
    (event,) = [event for event in run.events if event.clock]
    assert (event.at_ms, event.case.changed_ms, event.case.version & 0xFF) == (START_MS + 10 * HOUR, event.at_ms, 2)
    assert (event.response_id, event.case.next_ms) == (None, START_MS + 72 * HOUR)


def test_all_that_is_due_is_told_in_the_order_of_time_and_case_before_the_record_that_moved_time(
    log: LogBuilder,
) -> None:
    log.policy(**SHORT)
    for number in range(1, 6):
        log.answer(number, 3)
    log.now_ms += MINUTE
    log.policy(contact_ms=30 * MINUTE, resolve_ms=5 * HOUR)
    log.answer(6, 3)
    log.tick(2 * HOUR)
    log.answer(7, 3)
    run = play(log.records)
    clocked = [event for event in run.events if event.clock]
    assert [(event.at_ms, event.case.case_id) for event in clocked] == sorted(
        (event.case.contact_due_ms, event.case.case_id) for event in clocked
    )
    assert clocked[0].case.response_id == response_id(6)
    assert run.events[-1].kind == "followup.raised"
    cut = play(log.records, range(len(log.records)))
    assert cut.events == run.events
    assert cut.state.data == run.state.data


def test_a_record_that_comes_at_the_very_moment_comes_too_late_and_one_before_it_in_time(log: LogBuilder) -> None:
    log.policy(**SHORT)
    log.answer(1, 3)
    log.answer(2, 3)
    log.now_ms += HOUR - 1
    log.answer(1, 9, revision=1)
    log.now_ms += 1
    log.answer(2, 9, revision=1)
    run = play(log.records)
    assert [(event.kind, event.case.response_id) for event in run.events[2:]] == [
        ("followup.rescored", response_id(1)),
        ("followup.breached", response_id(2)),
        ("followup.rescored", response_id(2)),
    ]


def test_a_case_that_is_opened_again_has_clocks_of_its_own(log: LogBuilder) -> None:
    log.policy(**SHORT)
    log.answer(1, 3)
    log.now_ms += 30 * MINUTE
    log.answer(1, 9, revision=1)
    assert told(play([*log.records, LogBuilder(log.now_ms + DAY, 9).tick()])) == []
    log.now_ms += 10 * MINUTE
    log.answer(1, 3, revision=2)
    log.tick(2 * HOUR)
    assert told(play(log.records)) == [("breached", "contact", None, 100)]


def test_a_younger_case_that_joins_an_older_one_says_nothing_any_more(log: LogBuilder) -> None:
    log.policy(**SHORT)
    log.answer(1, 3, respondent="anna")
    log.now_ms += 10 * MINUTE
    log.answer(2, 3)
    log.answer(2, 3, revision=1, respondent="anna")
    log.tick(DAY)
    run = play(log.records)
    assert {event.case.response_id for event in run.events if event.clock} == {response_id(1)}


def test_an_erased_answer_takes_its_case_s_clocks_along(log: LogBuilder) -> None:
    log.answer(1, 3)
    log.append(TEAM.encode(), b'{"type":"erase","response_id":"' + response_id(1).encode() + b'"}')
    log.tick(DAY)
    run = play(log.records)
    assert told(run) == []
    assert [key for key in run.state.data if key[:1] == keys.DEADLINE] == []


def test_another_time_to_be_called_at_moves_the_deadline(log: LogBuilder) -> None:
    log.answer(1, 3, callback_ms=START_MS + 2 * HOUR)
    log.answer(1, 3, revision=1, callback_ms=START_MS + HOUR)
    log.tick(5 * HOUR)
    assert told(play(log.records)) == [("breached", "contact", None, 60)]


def test_what_comes_next_is_worked_out_by_the_policy_of_the_last_event(log: LogBuilder) -> None:
    log.policy(**SHORT)
    log.answer(1, 3)
    log.policy(**SHORT, remind_ms=[30 * MINUTE], escalate_ms=[HOUR])
    log.tick(DAY)
    assert told(play(log.records)) == [
        ("breached", "contact", None, 60),
        ("escalated", "contact", 1, 120),
        ("reminder", "resolve", None, 270),
        ("breached", "resolve", None, 300),
        ("escalated", "resolve", 1, 360),
    ]


def test_reminders_and_levels_are_counted_in_working_hours(log: LogBuilder) -> None:
    hours = office_hours(30)
    log.policy(open=hours, until_ms=hours[-1], contact_ms=3 * HOUR, remind_ms=[HOUR], escalate_ms=[15 * MINUTE])
    log.answer(1, 3)  # at 14:14, with 2 h 46 left of the day
    log.tick(DAY)
    assert [(kind, minute / 60) for kind, _, _, minute in told(play(log.records))] == [
        ("reminder", 2.0),  # 16:14
        ("breached", 19.0),  # 09:14
        ("escalated", 19.25),
    ]


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("open", ["reminder", "breached", "escalated"]),
        ("acknowledged", ["reminder", "breached"]),
        ("contacted", []),
        ("snoozed", ["breached"]),
        *((state, []) for state in ("resolved", "rescored", "withdrawn", "joined")),
    ],
)
def test_what_is_said_of_the_first_contact_depends_on_the_state(state: State, expected: list[str]) -> None:
    log = LogBuilder()
    log.policy(**SHORT, remind_ms=[MINUTE], escalate_ms=[MINUTE])
    log.answer(1, 3)
    log.tick(2 * HOUR)
    run = Run()
    run.fold(log.records[:2])
    (event,) = run.events
    case = structs.replace(event.case, state=state)
    # As a person's command leaves it: the entry is that of the state.
    work = Work(run.state, run.state.meta, PARTITION, 1)
    kept = clocks.kept(work, structs.replace(case, changed_ms=START_MS))
    run.state.put(keys.case(TEAM, case.case_id), values.CASE.pack(kept))
    run.state.put(keys.deadline(event.case.next_ms or 0, case.case_id, TEAM), None)
    for key, raw in work.puts.items():
        run.state.put(key, raw)
    run.fold(log.records[2:])
    assert [kind for kind, clock, *_ in told(run) if clock == "contact"] == expected


def policies_of(fields: dict[str, Any]) -> TeamPolicy:
    return TeamPolicy(TEAM, 1, START_MS, Policy("r", **fields))


def test_the_keys_of_deadlines_are_in_the_order_of_time_then_case() -> None:
    found = [
        keys.deadline(due_ms, case_id * 36, team) for due_ms in (2, 1 << 40) for case_id in "ab" for team in ("x", "yy")
    ]
    assert found == sorted(found)
    assert [keys.split_deadline(key) for key in found[1:3]] == [(2, "a" * 36, "yy"), (2, "b" * 36, "x")]


def test_time_is_to_pass_when_a_window_moves_next_though_there_is_no_case() -> None:
    log = LogBuilder()
    log.answer(1, 9)
    state = play(log.records).state
    due = values.TEAM.unpack(state.data[keys.team(TEAM)]).due
    assert not deadlines.is_due(state, log.now_ms, (due - 1) * MINUTE)
    assert deadlines.is_due(state, log.now_ms, (due - 1) * MINUTE + 1)
