"""Every unhappy customer is in exactly one case, whatever happens to the answers; cases never split or double."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict

from hypothesis import given

from schemas.followups import Case, FollowupEvent
from tests.unit.stream.acting import act_of
from tests.unit.stream.fakes import PARTITION, Record, one_by_one, play
from tests.unit.stream.holding import OPEN, assert_cases_hold, cases_of, named
from tests.unit.stream.knowing import KnowingRecount
from tests.unit.stream.logs import PROPERTY, cut_logs, logs
from tests.unit.stream.reasking import Pairs

Log = list[Record]
ANY = OPEN | {"rescored", "withdrawn", "resolved", "joined"}
STATE_AFTER = {
    "followup.raised": {"open"},
    "followup.answer_joined": OPEN,
    "followup.answer_edited": OPEN | {"rescored", "withdrawn", "resolved"},
    "followup.acknowledged": {"acknowledged", "contacted"},
    "followup.assigned": OPEN,
    "followup.woke": OPEN - {"snoozed"},
    "followup.noted": OPEN | {"resolved", "rescored"},
    "followup.contacted": {"contacted"},
    "followup.contact_failed": {"acknowledged", "contacted", "snoozed"},
    "followup.callback_agreed": {"acknowledged", "contacted", "snoozed"},
    "followup.snoozed": {"snoozed"},
    "followup.resolved": {"resolved"},
    "followup.answer_erased": ANY,
    "followup.rescored": {"rescored"},
    "followup.withdrawn": {"withdrawn"},
    "followup.joined": {"joined"},
    "followup.reopened": {"open"},
    "followup.reminder": OPEN,
    "followup.breached": OPEN,
    "followup.escalated": OPEN,
    "followup.reask": {"resolved"},
    "followup.reask_withheld": {"resolved"},
    "followup.reasked": ANY,
    "followup.reask_forgotten": ANY,
}


@PROPERTY
@given(logs())
def test_every_qualifying_detractor_is_in_exactly_one_case_after_every_record(log: Log) -> None:
    truth = KnowingRecount(PARTITION)
    said = 0
    for run, record in one_by_one(log):
        before = dict(truth.answers)
        truth.read(record)
        events = run.caused
        if len(events) > said or truth.answers != before:
            assert_cases_hold(run.state, truth)
        if truth.answers == before and act_of(record) is None:
            assert len(events) == said, "a record that changes no answer says nothing about a case"
        said = len(events)


@PROPERTY
@given(logs())
def test_a_case_tells_of_the_first_answer_to_being_asked_again_for_as_long_as_it_counts(log: Log) -> None:
    truth, pairs = KnowingRecount(PARTITION), Pairs()
    cases: dict[str, Case] = {}
    said = 0
    for run, record in one_by_one(log):
        before = dict(truth.answers)
        truth.read(record)
        pairs.check(before, cases, run.outputs[said:], run.state, truth)
        cases, said = cases_of(run.state), len(run.outputs)


@PROPERTY
@given(cut_logs())
def test_events_of_a_case_count_without_gaps_and_carry_the_case_as_it_stands(drawn: tuple[Log, list[int]]) -> None:
    log, cuts = drawn
    run = play(log, cuts)
    of_case: dict[tuple[str, int], list[FollowupEvent]] = defaultdict(list)
    lives: Counter[str] = Counter()
    for event in run.events:
        case_id = event.case.case_id
        lives[case_id] += event.kind == "followup.raised"
        of_case[case_id, lives[case_id]].append(event)
    truth = KnowingRecount.of(log, PARTITION)
    for (case_id, life), events in of_case.items():
        # One that was forgotten altogether begins anew if the id of its answer comes again.
        assert life == 1 or (events[0].case.team, events[0].case.response_id) in truth.forgotten
        assert [event.case.n for event in events] == list(range(1, len(events) + 1))
        assert all(event.event_id == named(case_id, event.case.n, event.case.raised_ms) for event in events)
        assert [event.kind for event in events].count("followup.raised") == 1
        assert events[0].kind == "followup.raised"
        for event in events:
            assert event.case.state in STATE_AFTER[event.kind]
            assert event.at_ms == event.case.changed_ms
        for before, after in itertools.pairwise(events):
            assert before.case.version <= after.case.version
            assert (after.case.raised_ms == before.case.raised_ms) or after.kind == "followup.reopened"
            if after.kind in {"followup.rescored", "followup.withdrawn", "followup.joined", "followup.resolved"}:
                assert before.case.state in OPEN
            assert after.case.attempts >= after.case.contacts
            if after.kind != "followup.reopened":
                assert (after.case.attempts, after.case.contacts) >= (before.case.attempts, before.case.contacts)
            if after.kind == "followup.reopened":
                assert before.case.state not in OPEN
        if life < lives[case_id]:
            continue
        stored = cases_of(run.state).get(case_id)
        if stored is None:
            assert events[-1].case.state not in OPEN
            assert events[-1].at_ms < truth.closed * 60_000
        else:
            assert events[-1].case == stored
