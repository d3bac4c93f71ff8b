"""What people do with cases, by example."""

from __future__ import annotations

import json
from typing import Any

import pytest

from schemas.followups import Case
from schemas.people import person_key
from stream.domain import keys, values
from stream.domain.cases import MOST_NOTES
from stream.domain.minutes import HORIZON_MS
from tests.unit.stream.fakes import (
    DAY,
    HOUR,
    MINUTE,
    PARTITION,
    TEAMS,
    LogBuilder,
    Run,
    act_value,
    case_id,
    command_value,
    erase_respondent_value,
    note_id,
    play,
    response_id,
)
from tests.unit.stream.holding import named

TEAM = TEAMS[0]


@pytest.fixture
def log() -> LogBuilder:
    """Anna was unhappy an hour ago, and gave answer 1."""
    log = LogBuilder()
    log.answer(1, 3, respondent="anna")
    log.now_ms += HOUR
    return log


def case_of(run: Run, number: int = 1) -> Case:
    return values.CASE.unpack(run.state.data[keys.case(TEAM, case_id(number))])


def said(run: Run) -> list[str]:
    """What has become of each act, and of the case besides."""
    return [event.kind.removeprefix("followup.") for event in run.events]


def refusals(run: Run) -> list[str]:
    return [refused.reason for refused in run.refused]


def gone(*notes: int) -> list[bytes | None]:
    """The texts of notes, as tombstones name them."""
    return [person_key(TEAM, note_id(note)) for note in notes]


def test_a_case_goes_from_hand_to_hand_until_it_is_resolved(log: LogBuilder) -> None:
    log.act(1, "acknowledge")
    log.act(1, "assign", owner="lee", note=note_id(1))
    log.act(1, "contact", actor="lee", medium="phone", outcome="no_answer")
    log.act(1, "contact", actor="lee", medium="e-mail", outcome="message_left")
    log.now_ms += MINUTE
    log.act(1, "contact", actor="lee", medium="e-mail", outcome="replied")
    log.act(1, "resolve", actor="lee", cause="price")
    run = play(log.records)
    assert said(run) == [
        *("raised", "acknowledged", "assigned", "contact_failed", "contacted", "contacted", "resolved"),
    ]
    assert [event.case.owner for event in run.events] == [None, "kim", "lee", "lee", "lee", "lee", "lee"]
    assert [event.case.state for event in run.events] == [
        *("open", "acknowledged", "acknowledged", "acknowledged", "contacted", "contacted", "resolved"),
    ]
    case = case_of(run)
    assert (case.attempts, case.contacts, case.contacted_ms) == (3, 2, log.now_ms - MINUTE)
    assert (case.cause, case.resolved_ms, case.notes) == ("price", log.now_ms, (note_id(1),))
    assert run.events[-1].act is not None
    assert (run.events[-1].act.actor, run.events[-1].response_id) == ("lee", None)


def test_whoever_works_on_what_nobody_has_has_it(log: LogBuilder) -> None:
    log.act(1, "note", note=note_id(1))
    log.act(1, "contact", actor="lee", outcome="no_answer")
    log.act(1, "contact", actor="kim", outcome="no_answer")
    log.act(1, "assign")
    run = play(log.records)
    assert [event.case.owner for event in run.events] == [None, None, "lee", "lee", None]


def test_a_command_is_applied_once_and_says_so_once(log: LogBuilder) -> None:
    for _ in range(3):
        log.act(1, "contact", command=9)
    log.act(1, "contact", command=8)
    run = play(log.records)
    assert (said(run), refusals(run), case_of(run).contacts) == (["raised", "contacted", "contacted"], [], 2)


def test_what_was_refused_stays_refused_when_it_comes_again(log: LogBuilder) -> None:
    log.act(1, "reopen", command=9)
    log.act(1, "resolve")
    log.act(1, "reopen", command=9)
    run = play(log.records)
    assert (refusals(run), case_of(run).state) == (["not_allowed"], "resolved")


