"""What people do with cases, told naively: of one act and the case before it, what must have come about.

Written from the guide alone, case by case; shares no table and no code with the fold.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

from msgspec import structs

from schemas.followups import Case, FollowupEvent, Refused
from schemas.people import person_key
from tests.unit.stream.fakes import PARTITION, TOLD_BY_TIME, FakeState, Record
from tests.unit.stream.holding import OPEN, cases_of, named, resolved_of
from tests.unit.stream.recount import Recount
from tests.unit.stream.said import Out

Fields = dict[str, Any]
KIND_OF: Final = {
    "acknowledge": "followup.acknowledged",
    "assign": "followup.assigned",
    "note": "followup.noted",
    "callback": "followup.callback_agreed",
    "snooze": "followup.snoozed",
    "resolve": "followup.resolved",
    "reopen": "followup.reopened",
}


def act_of(record: Record) -> Fields | None:
    """What a record asks for; None for one that is no act."""
    if record.value is None or b'"act"' not in record.value:
        return None
    said: Fields = json.loads(record.value)
    return said if said.get("type") == "act" else None


def may(case: Case, kind: str) -> bool:
    """Whether people can do this with a case as it stands."""
    if kind == "reopen":
        return case.state == "resolved"
    if kind == "acknowledge":
        return case.state in ("open", "snoozed")
    return case.state in OPEN or (kind == "note" and case.state in ("resolved", "rescored"))


def why_not(case: Case, act: Fields, now_ms: int, state: FakeState, truth: Recount) -> str | None:
    """Why an act is refused; None when it is not."""
    if act.get("expect_n", case.n) != case.n:
        return "stale"
    if not may(case, act["kind"]):
        return "not_allowed"
    if ("at_ms" in act and act["at_ms"] <= now_ms) or ("until_ms" in act and act["until_ms"] <= now_ms):
        return "time_is_past"
    causes = truth.policies.get(case.team, {}).get("root_causes", [])
    if act["kind"] == "resolve" and causes and act["cause"] not in causes:
        return "unknown_cause"
    names = [(case.team, answer) for answer in case.answers]
    if act["kind"] == "reopen" and not any(_calls(name, case, state, truth) for name in names):
        return "nobody_unhappy"
    if "note" in act and len(case.notes) >= 100:
        return "too_many_notes"
    if "note" in act and truth.erased.issuperset(names):
        return "nobody_left"
    return None


def _calls(name: tuple[str, str], case: Case, state: FakeState, truth: Recount) -> bool:
    return name in truth.answers and truth.answers[name].detractor and resolved_of(state, *name).case_id == case.case_id


def done(case: Case, act: Fields, now_ms: int) -> tuple[str, Fields]:
    """The kind of the event, and the fields of the case that an act changes."""
    kind = act["kind"]
    fields: Fields = {}
    if "note" in act:
        fields["notes"] = case.notes if act["note"] in case.notes else (*case.notes, act["note"])
    if kind == "assign":
        fields["owner"] = act.get("owner")
    elif kind not in ("note", "reopen") and case.owner is None:
        fields["owner"] = act["actor"]
    awake = {"snoozed_until_ms": None, "snoozed_from": None}
    if kind == "acknowledge":
        contacted = case.snoozed_from == "contacted"
        fields |= {"state": "contacted" if contacted else "acknowledged", **awake}
    elif kind == "contact":
        fields["attempts"] = case.attempts + 1
        if act["outcome"] in ("no_answer", "failed"):
            fields["state"] = "acknowledged" if case.state == "open" else case.state
            return "followup.contact_failed", fields
        fields |= {"state": "contacted", "contacts": case.contacts + 1, "agreed_ms": None, **awake}
        fields["contacted_ms"] = case.contacted_ms or now_ms
        return "followup.contacted", fields
    elif kind == "callback":
        fields |= {"agreed_ms": act["at_ms"], "contact_due_ms": act["at_ms"]}
        fields["state"] = "acknowledged" if case.state == "open" else case.state
    elif kind == "snooze":
        was = case.snoozed_from if case.state == "snoozed" else case.state
        fields |= {"state": "snoozed", "snoozed_until_ms": act["until_ms"], "snoozed_from": was}
    elif kind == "resolve":
        fields |= {"state": "resolved", "cause": act["cause"], "resolved_ms": now_ms, "agreed_ms": None, **awake}
    elif kind == "reopen":
        fields |= {"state": "open", "cause": None, "resolved_ms": None, "contacted_ms": None, "agreed_ms": None}
    return KIND_OF[kind], fields


def assert_acted(
    record: Record, cases: dict[str, Case], outputs: Iterable[Out], after: FakeState, truth: Recount
) -> None:
    """One record was folded. If it was an act: what came of it, and that nothing else did. If not: nobody acted.

    `cases`: as they stood before the record.
    """
    said = [out.message for out in outputs]
    events = [one for one in said if isinstance(one, FollowupEvent)]
    refused = [one for one in said if isinstance(one, Refused)]
    act = act_of(record)
    if act is None or record.offset in truth.rejected:
        assert not refused
        assert all(event.act is None for event in events)
        return
    team = (record.key or b"").decode()
    for event in events:
        if event.act is None and time_told(event):
            cases[event.case.case_id] = event.case  # what fell due came before the act
    case = _before(cases.get(act["case_id"]), truth)
    if truth.came_again:
        assert not refused
        assert not any(event.act for event in events)
        return
    if case is not None and case.team != team:
        case = None
    reason = "unknown_case" if case is None else why_not(case, act, truth.stream_ms, after, truth)
    if case is None or reason is not None:
        (refusal,) = refused
        assert not any(event.act for event in events)
        assert (refusal.event_id, refusal.at_ms) == (named(1, PARTITION, record.offset, "refused"), truth.stream_ms)
        assert (refusal.reason, refusal.team, refusal.act.command_id) == (reason, team, act["command_id"])
        at = (None, None, []) if case is None else (case.state, case.n, [kind for kind in ALL if may(case, kind)])
        assert (refusal.state, refusal.n, list(refusal.allowed)) == at
        return
    assert not refused
    (event,) = [event for event in events if event.act is not None]
    kind, fields = done(case, act, truth.stream_ms)
    if act["kind"] == "reopen":  # with clocks of its own
        fields |= {"contact_due_ms": event.case.contact_due_ms, "resolve_due_ms": event.case.resolve_due_ms}
        assert min(event.case.contact_due_ms, event.case.resolve_due_ms) > truth.stream_ms
    fields |= _asked_again(case, act["kind"], truth)
    fields |= {"n": case.n + 1, "changed_ms": truth.stream_ms, "version": event.case.version}
    fields["next_ms"] = event.case.next_ms  # see `clocking`
    assert (event.kind, event.case) == (kind, structs.replace(case, **fields))
    assert event.act is not None
    assert event.act.command_id == act["command_id"]
    if act["kind"] != "reopen":  # an open case of the respondent may join it, or it that one
        assert events[-1:] == [event]
        assert cases_of(after)[case.case_id] == event.case


def _asked_again(case: Case, kind: str, truth: Recount) -> Fields:
    """When the customer is due to be asked again: from a resolution on, once, and not while the case is open again."""
    due_ms = case.reask_due_ms
    if kind == "reopen" and due_ms is not None and due_ms > truth.stream_ms:
        return {"reask_due_ms": None}
    after_ms = truth.policies.get(case.team, {}).get("reask_ms")
    if kind == "resolve" and after_ms is not None and due_ms is None and case.reask is None:
        return {"reask_due_ms": truth.stream_ms + after_ms}
    return {}


ALL: Final = ("acknowledge", "assign", "note", "contact", "callback", "snooze", "resolve", "reopen")


def time_told(event: FollowupEvent) -> bool:
    """Whether it was time that told it, and no record."""
    return event.clock is not None or event.kind in TOLD_BY_TIME


def _before(case: Case | None, truth: Recount) -> Case | None:
    """A case as it stands when the record comes; it may have left the state as time went on."""
    if case is not None and case.state not in OPEN and -(-case.changed_ms // 60_000) < truth.closed:
        return None
    return case


def assert_notes_hold(forgotten: set[bytes | None], state: FakeState, truth: Recount) -> None:
    """Every text that came with an act is named by one case, or deleted; none of an erased person's is left.

    A text whose command came again after it was forgotten is left aside: by then it may be both.
    """
    held = [(case.team, note) for case in cases_of(state).values() for note in case.notes]
    assert len(set(held)) == len(held)
    named_once = {person_key(*note) for note in truth.notes}
    kept = {person_key(*note) for note in held} & named_once
    assert named_once - kept <= forgotten, "a text that nothing names any more"
    assert not kept & forgotten, "deleted, and named still"
    for case in cases_of(state).values():
        if truth.erased.issuperset((case.team, answer) for answer in case.answers):
            assert not case.notes, "kept of an erased person"
