"""Policies of teams by example: what holds, what is said of it, what cases are promised, and what is refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from schemas.feedback import Policy
from stream.domain import keys, policies, values
from stream.domain.reading import MOST_BYTES, read
from tests.unit.stream.fakes import (
    DAY,
    HOUR,
    MINUTE,
    START_MS,
    TEAMS,
    LogBuilder,
    Record,
    Run,
    office_hours,
    play,
    policy_value,
)

TEAM, OTHER = TEAMS[0], TEAMS[1]
HOURS = office_hours(30)


@pytest.fixture
def log() -> LogBuilder:
    return LogBuilder()


def dues(run: Run) -> list[tuple[int, int]]:
    """First contact and resolution of each event's case, as they lie ahead of the event."""
    return [(event.case.contact_due_ms - event.at_ms, event.case.resolve_due_ms - event.at_ms) for event in run.events]


def test_the_last_policy_of_a_team_is_held_and_said(log: LogBuilder) -> None:
    log.policy(contact_ms=HOUR)
    log.tick(MINUTE)
    log.policy(contact_ms=2 * HOUR, config={"on_call": ["ada"]})
    log.policy(team=OTHER, contact_ms=3 * HOUR)
    run = play(log.records, [1, 2, 3])
    assert [(one.team, one.version, one.at_ms) for one in run.policies] == [
        (TEAM, (1 << 48) + 0, START_MS),
        (TEAM, (1 << 48) + 2, START_MS + MINUTE),
        (OTHER, (1 << 48) + 3, START_MS + MINUTE),
    ]
    assert run.policies[1].policy.config == {"on_call": ["ada"]}
    assert values.POLICY.unpack(run.state.data[keys.policy(TEAM)]) == run.policies[1]
    assert [out.key for out in run.outputs if out.topic == "team-policies.v1"] == [
        name.encode() for name in (TEAM, TEAM, OTHER)
    ]


def test_the_same_policy_again_changes_and_says_nothing(log: LogBuilder) -> None:
    for _ in range(3):
        log.policy(contact_ms=HOUR)
    assert len(play(log.records, [1, 2]).policies) == len(play(log.records).policies) == 1


def test_a_case_is_promised_what_its_team_promises_when_it_is_raised(log: LogBuilder) -> None:
    log.answer(1, 3)
    log.policy(contact_ms=HOUR, resolve_ms=2 * HOUR)
    log.answer(2, 3)
    log.answer(3, 3, team=OTHER)
    run = play(log.records)
    assert dues(run) == [(10 * HOUR, 72 * HOUR), (HOUR, 2 * HOUR), (10 * HOUR, 72 * HOUR)]


def test_a_promise_is_kept_in_working_hours(log: LogBuilder) -> None:
    log.policy(open=HOURS, until_ms=HOURS[-1])  # nine to half past twelve, one to five
    log.answer(1, 3)
    (event,) = play(log.records).events
    due = [datetime.fromtimestamp(at / 1000, UTC) for at in (event.case.contact_due_ms, event.case.resolve_due_ms)]
    # It comes at 14:14, with 2 h 46 left of the day, and a day has 7 h 30.
    assert due == [datetime(2026, 9, 22, 16, 44, tzinfo=UTC), datetime(2026, 10, 1, 10, 44, tzinfo=UTC)]


def test_a_case_that_is_opened_again_is_promised_anew(log: LogBuilder) -> None:
    log.answer(1, 3)
    log.answer(1, 9, revision=1)
    log.policy(contact_ms=HOUR)
    log.tick(DAY)
    log.answer(1, 3, revision=2)
    assert dues(play(log.records))[-1] == (HOUR, 72 * HOUR)


def test_a_time_that_the_customer_asked_to_be_called_at_replaces_the_first_clock(log: LogBuilder) -> None:
    log.answer(1, 3, callback_ms=START_MS + 30 * HOUR)
    log.tick(HOUR)
    log.answer(1, 4, revision=1, callback_ms=START_MS + 30 * HOUR)
    log.answer(1, 4, revision=2, callback_ms=START_MS + 20 * HOUR)
    log.answer(1, 4, revision=3)
    assert dues(play(log.records)) == [
        (30 * HOUR, 72 * HOUR),
        (29 * HOUR, 71 * HOUR),
        (19 * HOUR, 71 * HOUR),
        (10 * HOUR, 71 * HOUR),
    ]


def test_a_team_says_how_old_an_answer_may_be_that_somebody_is_called_about(log: LogBuilder) -> None:
    log.policy(raise_within_ms=HOUR)
    log.answer(1, 3, answered_ms=START_MS - HOUR)
    log.answer(2, 3, answered_ms=START_MS - HOUR - 1)
    log.answer(3, 3, team=OTHER, answered_ms=START_MS - HOUR - 1)
    assert [answer.not_raised for _, answer in play(log.records).answers] == [None, "too_old", None]