def test_a_refusal_says_what_is_allowed_and_how_the_case_stands(log: LogBuilder) -> None:
    log.act(1, "acknowledge")
    record = log.act(1, "acknowledge", actor="lee", note=note_id(5))
    run = play(log.records)
    (refused,) = run.refused
    assert refused.event_id == named(1, PARTITION, record.offset, "refused")
    assert (refused.reason, refused.state, refused.n, refused.team) == ("not_allowed", "acknowledged", 2, TEAM)
    assert refused.allowed == ("assign", "note", "contact", "callback", "snooze", "resolve")
    assert (refused.at_ms, refused.version, refused.act.actor) == (log.now_ms, (1 << 48) + record.offset, "lee")
    assert run.tombstones == gone(5), "no case names its text"


def test_an_unknown_case_or_one_of_another_team_is_refused(log: LogBuilder) -> None:
    log.act(2, "acknowledge")
    log.append(TEAMS[1].encode(), act_value(1, "acknowledge", 7, team=TEAM))
    run = play(log.records)
    assert refusals(run) == ["unknown_case", "unknown_case"]
    assert [(one.team, one.state, one.n, one.allowed) for one in run.refused] == [
        (TEAM, None, None, ()),
        (TEAMS[1], None, None, ()),
    ]


@pytest.mark.parametrize(("expect_n", "reasons"), [(1, []), (0, ["stale"]), (2, ["stale"])])
def test_an_act_on_what_somebody_else_has_changed_meanwhile_is_stale(
    log: LogBuilder, expect_n: int, reasons: list[str]
) -> None:
    log.act(1, "resolve", expect_n=expect_n)
    assert refusals(play(log.records)) == reasons


@pytest.mark.parametrize(("kind", "field"), [("snooze", "until_ms"), ("callback", "at_ms")])
@pytest.mark.parametrize(("ahead_ms", "reasons"), [(1, []), (0, ["time_is_past"]), (-HOUR, ["time_is_past"])])
def test_a_time_to_come_lies_ahead(log: LogBuilder, kind: str, field: str, ahead_ms: int, reasons: list[str]) -> None:
    times: dict[str, Any] = {field: log.now_ms + ahead_ms}
    log.act(1, kind, **times)
    assert refusals(play(log.records)) == reasons


def test_a_callback_that_people_agreed_on_stands_over_one_that_the_form_asks_for(log: LogBuilder) -> None:
    at_ms = log.now_ms + 2 * DAY
    log.act(1, "callback", at_ms=at_ms)
    log.answer(1, 3, respondent="anna", revision=1, callback_ms=log.now_ms + DAY)
    assert case_of(play(log.records)).contact_due_ms == at_ms


def test_a_callback_takes_the_place_of_the_first_clock_until_it_is_made(log: LogBuilder) -> None:
    at_ms = log.now_ms + 2 * DAY
    log.act(1, "callback", at_ms=at_ms, medium="phone")
    run = play(log.records)
    assert (case_of(run).agreed_ms, case_of(run).contact_due_ms, case_of(run).state) == (at_ms, at_ms, "acknowledged")
    log.act(1, "contact", outcome="no_answer")
    run.fold(log.records[-1:])
    assert case_of(run).agreed_ms == at_ms
    log.act(1, "contact")
    run.fold(log.records[-1:])
    assert (case_of(run).agreed_ms, case_of(run).state) == (None, "contacted")


@pytest.mark.parametrize(
    ("before", "state"),
    [([], "open"), (["acknowledge"], "acknowledged"), (["contact"], "contacted")],
)
def test_a_snoozed_case_knows_what_it_wakes_up_to(log: LogBuilder, before: list[str], state: str) -> None:
    for kind in before:
        log.act(1, kind)
    log.act(1, "snooze", until_ms=log.now_ms + MINUTE)
    log.act(1, "snooze", until_ms=log.now_ms + HOUR)
    case = case_of(play(log.records))
    assert (case.state, case.snoozed_until_ms, case.snoozed_from) == ("snoozed", log.now_ms + HOUR, state)


@pytest.mark.parametrize("before", ["assign", "acknowledge", "contact"])
def test_a_snoozed_case_wakes_up_when_its_time_has_come_and_not_before(log: LogBuilder, before: str) -> None:
    log.act(1, before)
    log.act(1, "snooze", until_ms=log.now_ms + HOUR)
    woke_ms = log.now_ms + HOUR
    log.tick(HOUR - 1)
    run = play(log.records)
    assert case_of(run).state == "snoozed"
    log.tick(MINUTE)
    run.fold(log.records[-1:])
    event = run.events[-1]
    assert (event.kind, event.at_ms, event.clock, event.act) == ("followup.woke", woke_ms, None, None)
    was = {"assign": "open", "acknowledge": "acknowledged", "contact": "contacted"}[before]
    assert (event.case.state, event.case.changed_ms, event.case.snoozed_until_ms) == (was, woke_ms, None)
    assert case_of(run) == event.case


