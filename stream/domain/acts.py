"""What people do with cases: a command of the log is applied once, or refused with the reason and what is allowed.

Both are said, so that whoever waits for the outcome learns of it. A command that comes again changes and says nothing,
for as long as the state knows it (`k`, 400 days).
"""

from __future__ import annotations

from typing import Final

from msgspec import structs

from schemas import topics
from schemas.feedback import Act, ActKind
from schemas.followups import Case, Kind, Refused, RefusedFor, State
from stream.domain import cases, followups, ids, keys, policies, reasks
from stream.domain.messages import message
from stream.domain.moves import MOVES, Signal, allowed, waking
from stream.domain.work import Work

HEARD: Final = frozenset({"reached", "message_left", "replied"})  # the customer has heard from us, or we from them
KINDS: Final[dict[ActKind, Kind]] = {
    "acknowledge": "followup.acknowledged",
    "assign": "followup.assigned",
    "note": "followup.noted",
    "contact": "followup.contacted",
    "callback": "followup.callback_agreed",
    "snooze": "followup.snoozed",
    "resolve": "followup.resolved",
    "reopen": "followup.reopened",
}


def apply(work: Work, team: str, act: Act) -> None:
    """Apply one act to its case, or refuse it; say what came of it."""
    key = keys.command(team, act.command_id)
    case = work.case(team, act.case_id)
    if work.get(key) is not None:
        # Its text came with it once more, under the same id or, after a retry of the request, another.
        if act.note is not None and (case is None or act.note not in _holder(work, case).notes):
            work.forget_text(team, act.note)
        return
    work.put(key, keys.number(work.known_ms))
    work.leaving.append(key)
    signal = _signal(act, case)
    reason = "unknown_case" if case is None else _reason(work, case, act, signal)
    if case is None or reason is not None:
        _refuse(work, team, case, act, reason or "unknown_case")
        return
    if act.note is not None and act.note not in case.notes:
        case = structs.replace(case, notes=(*case.notes, act.note))
    if act.kind == "reopen":
        followups.reopen(work, case, signal, None, act)
        return
    kind: Kind = "followup.contact_failed" if signal == "attempt" else KINDS[act.kind]
    if act.kind == "resolve":
        cases.release(work, case)
        case = reasks.promised(work, case)
    cases.tell(work, _done(cases.moved(case, signal), case.state, act, work.known_ms), kind, None, act)


def _holder(work: Work, case: Case) -> Case:
    """The case that a case's notes have gone over to."""
    while case.joined_into is not None:
        case = cases.known(work, case.team, case.joined_into)
    return case


def _signal(act: Act, case: Case | None) -> Signal:
    if act.kind == "contact" and act.outcome not in HEARD:
        return "attempt"
    if act.kind == "acknowledge" and case is not None and case.snoozed_from == "contacted":
        return waking(case)
    return act.kind


def _reason(work: Work, case: Case, act: Act, signal: Signal) -> RefusedFor | None:
    """Why not; None when it is to be done."""
    if act.expect_n is not None and act.expect_n != case.n:
        return "stale"
    if (case.state, signal) not in MOVES:
        return "not_allowed"
    if any(ms is not None and ms <= work.known_ms for ms in (act.at_ms, act.until_ms)):
        return "time_is_past"
    if act.kind == "reopen" and not cases.any_detractor(work, case):
        return "nobody_unhappy"
    causes = policies.of(work, case.team).root_causes
    if act.kind == "resolve" and causes and act.cause not in causes:
        return "unknown_cause"
    if act.note is not None:
        if len(case.notes) >= cases.MOST_NOTES:
            return "too_many_notes"
        if not _anybody_left(work, case):
            return "nobody_left"
    return None


def _anybody_left(work: Work, case: Case) -> bool:
    """Whether not all of a case's answers are erased: otherwise no erasure would ever reach a note."""
    found = (work.answer(keys.answer(case.team, answer)) for answer in case.answers)
    return any(answer is None or not answer.erased for answer in found)


def _done(case: Case, before: State, act: Act, now_ms: int) -> Case:
    """What an act leaves behind in a case that it has moved. `before`: the state that it has moved it from."""
    if act.kind == "assign":
        return structs.replace(case, owner=act.owner)
    if act.kind == "note":
        return case
    case = structs.replace(case, owner=case.owner or act.actor)  # whoever works on what nobody has, has it
    match act.kind:
        case "contact":
            case = structs.replace(case, attempts=case.attempts + 1)
            if act.outcome in HEARD:
                first = now_ms if case.contacted_ms is None else case.contacted_ms
                case = structs.replace(case, contacts=case.contacts + 1, contacted_ms=first, agreed_ms=None)
        case "callback":
            case = structs.replace(case, agreed_ms=act.at_ms, contact_due_ms=act.at_ms or now_ms)
        case "snooze":
            case = structs.replace(case, snoozed_until_ms=act.until_ms, snoozed_from=case.snoozed_from or before)
        case "resolve":
            case = structs.replace(case, cause=act.cause, resolved_ms=now_ms, agreed_ms=None)
    return case


def _refuse(work: Work, team: str, case: Case | None, act: Act, reason: RefusedFor) -> None:
    """Say that nothing came of it. Its text goes, as no case names it but when the command is 400 days old."""
    if act.note is not None and (case is None or act.note not in case.notes):
        work.forget_text(team, act.note)
    refused = Refused(
        event_id=ids.uuid5(work.generation, work.partition, work.offset, "refused"),
        at_ms=work.known_ms,
        team=team,
        act=act,
        reason=reason,
        version=work.version,
        allowed=() if case is None else allowed(case.state),
        state=None if case is None else case.state,
        n=None if case is None else case.n,
        causes=policies.of(work, team).root_causes if reason == "unknown_cause" else (),
    )
    work.refusals.append(message(topics.FOLLOWUPS, team.encode(), refused))
