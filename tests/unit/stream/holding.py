"""What must hold of a partition after any log: its state against the naive recount, and its sums against its panes.

The recount (`recount.py`) gives the truth. What is here reads the state's keys and values, and never calls the fold.
"""

from __future__ import annotations

import json
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from schemas.changes import AnswerChange, TeamChanges
from schemas.followups import Case, FollowupEvent
from schemas.policies import TeamPolicy
from schemas.rejects import Reject
from schemas.scores import TeamScores
from stream.domain import keys, values
from stream.domain.ids import NAMESPACE
from stream.domain.minutes import WINDOWS
from stream.domain.values import Resolved
from tests.unit.stream.fakes import HOUR, PARTITION, FakeState, Record
from tests.unit.stream.recount import HORIZON, Counted, Counts, Recount, tally
from tests.unit.stream.said import Out

OPEN: Final = {"open", "acknowledged", "contacted", "snoozed"}
FAR: Final = 3 * 365 * 24 * 60  # minutes; a score with no due minute holds for ever


def named(*parts: object) -> str:
    """The UUIDv5 of the standard library in our namespace."""
    return str(uuid.uuid5(uuid.UUID(bytes=NAMESPACE), "|".join(map(str, parts))))


# -- reading the state ---------------------------------------------------------------------------------------------


def panes_of(state: FakeState) -> Iterator[tuple[str, int, list[int]]]:
    """(team, minute, 22 counts) of every stored pane."""
    for key, raw in state.data.items():
        if key[:1] == b"p":
            yield key[3:-8].decode(), keys.pane_minute(key), values.PANE.unpack(raw)


def teams_of(state: FakeState) -> dict[str, values.Team]:
    """The live windows of every team."""
    return {key[3:].decode(): values.TEAM.unpack(raw) for key, raw in state.data.items() if key[:1] == b"w"}


def cases_of(state: FakeState) -> dict[str, Case]:
    """Every case, by its id."""
    found = [values.CASE.unpack(raw) for key, raw in state.data.items() if key[:1] == b"c"]
    return {case.case_id: case for case in found}


def resolved_of(state: FakeState, team: str, response_id: str) -> Resolved:
    """An answer as the state holds it. Raises KeyError for one that it does not."""
    return values.RESOLVED.unpack(state.data[keys.answer(team, response_id)])


def summed(panes: Iterable[tuple[int, list[int]]], policy: str) -> Counts:
    """(D, N, P) of the panes of one policy."""
    part = [score for _, pane in panes for score in range(11) for _ in range(pane[score + 11 * (policy == "latest")])]
    return tally(part)


# -- what must hold ------------------------------------------------------------------------------------------------


def assert_all_holds(state: FakeState, scores: Mapping[str, TeamScores], truth: Recount) -> None:
    """Everything below. `scores`: the last published ones of each team."""
    assert_windows_hold(state, scores, truth)
    assert_panes_hold(state, truth)
    assert_rings_are_what_panes_say(state)
    assert_cases_hold(state, truth)
    assert_erased_hold(state, truth)
    assert_all_leaves_in_time(state, truth)