def test_a_case_that_was_woken_early_does_not_wake_again(log: LogBuilder) -> None:
    log.act(1, "snooze", until_ms=log.now_ms + HOUR)
    log.act(1, "acknowledge")
    log.tick(2 * HOUR)
    assert "woke" not in said(play(log.records))


def test_a_promise_is_broken_while_its_case_sleeps_and_said_before_it_wakes(log: LogBuilder) -> None:
    log.act(1, "snooze", until_ms=log.now_ms + 9 * HOUR)
    log.tick(10 * HOUR)
    run = play(log.records)
    assert said(run) == ["raised", "snoozed", "breached", "woke"]
    assert [event.case.state for event in run.events[-2:]] == ["snoozed", "open"]


def test_nobody_is_told_of_the_first_contact_while_a_contacted_case_sleeps(log: LogBuilder) -> None:
    log.act(1, "contact")
    log.act(1, "snooze", until_ms=log.now_ms + DAY)
    log.tick(12 * HOUR)
    assert said(play(log.records)) == ["raised", "contacted", "snoozed"]


def test_a_callback_that_was_agreed_after_the_first_contact_is_a_promise_too(log: LogBuilder) -> None:
    log.act(1, "contact")
    log.act(1, "callback", at_ms=log.now_ms + 20 * HOUR)
    log.tick(20 * HOUR)
    run = play(log.records)
    assert said(run)[-1] == "breached"
    assert (run.events[-1].clock, run.events[-1].at_ms) == ("contact", log.now_ms)
    log.act(1, "contact")
    log.act(1, "callback", at_ms=log.now_ms + HOUR)
    log.act(1, "contact")
    log.tick(2 * HOUR)
    run.fold(log.records[-4:])
    assert said(run)[-1] == "contacted"


def test_a_case_is_resolved_with_a_cause_of_the_teams_list(log: LogBuilder) -> None:
    log.policy(root_causes=["price", "delivery"])
    log.act(1, "resolve", cause="weather")
    log.act(1, "resolve", cause="delivery")
    run = play(log.records)
    assert [(one.reason, one.causes) for one in run.refused] == [("unknown_cause", ("price", "delivery"))]
    assert (case_of(run).state, case_of(run).cause) == ("resolved", "delivery")


def test_acknowledging_a_snoozed_case_wakes_it_and_takes_no_contact_back(log: LogBuilder) -> None:
    log.act(1, "contact")
    log.act(1, "snooze", until_ms=log.now_ms + HOUR)
    log.act(1, "acknowledge")
    case = case_of(play(log.records))
    assert (case.state, case.snoozed_until_ms, case.snoozed_from) == ("contacted", None, None)


def test_one_more_unhappy_answer_wakes_a_snoozed_case(log: LogBuilder) -> None:
    log.act(1, "acknowledge")
    log.act(1, "snooze", until_ms=log.now_ms + DAY)
    log.answer(2, 1, respondent="anna")
    run = play(log.records)
    assert said(run)[-1] == "answer_joined"
    case = case_of(run)
    assert (case.state, case.snoozed_until_ms, case.snoozed_from) == ("acknowledged", None, None)


def test_after_a_resolution_the_next_unhappy_answer_begins_a_case_of_its_own(log: LogBuilder) -> None:
    log.act(1, "resolve")
    log.answer(2, 1, respondent="anna")
    run = play(log.records)
    assert said(run) == ["raised", "resolved", "raised"]
    assert (case_of(run, 1).state, case_of(run, 2).state) == ("resolved", "open")


