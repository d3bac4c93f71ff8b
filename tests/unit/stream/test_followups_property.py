"""Every unhappy customer is in exactly one case, whatever happens to the answers; cases never split or double."""

from __future__ import annotations

import itertools
import uuid
from collections import Counter, defaultdict

from hypothesis import given

from schemas.followups import Case, FollowupEvent
from stream.domain import keys, values
from stream.domain.ids import NAMESPACE
from stream.domain.values import Resolved
from tests.unit.stream.fakes import PARTITION, FakeState, Record, one_by_one, play
from tests.unit.stream.logs import PROPERTY, cut_logs, logs
from tests.unit.stream.recount import Recount

Log = list[Record]
OPEN = {"open", "acknowledged", "contacted", "snoozed"}
STATE_AFTER = {
    "followup.raised": {"open"},
    "followup.answer_joined": OPEN,
    "followup.answer_edited": OPEN | {"rescored", "withdrawn", "resolved"},
    "followup.answer_erased": OPEN | {"rescored", "withdrawn", "resolved"},
    "followup.rescored": {"rescored"},
    "followup.withdrawn": {"withdrawn"},
    "followup.joined": {"joined"},
    "followup.reopened": {"open"},
}


def named(*parts: object) -> str:
    """The UUIDv5 of the standard library in our namespace."""
    return str(uuid.uuid5(uuid.UUID(bytes=NAMESPACE), "|".join(map(str, parts))))


def cases_of(state: FakeState) -> dict[str, Case]:
    found = [values.CASE.unpack(raw) for key, raw in state.data.items() if key[:1] == b"c"]
    return {case.case_id: case for case in found}


def resolved_of(state: FakeState, team: str, response_id: str) -> Resolved:
    return values.RESOLVED.unpack(state.data[keys.answer(team, response_id)])


def assert_cases_hold(state: FakeState, truth: Recount) -> None:
    """What must be true of the cases after every record."""
    cases = cases_of(state)
    homes: dict[tuple[str, str], list[str]] = defaultdict(list)
    for case in cases.values():
        if case.state != "joined":
            for member in case.answers:
                homes[case.team, member].append(case.case_id)

    for (team, response_id), answer in truth.answers.items():
        resolved = resolved_of(state, team, response_id)
        assert homes[team, response_id] == ([] if resolved.case_id is None else [resolved.case_id])
        if answer.calls:
            assert resolved.case_id is not None, "a detractor that nobody follows up"
        if resolved.case_id is not None:
            assert not answer.history
            if answer.detractor:
                assert cases[resolved.case_id].state in OPEN
        if answer.detractor and resolved.case_id is None:
            assert resolved.not_raised == ("history" if answer.history else "too_old")
        else:
            assert resolved.not_raised is None

    open_of = Counter((case.team, case.respondent) for case in cases.values() if case.state in OPEN and case.respondent)
    assert set(open_of.values()) <= {1}, "two open cases of one respondent"
    by_respondent = {key: raw.decode() for key, raw in state.data.items() if key[:1] == b"q"}
    assert by_respondent == {
        keys.open_case(case.team, case.respondent): case.case_id
        for case in cases.values()
        if case.state in OPEN and case.respondent
    }
    for case in cases.values():
        assert case.case_id == named(case.team, case.response_id)
        assert len(set(case.answers)) == len(case.answers)
        if case.state == "joined":
            assert case.joined_into in cases
            continue
        assert case.joined_into is None
        assert case.response_id in case.answers
        opening = truth.answers.get((case.team, case.response_id))
        if opening is not None:
            assert (case.score, case.respondent) == (opening.score, opening.respondent)
        members = [
            truth.answers[case.team, member] for member in case.answers if (case.team, member) not in truth.erased
        ]
        if not members:
            assert (case.state in OPEN, case.respondent) == (False, None), "nobody is left to be called"
            continue
        assert {member.respondent for member in members} == {case.respondent}, "a case is one person's"
        assert case.respondent is not None or len(members) == 1
        unhappy = any(member.detractor for member in members)
        assert (case.state in OPEN) == unhappy, "a case is open as long as one of its answers is unhappy"


@PROPERTY
@given(logs())
def test_every_qualifying_detractor_is_in_exactly_one_case_after_every_record(log: Log) -> None:
    truth = Recount(PARTITION)
    said = 0
    for run, record in one_by_one(log):
        before = dict(truth.answers)
        truth.read(record)
        events = run.events
        if len(events) > said or truth.answers != before:
            assert_cases_hold(run.state, truth)
        if truth.answers == before:
            assert len(events) == said, "a record that changes no answer says nothing about a case"
        said = len(events)


@PROPERTY
@given(cut_logs())
def test_events_of_a_case_count_without_gaps_and_carry_the_case_as_it_stands(drawn: tuple[Log, list[int]]) -> None:
    log, cuts = drawn
    run = play(log, cuts)
    of_case: dict[str, list[FollowupEvent]] = defaultdict(list)
    for event in run.events:
        of_case[event.case.case_id].append(event)
    for case_id, events in of_case.items():
        assert [event.case.n for event in events] == list(range(1, len(events) + 1))
        assert [event.event_id for event in events] == [named(case_id, n) for n in range(1, len(events) + 1)]
        assert [event.kind for event in events].count("followup.raised") == 1
        assert events[0].kind == "followup.raised"
        for event in events:
            assert event.case.state in STATE_AFTER[event.kind]
            assert event.at_ms == event.case.changed_ms
        for before, after in itertools.pairwise(events):
            assert before.case.version <= after.case.version
            assert (after.case.raised_ms == before.case.raised_ms) or after.kind == "followup.reopened"
            if after.kind in {"followup.rescored", "followup.withdrawn", "followup.joined"}:
                assert before.case.state in OPEN
            if after.kind == "followup.reopened":
                assert before.case.state not in OPEN
        stored = cases_of(run.state)[case_id]
        assert events[-1].case == stored