def assert_windows_hold(state: FakeState, scores: Mapping[str, TeamScores], truth: Recount) -> None:
    """Published windows = panes summed = a recount, at every minute they are valid for."""
    panes = list(panes_of(state))
    live = -(-truth.stream_ms // 60_000)
    assert {team for team, minutes in truth.panes().items() if minutes} <= scores.keys()
    for team, shown_scores in scores.items():
        own = [(minute, pane) for name, minute, pane in panes if name == team]
        assert shown_scores.as_of <= live
        assert tuple(window.minutes for window in shown_scores.windows) == truth.windows
        assert shown_scores.valid_until is None or live < shown_scores.valid_until
        for t in _minutes_to_try(shown_scores):
            for window in shown_scores.windows:
                inside = [pane for pane in own if t - window.minutes < pane[0] <= t]
                for policy, shown in (("all", window.all), ("latest", window.latest)):
                    counted = truth.counts(team, policy, t, window.minutes)
                    assert (shown.detractors, shown.passives, shown.promoters) == counted, (team, t, window, policy)
                    assert summed(inside, policy) == counted, (team, t, window.minutes, policy)


def _minutes_to_try(scores: TeamScores) -> set[int]:
    last = scores.as_of + FAR if scores.valid_until is None else scores.valid_until - 1
    return {scores.as_of, (scores.as_of + last) // 2, last}


def assert_panes_hold(state: FakeState, truth: Recount) -> None:
    """Every pane is the histogram of its minute; one that holds nothing (any more) may be there or not.

    One that is older than the horizon stays as it is until it leaves.
    """
    stored: dict[str, dict[int, list[int]]] = defaultdict(dict)
    for team, minute, pane in panes_of(state):
        if any(pane) and minute >= truth.closed:
            stored[team][minute] = pane
    expected = {
        team: {minute: pane for minute, pane in minutes.items() if minute >= truth.closed}
        for team, minutes in truth.panes().items()
    }
    assert stored == {team: minutes for team, minutes in expected.items() if minutes}


def assert_rings_are_what_panes_say(state: FakeState) -> None:
    """Every ring of every team derived again from the panes, and the due keys from the teams."""
    teams = teams_of(state)
    panes = list(panes_of(state))
    raw = state.data.get(keys.WINDOWS)
    lengths = WINDOWS if raw is None else values.WINDOWS.unpack(raw)
    for name, team in teams.items():
        inner = 0
        due = []
        for ring, window in zip(team.rings, lengths, strict=True):
            inside = sorted(
                (minute, pane) for of, minute, pane in panes if of == name and inner <= team.t - minute < window
            )
            assert ring[0] == (inside[0][0] if inside else 0)
            assert ring[1:] == [*summed(inside, "all"), *summed(inside, "latest")]
            due += [inside[0][0] + window] if inside else []
            inner = window
        assert team.due == min(due, default=0)
    stored = {keys.split_due(key) for key in state.data if key[:1] == b"x"}
    assert stored == {(team.due, name) for name, team in teams.items() if team.due}


def assert_cases_hold(state: FakeState, truth: Recount) -> None:
    """Every detractor that calls for it is in exactly one case, open as long as one of its answers is unhappy."""
    cases = cases_of(state)
    homes: dict[tuple[str, str], list[str]] = defaultdict(list)
    for case in cases.values():
        if case.state != "joined":
            for member in case.answers:
                homes[case.team, member].append(case.case_id)

    for (team, response_id), answer in truth.answers.items():
        resolved = resolved_of(state, team, response_id)
        if _is_only_told_of(answer, resolved, truth):
            assert homes[team, response_id] == []
            continue
        left_behind = resolved.not_raised == "resolved"  # by a case that people have resolved
        if answer.calls and not left_behind:
            assert resolved.case_id is not None, "a detractor that nobody follows up"
        if resolved.case_id is not None and answer.detractor:
            assert cases[resolved.case_id].state in OPEN | {"resolved"}
        assert homes[team, response_id] == ([] if resolved.case_id is None else [resolved.case_id])
        if resolved.case_id is not None:
            assert not answer.history
        if left_behind:
            assert answer.detractor
            assert resolved.case_id is None
        elif answer.detractor and resolved.case_id is None:
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
        assert (case.snoozed_until_ms is not None) == (case.snoozed_from is not None) == (case.state == "snoozed")
        assert case.state == "resolved" or (case.reask_due_ms or 0) <= truth.stream_ms, "due of what is not resolved"
        assert (case.resolved_ms is not None) == (case.cause is not None) == (case.state == "resolved")
        if (case.team, case.response_id) in truth.erased:
            assert (case.survey, case.channel, case.locale, case.medium, case.callback_ms) == (None,) * 5
            assert case.reask_of is None
            assert case.respondent is None or case.state != "joined", "kept of an erased answer"
        if case.state == "joined":
            assert case.joined_into in cases
            continue
        assert case.joined_into is None
        assert case.response_id in case.answers
        opening = truth.answers.get((case.team, case.response_id))
        if opening is not None:
            assert (case.score, case.respondent) == (opening.score, opening.respondent)
            came_with = case.survey, case.channel, case.locale, case.medium, case.callback_ms
            assert came_with == opening.came_with[:5]
            assert case.reask_of == opening.reask_of
        names = [(case.team, member) for member in case.answers]
        if truth.erased.issuperset(names):
            assert (case.state in OPEN, case.respondent) == (False, None), "nobody is left to be called"
            continue
        members = [truth.answers[name] for name in names if name not in truth.erased]
        assert {member.respondent for member in members} == {case.respondent}, "a case is one person's"
        assert case.respondent is not None or len(members) == 1
        unhappy = any(member.detractor for member in members)
        if case.state != "resolved":
            assert (case.state in OPEN) == unhappy, "a case is open as long as one of its answers is unhappy"


def _is_only_told_of(answer: Counted, resolved: Resolved, truth: Recount) -> bool:
    """Whether an answer has outlived its own case, because an older one still tells of it (`reasking`)."""
    return answer.reask_of is not None and answer.received < truth.closed and resolved.case_id is None


def _came_with(one: values.Context | AnswerChange) -> tuple[Any, ...]:
    found = one.survey, one.channel, one.locale, one.medium, one.callback_ms, one.age_group, one.attributes
    return tuple(value or None for value in found)


def assert_said_hold(said: Mapping[tuple[str, str], AnswerChange], state: FakeState, truth: Recount) -> None:
    """What was last said of every answer is the answer as it stands, or stood when it left the state.

    `said`: by team and response id.
    """
    assert truth.answers.keys() | truth.erased <= said.keys()
    for (team, response_id), change in said.items():
        assert change.erased == ((team, response_id) in truth.erased)
        if (team, response_id) not in truth.answers.keys() | truth.erased:
            assert (team, response_id) in truth.forgotten
            continue
        one = resolved_of(state, team, response_id)
        first_offset = 0 if one.first_offset == values.NOT_GIVEN else one.first_offset
        assert (change.event_ms, change.first_offset, change.history) == (one.event_ms, first_offset, one.history)
        assert (change.not_raised, change.personal) == (one.not_raised, one.personal)
        answered = truth.answers.get((team, response_id))
        if answered is None or not _is_only_told_of(answered, one, truth):
            assert change.case_id == one.case_id
        if change.erased:
            assert (change.score, change.revision, change.respondent, change.reasons) == (0, 0, None, ())
            assert _came_with(change) == (None,) * 7
            continue
        answer = truth.answers[team, response_id]
        assert change.reask_of == answer.reask_of
        assert (change.score, change.revision) == (answer.score, answer.revision)
        assert (change.respondent, frozenset(change.reasons)) == (answer.respondent, answer.reasons)
        assert _came_with(change) == answer.came_with


def assert_named_after(record: Record, outputs: Iterable[Out]) -> None:
    """Corrections and rejects of one record have the ids that its place in the log gives them, for ever."""
    for message in (out.message for out in outputs):
        if isinstance(message, Reject):
            assert message.id == named(1, PARTITION, record.offset, "reject")
        elif isinstance(message, TeamChanges):
            for one in message.corrections:
                of_many = "" if record.key is not None else f"/{message.team}/{one.response_id}"
                assert one.id == named(1, PARTITION, record.offset, "correction" + of_many)


def assert_closed_panes_stay(outputs: Iterable[Out], truth: Recount) -> None:
    """One record changes no pane that is older than the horizon, and corrects none."""
    for message in (out.message for out in outputs):
        if isinstance(message, TeamChanges):
            changed = {pane.minute for pane in message.panes}
            changed |= {delta.minute for one in message.corrections for delta in one.deltas}
            assert all(minute >= truth.closed for minute in changed)


def assert_policies_hold(state: FakeState, said: Mapping[str, TeamPolicy], truth: Recount) -> None:
    """Of each team the last policy of the log is held, and said. `said`: the newest of each team."""
    held = {key[3:].decode(): values.POLICY.unpack(raw) for key, raw in state.data.items() if key[:1] == b"t"}
    assert held == said
    found = {team: json.loads(msgspec.json.encode(one.policy)) for team, one in held.items()}
    assert found == truth.policies


def assert_promised(outputs: Iterable[Out], truth: Recount) -> None:
    """A case that one record raises or opens again is due when the team's policy has it, or when a call was agreed."""
    for event in (out.message for out in outputs):
        if isinstance(event, FollowupEvent) and event.kind in ("followup.raised", "followup.reopened"):
            case = event.case
            called_ms = case.callback_ms if case.callback_ms and case.callback_ms > truth.stream_ms else None
            contact_ms = called_ms or truth.promised(case.team, "contact_ms", 10 * HOUR)
            assert (case.contact_due_ms, case.resolve_due_ms) == (
                contact_ms,
                truth.promised(case.team, "resolve_ms", 72 * HOUR),
            )


def assert_deadlines_hold(state: FakeState, cases: Mapping[str, Case]) -> None:
    """One entry for each case of which something is to be said, at the time when it is. `cases`: as last said."""
    held = cases_of(state)
    assert all(held[case_id] == case for case_id, case in cases.items() if case_id in held)
    entries = {keys.split_deadline(key) for key in state.data if key[:1] == b"d"}
    assert entries == {(case.next_ms, case.case_id, case.team) for case in held.values() if case.next_ms is not None}


def _held(state: FakeState) -> dict[tuple[str, str], Resolved]:
    return {_named_by(key): values.RESOLVED.unpack(raw) for key, raw in state.data.items() if key[:1] == b"r"}


def _named_by(key: bytes) -> tuple[str, str]:
    return key[3 : -keys.UUID_BYTES - 2].decode(), key[-keys.UUID_BYTES :].decode()


def assert_erased_hold(state: FakeState, truth: Recount) -> None:
    """Of an erased answer only its id is left; an answer that nobody erased is as its records leave it."""
    held = _held(state)
    erased = {name for name, one in held.items() if one.erased}
    assert erased == truth.erased
    known = {name: one for name, one in held.items() if not one.erased and one.first_offset != values.NOT_GIVEN}
    assert known.keys() == truth.answers.keys()
    for name, answer in truth.answers.items():
        one = known[name]
        assert (one.event_ms, one.first_offset, one.history) == (answer.event_ms, answer.first_offset, answer.history)
        assert (one.score, one.revision, one.content) == (answer.score, answer.revision, answer.content)
        assert (one.respondent, frozenset(one.reasons)) == (answer.respondent, answer.reasons)
        assert values.reask_of(one) == answer.reask_of
        assert _came_with(one.context or values.PLAIN) == answer.came_with
    for name in erased:
        left = held[name]
        reasons = ("erased",) if left.reasons else ()
        assert left == Resolved(left.event_ms, left.first_offset, left.history, 0, 0, "", reasons=reasons, erased=True)
    listed: dict[str, set[str]] = defaultdict(set)
    for key, raw in state.data.items():
        if key[:1] == b"a":
            listed[keys.team_in(key)].add(raw.decode())
    expected: dict[str, set[str]] = defaultdict(set)
    for (team, response_id), answer in truth.answers.items():
        if answer.respondent is not None:
            expected[team].add(response_id)
    assert listed == expected


def assert_all_leaves_in_time(state: FakeState, truth: Recount) -> None:
    """Nothing is kept that no answer, mark or case of the last 400 days asks for, and all that is kept will leave."""
    cases = cases_of(state)
    counted = [one for one in truth.answers.values() if one.counted and one.respondent]
    newest = {key for key in state.data if key[:1] == b"l"}
    # Of answers older than the horizon none need be the newest: it stands in no pane.
    assert newest >= {_newest_key(one) for one in counted if -(-one.event_ms // 60_000) >= truth.closed}
    assert newest <= {_newest_key(one) for one in counted}
    assert all(minute >= truth.closed - HORIZON for _, minute, _ in panes_of(state))
    for name, answer in truth.answers.items():
        if answer.received < truth.closed:
            case_id = resolved_of(state, *name).case_id
            assert case_id is None or case_id in cases, "an answer that its case has not kept"
    early = {name: one for name, one in _held(state).items() if one.first_offset == values.NOT_GIVEN and not one.erased}
    marks = {name: dict(one.marks) for name, one in early.items() if one.marks}
    assert marks == {
        name: marks for name, marks in truth.marks.items() if name not in truth.answers.keys() | truth.erased
    }
    assert early.keys() == marks.keys()
    assert all(one.case_id is None for one in early.values())

    commands = {_named_by(key): int.from_bytes(raw, "big") for key, raw in state.data.items() if key[:1] == b"k"}
    assert commands == truth.commands

    listed = set()
    for key, raw in state.data.items():
        if key[:1] == b"h":
            assert int.from_bytes(key[1:9], "big") > truth.minute, "it should have left"
            listed |= set(_entries(raw))
    for key in state.data:
        if key[:1] == b"c":
            assert (b"c", *_named_by(key)) in listed, "a case that stays for ever"
        if key[:1] == b"k":
            assert (b"k", *_named_by(key)) in listed, "a command that stays for ever"
    for name, one in _held(state).items():
        if not one.erased:
            letter = b"m" if one.first_offset == values.NOT_GIVEN else b"r"
            assert (letter, *name) in listed, "an answer that stays for ever"


def _newest_key(answer: Counted) -> bytes:
    return b"l" + keys.text(answer.team) + keys.text(answer.respondent or "")


def _entries(raw: bytes) -> Iterator[tuple[bytes, str, str]]:
    """(letter, team, id) of what is listed to leave."""
    while raw:
        end = 3 + int.from_bytes(raw[1:3], "big") + 2 + keys.UUID_BYTES
        entry, raw = raw[:end], raw[end:]
        yield entry[:1], *_named_by(entry)