def test_a_reopened_case_has_new_clocks_and_the_younger_one_joins_it(log: LogBuilder) -> None:
    log.act(1, "contact", note=note_id(1))
    log.act(1, "callback", at_ms=log.now_ms + DAY)
    log.act(1, "resolve")
    log.answer(2, 1, respondent="anna")
    log.act(2, "contact", actor="lee", outcome="no_answer", note=note_id(2))
    log.now_ms += 5 * DAY
    log.act(1, "reopen")
    run = play(log.records)
    assert said(run)[-3:] == ["reopened", "joined", "answer_joined"]
    case = case_of(run)
    assert (case.state, case.owner, case.answers) == ("open", "kim", (response_id(1), response_id(2)))
    assert (case.contacted_ms, case.agreed_ms, case.resolved_ms, case.cause) == (None, None, None, None)
    assert (case.attempts, case.contacts, case.notes) == (2, 1, (note_id(1), note_id(2)))
    assert (case.contact_due_ms, case.resolve_due_ms) == (log.now_ms + 10 * HOUR, log.now_ms + 3 * DAY)
    other = case_of(run, 2)
    assert (other.state, other.joined_into, other.notes) == ("joined", case.case_id, ())
    assert [event.act is not None for event in run.events[-3:]] == [True, False, False]
    assert [answer.case_id for _, answer in run.answers if answer.response_id == response_id(2)][-1] == case.case_id


def test_nobody_reopens_what_no_answer_asks_for_any_more(log: LogBuilder) -> None:
    log.act(1, "resolve")
    log.answer(1, 9, respondent="anna", revision=1)
    log.act(1, "reopen")
    log.answer(1, 2, respondent="anna", revision=2)
    log.act(1, "reopen")
    run = play(log.records)
    assert refusals(run) == ["nobody_unhappy"]
    assert said(run) == ["raised", "resolved", "answer_edited", "answer_edited", "reopened"]


def test_a_resolved_case_is_reopened_long_after_its_answer_came(log: LogBuilder) -> None:
    log.now_ms += 200 * DAY
    log.act(1, "resolve")
    log.now_ms += 210 * DAY
    log.act(1, "reopen")
    assert said(play(log.records))[-1] == "reopened"


def test_the_customers_own_edit_closes_and_reopens_what_people_have_at_hand(log: LogBuilder) -> None:
    log.act(1, "contact")
    log.act(1, "snooze", until_ms=log.now_ms + HOUR)
    log.answer(1, 9, respondent="anna", revision=1)
    log.act(1, "note", note=note_id(1))
    log.act(1, "resolve")
    log.answer(1, 2, respondent="anna", revision=2)
    run = play(log.records)
    assert said(run)[-3:] == ["rescored", "noted", "reopened"]
    assert refusals(run) == ["not_allowed"]
    case = case_of(run)
    assert (case.state, case.owner, case.snoozed_until_ms, case.contacted_ms) == ("open", "kim", None, None)
    assert (case.attempts, case.contacts) == (1, 1)


def test_a_resolved_case_that_goes_to_another_respondent_leaves_no_new_work_behind(log: LogBuilder) -> None:
    log.answer(2, 0, respondent="anna")
    log.act(1, "resolve")
    log.answer(1, 3, respondent="bo", revision=1)
    run = play(log.records)
    assert said(run) == ["raised", "answer_joined", "resolved", "answer_edited"]
    assert (case_of(run).respondent, case_of(run).answers) == ("bo", (response_id(1),))
    left = values.RESOLVED.unpack(run.state.data[keys.answer(TEAM, response_id(2))])
    assert (left.case_id, left.not_raised) == (None, "resolved")


# -- notes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("erasing", ["answer", "respondent"])
def test_the_text_of_notes_goes_with_the_answer_or_the_person_they_speak_of(log: LogBuilder, erasing: str) -> None:
    log.act(1, "acknowledge", note=note_id(1))
    log.act(1, "contact", note=note_id(2))
    if erasing == "answer":
        log.append(TEAM.encode(), command_value("erase", 1))
    else:
        log.append(None, erase_respondent_value("anna"))
    run = play(log.records)
    assert case_of(run).notes == ()
    assert set(run.tombstones) == {*gone(1, 2), person_key(TEAM, response_id(1))}


def test_the_text_goes_also_when_another_answer_of_the_case_is_erased(log: LogBuilder) -> None:
    log.answer(2, 0, respondent="anna")
    log.act(1, "acknowledge", note=note_id(1))
    log.append(TEAM.encode(), command_value("erase", 2))
    run = play(log.records)
    assert (case_of(run).state, case_of(run).notes) == ("acknowledged", ())
    assert set(gone(1)) <= set(run.tombstones)


