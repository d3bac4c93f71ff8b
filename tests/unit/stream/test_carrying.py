"""What would outlive the log is said again in it: a log without its beginning comes to the same, a whole one too."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from schemas.carries import Carry
from schemas.followups import Case
from stream.comparing import compare_states
from stream.domain import carrying, keys, values
from stream.domain.minutes import HORIZON
from tests.unit.stream.fakes import (
    DAY,
    HOUR,
    MINUTE,
    PARTITION,
    START_MS,
    TEAMS,
    TICK,
    FakeState,
    LogBuilder,
    Record,
    Run,
    act_value,
    answer_value,
    carries,
    command_value,
    office_hours,
    play,
    policy_value,
    response_id,
    windows_value,
)
from tests.unit.stream.holding import OPEN, assert_all_holds, cases_of, resolved_of
from tests.unit.stream.knowing import KnowingRecount

TEAM = TEAMS[0]
LOG = 430 * DAY  # how long the log keeps a record


def policies(state: FakeState) -> dict[str, Any]:
    found = {key[3:].decode(): values.POLICY.unpack(raw) for key, raw in state.data.items() if key[:1] == b"t"}
    return {team: (held.policy, held.version, held.at_ms) for team, held in found.items()}


def open_cases(state: FakeState) -> dict[str, Case]:
    return {case_id: case for case_id, case in cases_of(state).items() if case.state in OPEN}


def erased(state: FakeState) -> set[bytes]:
    return {key for key, raw in state.data.items() if key[:1] == b"r" and values.RESOLVED.unpack(raw).erased}


def of_kind(state: FakeState, *letters: bytes) -> dict[bytes, bytes]:
    return {key: raw for key, raw in state.data.items() if key[:1] in letters}


class Life:
    """A log that a worker keeps up: whatever is to be carried is appended, at times days later, at times twice."""

    def __init__(self, seed: int = 20_261_129, *, carry: bool = True, asks: bool = False) -> None:
        self.draw = random.Random(seed)
        self.log = LogBuilder()
        self.run = Run()
        self.carried = 0
        self._carry = carry
        self._asks = asks
        self._looks_at = 0

    def append(self, key: bytes | None, value: bytes | None) -> None:
        self.run.fold([self.log.append(key, value)])
        self.run.outputs.clear()

    def keep_up(self) -> None:
        if not self._carry or self.log.now_ms < self._looks_at:
            return
        self._looks_at = self.log.now_ms + self.draw.choice((HOUR, 5 * HOUR, DAY))
        found = carries(self.run.state, 1_000)
        for key, value in found * self.draw.choice((1, 1, 2)):
            self.append(key, value)
            self.carried += 1

    def pass_years(self, days: int) -> list[Record]:
        """So many days of unhappy customers, of whom few are made happy, and policies that change once a year."""
        number, draw = 0, self.draw
        self.append(None, windows_value(60, 10_080))
        for name in TEAMS[:2]:
            self.append(name.encode(), policy_value(contact_ms=2 * HOUR, escalate_ms=[0, HOUR], **self._asking()))
        while self.log.now_ms < START_MS + days * DAY:
            self.log.now_ms += draw.choice((HOUR, 9 * HOUR, 40 * HOUR))
            team = draw.choice(TEAMS[:2]).encode()
            which = draw.randrange(max(0, number - 900), number + 2)
            who = {"respondent": f"r{draw.randrange(60)}"} if draw.random() < 0.6 else {}
            kind = draw.random()
            if kind < 0.7:
                number += 1
                tier = {"tier": "gold"} if number % 3 else {}
                self.log.answer(number, draw.choice((2, 6, 9, 10)), team=team.decode(), attributes=tier, **who)
                self.run.fold(self.log.records[-1:])
            elif kind < 0.85:
                self.log.answer(which, draw.choice((3, 9)), team=team.decode(), revision=1, **who)
                self.run.fold(self.log.records[-1:])
            elif kind < 0.98:
                self.append(team, command_value("exclude", which, reason="bot"))
            elif kind < 0.995:
                self.append(team, command_value("erase", which))
            elif self.log.now_ms > START_MS + 500 * DAY:
                hours = office_hours(20, self.log.now_ms)
                self.append(team, policy_value(open=hours, until_ms=hours[-1], remind_ms=[HOUR], **self._asking()))
            if self._asks:
                number = self._see_to_cases(number)
            self.run.outputs.clear()
            self.keep_up()
        return self.log.records

    def _asking(self) -> dict[str, int]:
        return {"reask_ms": 60 * DAY} if self._asks else {}

    def _see_to_cases(self, number: int) -> int:
        """Some cases are resolved, and some customers asked again, whether or not that was due."""
        cases, draw = sorted(cases_of(self.run.state).values(), key=lambda case: case.case_id), self.draw
        kind = draw.random()
        if not cases or kind > 0.7:
            return number
        case = draw.choice(cases)
        at = case.team.encode()
        if kind < 0.4:
            self.append(at, act_value(0, "resolve", self.log.next_offset, case_id=case.case_id))
            return number
        who = {"respondent": f"r{draw.randrange(60)}"} if draw.random() < 0.6 else {}
        self.append(at, answer_value(number + 1, draw.choice((2, 6, 9, 10)), reask_of=case.case_id, **who))
        return number + 1


@pytest.fixture(scope="module")
def life() -> Life:
    life = Life()
    life.pass_years(900)
    return life


@pytest.mark.parametrize("kept_ms", [LOG, LOG + DAY, LOG + 29 * DAY, LOG + 200 * DAY])
def test_a_log_without_its_beginning_comes_to_the_same_cases_policies_windows_and_erasures(
    life: Life, kept_ms: int
) -> None:
    records, whole = life.log.records, life.run.state
    cut = next(at for at, record in enumerate(records) if record.timestamp >= life.log.now_ms - kept_ms)
    rest = play(records[cut:], range(0, len(records) - cut, 50)).state
    assert open_cases(rest) == open_cases(whole)
    assert min(case.raised_ms for case in open_cases(whole).values()) < records[cut].timestamp, "some are older"
    assert policies(rest) == policies(whole)
    assert rest.data[keys.WINDOWS] == whole.data[keys.WINDOWS]
    assert of_kind(rest, b"q", b"d") == of_kind(whole, b"q", b"d")
    assert erased(rest) == erased(whole)
    since_ms = (whole.meta.known_ms // MINUTE - HORIZON) * MINUTE
    tally = compare_states(sorted(whole.data.items()), sorted(rest.data.items()), since_ms)
    assert tally.compared > 500
    assert (tally.different, tally.first) == (0, [])


@pytest.mark.parametrize("kept_ms", [LOG, LOG + 29 * DAY])
def test_so_it_does_where_customers_are_asked_again_and_what_they_say_can_still_be_erased(kept_ms: int) -> None:
    life = Life(asks=True)
    life.pass_years(800)
    records, whole = life.log.records, life.run.state
    cut = next(at for at, record in enumerate(records) if record.timestamp >= life.log.now_ms - kept_ms)
    rest = play(records[cut:], range(0, len(records) - cut, 50)).state
    assert of_kind(rest, b"q", b"d") == of_kind(whole, b"q", b"d")
    assert any(case.reask_due_ms is not None and case.next_ms == case.reask_due_ms for case in cases_of(rest).values())
    assert open_cases(rest) == open_cases(whole)
    paired = [case for case in cases_of(rest).values() if case.reask is not None]
    assert len(paired) > 50
    old = 0
    for case in paired:
        assert case.reask is not None
        one = resolved_of(rest, case.team, case.reask.response_id)
        assert (values.reask_of(one), one.score) == (case.case_id, case.reask.score)
        old += one.first_offset < records[cut].offset
    assert old, "some are known from a carry alone"
    forgetful = Run(rest.copy())
    for case in paired:
        assert case.reask is not None
        erase = json.dumps({"type": "erase", "response_id": case.reask.response_id}).encode()
        forgetful.fold([life.log.append(case.team.encode(), erase)])
        assert cases_of(forgetful.state)[case.case_id].reask is None
    since_ms = (whole.meta.known_ms // MINUTE - HORIZON) * MINUTE
    tally = compare_states(sorted(whole.data.items()), sorted(rest.data.items()), since_ms)
    assert (tally.different, tally.first) == (0, [])


def test_in_a_whole_log_carries_change_nothing_but_that_nothing_is_left_to_be_said(life: Life) -> None:
    truth = KnowingRecount(PARTITION)
    # Instead of each a tick: like every record, a carry moves time.
    plain = [
        Record(record.offset, record.timestamp, None, TICK) if b'"type":"carry' in (record.value or b"") else record
        for record in life.log.records
    ]
    assert len([record for record in plain if record.value == TICK]) == life.carried > 100
    for record in plain:
        truth.read(record)
    state = play(plain, range(0, len(plain), 50)).state
    mine, other = dict(state.data), dict(life.run.state.data)
    for key in [*mine, *other]:
        if key[:1] in (b"m", b"h", b"y") or mine.get(key) == other.get(key):
            mine.pop(key, None)
            other.pop(key, None)
    assert (mine, other) == ({}, {})
    assert_all_holds(life.run.state, play(plain).scores, truth)


def later(log: LogBuilder, *days: int) -> Iterator[Run]:
    """The log folded after so many days each time."""
    for number in days:
        log.tick(number * DAY)
        yield play(log.records)


def parts(run: Run) -> list[set[str]]:
    """What each carry that is asked for now speaks of."""
    found = [msgspec.json.decode(value) for _, value in carries(run.state)]
    return [carry.keys() & {"policy", "case", "erased", "minutes"} for carry in found]


def test_windows_policies_and_open_cases_are_said_again_every_four_weeks_and_erased_ids_after_400_days() -> None:
    log = LogBuilder()
    log.policy(contact_ms=HOUR)
    log.append(None, windows_value(60))
    log.answer(1, 3, respondent="anna")
    log.append(TEAM.encode(), command_value("erase", 9))
    found = [parts(run) for run in later(log, 27, 1, 371, 2)]
    assert found == [[], *[[{"case"}, {"policy"}, {"minutes"}]] * 2, [{"case"}, {"policy"}, {"minutes"}, {"erased"}]]


def test_a_case_that_closes_before_its_fourth_week_is_never_said_again_and_later_once_more() -> None:
    for closed_on, expected in ((20, 0), (30, 2), (57, 3)):
        log = LogBuilder()
        log.answer(1, 3)
        for day in range(1, 100):
            log.now_ms += DAY
            log.tick()
            if day == closed_on:
                log.answer(1, 9, revision=1)
        said = LogBuilder()
        times = 0
        for record in log.records:
            said.now_ms = record.timestamp
            said.append(record.key, record.value)
            for key, value in carries(play(said.records).state):
                said.append(key, value)
                times += 1
        assert times == expected


def test_what_has_been_said_again_is_not_asked_for_until_it_is_due_again() -> None:
    log = LogBuilder()
    log.policy(contact_ms=HOUR)
    log.answer(1, 3, respondent="anna")
    log.append(TEAM.encode(), command_value("erase", 9))
    log.append(None, windows_value(60))
    log.tick(401 * DAY)
    said = carries(play(log.records).state)
    assert len(said) == 4
    for key, value in said:
        log.append(key, value)
    run = play(log.records)
    assert run.rejects == []
    assert carries(run.state) == []
    log.tick(28 * DAY)
    assert len(carries(play(log.records).state)) == 3  # an erased id every 400 days


def test_a_case_that_changes_before_its_carry_comes_is_said_once_more_as_it_is_then() -> None:
    log = LogBuilder()
    log.answer(1, 3, respondent="anna")
    log.tick(401 * DAY)
    ((key, value),) = carries(play(log.records).state)
    log.answer(2, 4, respondent="anna")
    log.append(key, value)
    ((_, again),) = carries(play(log.records).state)
    assert msgspec.json.decode(again, type=Carry).case == play(log.records).caused[-1].case
    rest = play(log.records[-1:]).state
    assert [case.answers for case in open_cases(rest).values()] == [(response_id(1),)]
    log.append(key, again)
    assert open_cases(play(log.records[-2:]).state) == open_cases(play(log.records).state)


def test_a_case_that_was_made_up_for_a_customer_joins_the_one_that_was_forgotten() -> None:
    log = LogBuilder()
    log.answer(1, 3, respondent="anna")
    log.tick(DAY)
    cut = len(log.records)
    log.answer(2, 4, respondent="anna")  # joins; without the first answer it raises
    log.tick(401 * DAY)
    for key, value in carries(play(log.records).state):
        log.append(key, value)
    whole, rest = play(log.records), play(log.records[cut:])
    assert open_cases(rest.state) == open_cases(whole.state)
    assert of_kind(rest.state, b"q") == of_kind(whole.state, b"q")
    assert [event.kind for event in rest.caused] == ["followup.raised", "followup.joined", "followup.carried"]
    assert [event.kind for event in whole.caused] == ["followup.raised", "followup.answer_joined"]
    log.answer(3, 5, respondent="anna")
    assert play(log.records[cut:]).events[-1].case == play(log.records).events[-1].case


def test_a_case_that_was_raised_anew_by_an_edit_becomes_what_it_was() -> None:
    log = LogBuilder()
    log.answer(1, 3)
    log.tick(DAY)
    cut = len(log.records)
    log.answer(1, 4, revision=1, answered_ms=log.now_ms)
    log.tick(401 * DAY)
    for key, value in carries(play(log.records).state):
        log.append(key, value)
    whole, rest = play(log.records), play(log.records[cut:])
    assert [case.n for case in open_cases(rest.state).values()] == [4]
    assert open_cases(rest.state) == open_cases(whole.state)
    assert of_kind(rest.state, b"d") == of_kind(whole.state, b"d")


def test_an_erased_id_stays_erased_where_the_erasure_is_forgotten() -> None:
    log = LogBuilder()
    log.answer(1, 9, respondent="anna")
    log.append(TEAM.encode(), command_value("erase", 1))
    log.tick(401 * DAY)
    cut = len(log.records)
    for key, value in carries(play(log.records).state):
        log.append(key, value)
    log.answer(1, 9, respondent="anna")
    assert [reject.reason for reject in play(log.records[cut:]).rejects] == ["erased"]


def test_many_erased_ids_share_a_record() -> None:
    log = LogBuilder()
    for number in range(1_100):
        log.append(TEAM.encode(), command_value("erase", number))
    log.tick(401 * DAY)
    said = carries(play(log.records).state, 5_000)
    assert [len(msgspec.json.decode(value, type=Carry).erased) for _, value in said] == [500, 500, 100]
    assert all(len(value) < 65_536 for _, value in said)


WRONG: list[dict[str, Any]] = [
    {"as_of": -1},
    {"as_of": 1, "erased": ["short"]},
    {"as_of": 1, "erased": ["ø" * 36]},
    {"as_of": 1, "policy": {"type": "policy", "rev": ""}},
    {"as_of": 1, "answers": [{"answer": {"response_id": "x", "score": 3, "content": "c"}, "first_offset": 0}]},
]


@pytest.mark.parametrize("fields", WRONG)
def test_a_carry_that_no_fold_has_made_is_refused(fields: dict[str, Any]) -> None:
    log = LogBuilder()
    for answer in fields.get("answers", ()):
        answer["answer"]["type"] = "answer"
    log.append(TEAM.encode(), msgspec.json.encode({"type": "carry", **fields}))
    assert [reject.reason for reject in play(log.records).rejects] == ["bad_field"]


def test_a_carry_of_another_team_s_case_is_left_alone() -> None:
    log = LogBuilder()
    log.answer(1, 3)
    log.tick(401 * DAY)
    ((_, value),) = carries(play(log.records).state)
    foreign = LogBuilder()
    foreign.append(TEAMS[1].encode(), value)
    assert cases_of(play(foreign.records).state) == {}


def test_nothing_is_to_be_said_again_of_an_empty_state() -> None:
    state = FakeState()
    assert carrying.due(state, state.meta, 10) == []