def test_a_key_that_is_no_team_of_the_partition_has_no_policy(log: LogBuilder) -> None:
    for key in (b"team-1", b"Team", None):
        log.append(key, policy_value(contact_ms=HOUR))
    run = play(log.records)
    assert [reject.reason for reject in run.rejects] == ["wrong_partition", "bad_key", "no_key"]
    assert run.state.data.keys() == {b"m"}


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"rev": ""}, "rev"),
    ({"contact_ms": 0}, "contact_ms"),
    ({"resolve_ms": 366 * DAY + 1}, "resolve_ms"),
    ({"raise_within_ms": -1}, "raise_within_ms"),
    ({"reask_ms": 0}, "reask_ms"),
    ({"reask_ms": 366 * DAY + 1}, "reask_ms"),
    ({"remind_ms": [HOUR, HOUR]}, "remind_ms"),
    ({"remind_ms": list(range(9))}, "remind_ms"),
    ({"escalate_ms": [-1]}, "escalate_ms"),
    ({"escalate_ms": [HOUR, 0]}, "escalate_ms ascend"),
    ({"root_causes": [""]}, "root_causes"),
    ({"root_causes": ["a"] * 101}, "root_causes"),
    ({"until_ms": DAY}, "until_ms"),
    ({"open": [0, HOUR]}, "until_ms"),
    ({"open": [0, HOUR], "until_ms": HOUR - 1}, "until_ms"),
    ({"open": [0, HOUR, 2 * HOUR], "until_ms": DAY}, "open"),
    ({"open": [0, HOUR, HOUR, 2 * HOUR], "until_ms": DAY}, "open"),
    ({"open": [-1, HOUR], "until_ms": DAY}, "open"),
    ({"config": {"n": 1 << 63}}, "config"),
    ({"config": {"text": "x" * 60_000}}, "60000 bytes"),
    ({"config": json.loads('{"a":' * 17 + "1" + "}" * 17)}, "config"),
]


@pytest.mark.parametrize(("fields", "named"), WRONG, ids=[f"{named}-{at}" for at, (_, named) in enumerate(WRONG)])
def test_a_policy_that_cannot_be_kept_is_a_reject_that_says_what_is_wrong(fields: dict[str, Any], named: str) -> None:
    log = LogBuilder()
    log.policy(**fields)
    run = play(log.records)
    assert [(reject.reason, named in reject.detail) for reject in run.rejects] == [("bad_field", True)]
    assert run.policies == []


def test_what_is_allowed_at_the_edges_is_taken_and_written_again(log: LogBuilder) -> None:
    config = {"deep": [[[1.5, None, True, "ø"]]], "most": (1 << 63) - 1, "least": 1 - (1 << 63)}
    causes = ["x" * 200] * 100
    log.policy(remind_ms=list(range(8)), escalate_ms=[0, 366 * DAY], root_causes=causes, config=config, contact_ms=1)
    run = play(log.records)
    assert run.rejects == []
    assert msgspec.json.decode(msgspec.json.encode(run.policies[0]))["policy"]["config"] == config


def test_765_days_of_two_intervals_fit_a_record_with_room_for_the_configuration() -> None:
    """The horizon and a year, which is how far a calendar is expanded at least."""
    twice = office_hours(765, 1_900_000_000_000)
    policy = Policy("x" * 64, open=twice, until_ms=twice[-1] + DAY, config={"text": "x" * 16_384})
    value = msgspec.json.encode(policy)
    assert len(value) < MOST_BYTES
    assert read(value) == policy


def test_the_defaults_are_ten_hours_and_three_days_around_the_clock() -> None:
    built_in = policies.BUILT_IN
    assert (built_in.contact_ms, built_in.resolve_ms, built_in.open) == (10 * HOUR, 72 * HOUR, ())
    assert built_in.raise_within_ms == 7 * DAY
    assert policies.flaw(built_in) is None


def test_a_policy_and_the_cases_under_it_are_the_same_wherever_the_log_is_cut(log: LogBuilder) -> None:
    log.answer(1, 3)
    log.policy(contact_ms=HOUR)
    log.answer(2, 3)
    log.policy(contact_ms=2 * HOUR)
    log.answer(3, 3)

    def cut(*cuts: int) -> tuple[dict[bytes, bytes], list[tuple[int, int]], Any]:
        run = play(log.records, cuts)
        return run.state.data, dues(run), run.policies[-1]

    assert cut() == cut(1, 2, 3, 4) == cut(2, 4)


def test_a_number_beyond_all_bounds_is_a_reject() -> None:
    record = Record(0, START_MS, TEAM.encode(), b'{"type":"policy","rev":"r","config":{"n":1e999}}')
    assert [reject.reason for reject in play([record]).rejects] == ["undecodable"]