def test_nobody_writes_about_a_person_who_is_erased(log: LogBuilder) -> None:
    log.act(1, "resolve")
    log.append(TEAM.encode(), command_value("erase", 1))
    log.act(1, "note", note=note_id(1))
    run = play(log.records)
    assert refusals(run) == ["nobody_left"]
    assert set(gone(1)) <= set(run.tombstones)


def test_notes_of_one_respondent_do_not_go_over_to_another(log: LogBuilder) -> None:
    log.act(1, "acknowledge", note=note_id(1))
    log.answer(1, 3, respondent="bo", revision=1)
    run = play(log.records)
    assert (case_of(run).respondent, case_of(run).notes, run.tombstones) == ("bo", (), gone(1))


def test_notes_stay_when_the_customer_makes_themselves_known() -> None:
    log = LogBuilder()
    log.answer(1, 3)
    log.act(1, "acknowledge", note=note_id(1))
    log.answer(1, 3, respondent="bo", revision=1)
    run = play(log.records)
    assert (case_of(run).respondent, case_of(run).notes, run.tombstones) == ("bo", (note_id(1),), [])


def test_a_command_that_comes_again_with_another_text_leaves_none_behind(log: LogBuilder) -> None:
    log.act(1, "note", command=9, note=note_id(1))
    log.act(1, "note", command=9, note=note_id(1))
    log.act(1, "note", command=9, note=note_id(2))
    run = play(log.records)
    assert (case_of(run).notes, run.tombstones) == ((note_id(1),), gone(2))


def test_a_case_keeps_so_many_notes_and_no_more(log: LogBuilder) -> None:
    for number in range(MOST_NOTES + 1):
        log.act(1, "note", note=note_id(number))
    run = play(log.records)
    assert (len(case_of(run).notes), refusals(run)) == (MOST_NOTES, ["too_many_notes"])
    assert run.tombstones == gone(MOST_NOTES)


def test_notes_leave_with_their_case(log: LogBuilder) -> None:
    log.act(1, "resolve", note=note_id(1))
    log.tick(HORIZON_MS)
    run = play(log.records)
    assert run.tombstones == []
    log.tick(MINUTE)
    run.fold(log.records[-1:])
    assert run.tombstones == gone(1)
    assert keys.case(TEAM, case_id(1)) not in run.state.data
    assert not [key for key in run.state.data if key[:1] == b"k"]


# -- what cannot be decided on -------------------------------------------------------------------------------------


def asked(log: LogBuilder, fields: dict[str, Any]) -> None:
    """An acknowledgement with other fields."""
    log.append(TEAM.encode(), json.dumps(json.loads(act_value(1, "acknowledge", 7)) | fields).encode())


@pytest.mark.parametrize(
    ("fields", "detail"),
    [
        pytest.param({"kind": "contact"}, "contact needs outcome", id="contact"),
        pytest.param({"kind": "callback"}, "callback needs at_ms", id="callback"),
        pytest.param({"kind": "snooze"}, "snooze needs until_ms", id="snooze"),
        pytest.param({"kind": "resolve"}, "resolve needs cause", id="resolve"),
        pytest.param({"kind": "note"}, "note needs note", id="note"),
        pytest.param({"command_id": "7"}, "command_id is a UUID", id="command"),
        pytest.param({"case_id": "ü" * 36}, "case_id is a UUID", id="case"),
        pytest.param({"note": "n"}, "note is a UUID", id="note-id"),
    ],
)
def test_an_act_that_lacks_what_its_kind_needs_is_rejected(
    log: LogBuilder, fields: dict[str, Any], detail: str
) -> None:
    asked(log, fields)
    run = play(log.records)
    assert [(reject.reason, reject.detail) for reject in run.rejects] == [("bad_field", detail)]
    assert (said(run), run.refused) == (["raised"], [])


@pytest.mark.parametrize("fields", [{"kind": "pray"}, {"actor": ""}, {"owner": "x" * 65}, {"outcome": "maybe"}])
def test_an_act_of_a_kind_that_there_is_not_is_rejected(log: LogBuilder, fields: dict[str, Any]) -> None:
    asked(log, fields)
    assert [reject.reason for reject in play(log.records).rejects] == ["undecodable"]
