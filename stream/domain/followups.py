"""Follow-up cases: an unhappy customer becomes exactly one case that somebody owns.

One open case per respondent and team, per answer where the respondent is unknown. A case is opened by its first
answer and keeps that answer's id for ever: case id = UUIDv5(team, response_id), event id = UUIDv5(case, n). The
customer's own edit to 7 or more closes it as `rescored`, an exclusion as `withdrawn`; back to 6 or less reopens it.
"""

from __future__ import annotations

from typing import Final

from msgspec import structs

from schemas.feedback import Act
from schemas.followups import Case, Kind, State
from stream.domain import cases, clocks, expiry, ids, keys, policies, reasks, values
from stream.domain.moves import Signal, move
from stream.domain.values import OPEN, PLAIN, Resolved
from stream.domain.work import Work

ERASED: Final[Kind] = "followup.answer_erased"
BY_ITSELF: Final[frozenset[State]] = frozenset({"rescored", "withdrawn"})  # closed by no person


def follow(
    work: Work,
    team: str,
    response_id: str,
    old: Resolved | None,
    new: Resolved,
    appended_ms: int,
) -> Resolved:
    """Raise, join, reopen or close the case that an answer's change asks for.

    Shape:   the answer before (None: just accepted) and after in; the answer after, with `case_id` and `not_raised`.
    """
    if old is None or new.case_id is None:
        if not cases.is_detractor(new):
            return new
        return _begin(work, team, response_id, new, appended_ms, first=old is None)
    case = cases.known(work, team, new.case_id)
    if old.respondent != new.respondent:
        if response_id != case.response_id:
            return _leave(work, case, response_id, new, appended_ms)
        case = _move(work, case, response_id, new.respondent)
    case = _update(work, case, response_id, new)
    return structs.replace(new, case_id=case.case_id)


def forget(work: Work, team: str, response_id: str, old: Resolved) -> None:
    """An answer was erased: its case keeps nothing of it, and closes as `withdrawn` unless another one asks for it."""
    own_id = ids.uuid5(team, response_id)
    if own_id != old.case_id:
        own = work.case(team, own_id)  # once opened by it, and joined into another since
        if own is not None:
            cases.tell(work, cases.emptied(own), ERASED, response_id)
    if old.case_id is None:
        return
    case = cases.known(work, team, old.case_id)
    if response_id == case.response_id:
        case = cases.blank(case)
    others = [work.answer(keys.answer(team, other)) for other in cases.members(work, case) if other != response_id]
    case = cases.forget_notes(work, case)
    case = structs.replace(case, personal=any(other is not None and other.personal for other in others))
    wanted = any(cases.is_detractor(other) for other in others)
    if case.state in OPEN and not wanted:
        cases.release(work, case)
        case = cases.moved(case, "withdraw")
        kind: Kind = "followup.withdrawn"
    else:
        kind = ERASED
    if not others and (response_id == case.response_id or cases.opening_is_erased(work, case)):
        case = structs.replace(case, respondent=None)
    cases.tell(work, case, kind, response_id)


def _begin(work: Work, team: str, response_id: str, new: Resolved, appended_ms: int, *, first: bool) -> Resolved:
    """A detractor answer that nobody has been called about: raise or join a case, unless it is too old for that."""
    if new.history:
        return structs.replace(new, not_raised="history")
    if new.event_ms < appended_ms - policies.of(work, team).raise_within_ms:
        return structs.replace(new, not_raised="too_old")
    return _enter(work, team, response_id, new, first=first)


def _enter(work: Work, team: str, response_id: str, new: Resolved, *, first: bool = False) -> Resolved:
    """A detractor answer without a case: join the respondent's open one, or raise. `first`: it has never raised one."""
    current = cases.open_case_of(work, team, new.respondent)
    if current is not None:
        answers = current.answers
        if response_id not in answers:
            answers = cases.listed((*answers, response_id))
        joined = structs.replace(cases.awake(current), answers=answers, personal=current.personal or new.personal)
        cases.tell(work, joined, "followup.answer_joined", response_id)
        return structs.replace(new, case_id=current.case_id)
    case_id = ids.named(f"{team}|{response_id}")
    key = keys.case(team, case_id)
    # There is a case of that id if this answer's was once joined into another, which the answer has left.
    before = None if first else work.case(team, case_id)
    policy, context, now_ms = policies.of(work, team), new.context or PLAIN, work.known_ms
    contact_due_ms, resolve_due_ms = clocks.started(work, policy, context.callback_ms)
    case = Case(  # by position, as far as they go: names would double its cost
        case_id,
        team,
        response_id,
        new.score,
        move(before.state, "relapse") if before else "open",
        before.n + 1 if before else 1,
        now_ms,
        now_ms,
        contact_due_ms,
        resolve_due_ms,
        (response_id,),
        work.version,
        new.respondent,
        None,  # owner
        context.survey,
        context.channel,
        context.locale,
        context.medium,
        context.callback_ms,
        new.personal,
        None,  # joined_into
        clocks.opened(work, policy, team, case_id, (contact_due_ms, resolve_due_ms)),
        attributes=context.attributes,
        reask_due_ms=before.reask_due_ms if before else None,
        reask=before.reask if before else None,
        reask_of=values.reask_of(new),
    )
    cases.told(work, key, case, "followup.reopened" if before else "followup.raised", response_id)
    cases.hold(work, case)
    if before is None:
        work.leaving.append(key)
    expiry.list_open(work, key, now_ms)
    return structs.replace(new, case_id=case_id)


def _update(work: Work, case: Case, response_id: str, new: Resolved) -> Case:
    """An answer of a case was edited or excluded: close, reopen, or just say so. Gives the case the answer ends in."""
    if response_id == case.response_id:
        context, callback_ms = new.context or PLAIN, case.callback_ms
        case = structs.replace(
            case,
            score=new.score,
            survey=context.survey,
            channel=context.channel,
            locale=context.locale,
            medium=context.medium,
            callback_ms=context.callback_ms,
            attributes=context.attributes,
            reask_of=values.reask_of(new),
        )
        if case.callback_ms != callback_ms and case.agreed_ms is None:  # another time is asked for, or none
            case = clocks.start_contact(work, case)
    case = structs.replace(case, personal=case.personal or new.personal)
    unhappy = cases.is_detractor(new) or cases.any_detractor(work, case, but=response_id)
    if case.state in OPEN and not unhappy:
        return _close(work, case, "withdraw" if new.reasons else "rescore", response_id)
    if case.state in BY_ITSELF and unhappy:
        return reopen(work, case, "relapse", response_id)
    return cases.tell(work, case, "followup.answer_edited", response_id)


def _move(work: Work, case: Case, response_id: str, respondent: str | None) -> Case:
    """The opening answer was edited to name another respondent: the case goes with it, and joins an older one.

    What the first respondent said besides stays with them, and is followed up in a case of its own.
    """
    if case.respondent is not None:
        case = cases.forget_notes(work, case)
    is_open = case.state in OPEN
    if is_open:
        cases.release(work, case)
    for answer in reversed(list(cases.members(work, case))):
        if answer != response_id:
            _leave_behind(work, case, answer)
    case = structs.replace(case, respondent=respondent, answers=(response_id,))
    if not is_open:
        return case
    other = cases.open_case_of(work, case.team, respondent)
    if other is None:
        cases.hold(work, case)
        return case
    return _merge(work, case, other, response_id)


def _leave_behind(work: Work, case: Case, response_id: str) -> None:
    """An answer whose case goes to another respondent. What a person had resolved nobody is called about again."""
    key = keys.answer(case.team, response_id)
    found = work.answer(key)
    if found is None:
        raise ValueError("a case holds an answer that the state does not")
    found = structs.replace(found, case_id=None)
    if cases.is_detractor(found):
        if case.state == "resolved":
            found = structs.replace(found, not_raised="resolved")
        else:
            found = _enter(work, case.team, response_id, found)
    work.put_answer(key, found)
    work.of(case.team).say(response_id, found)


def _leave(work: Work, case: Case, response_id: str, new: Resolved, appended_ms: int) -> Resolved:
    """An answer that had joined a case was edited to name another respondent: it leaves, and may begin its own."""
    answers = tuple(answer for answer in case.answers if answer != response_id)
    case = cases.forget_notes(work, case)
    others = any(answer != response_id for answer in cases.members(work, case))
    if not others and cases.opening_is_erased(work, case):  # nobody is left
        if case.state in OPEN:
            cases.release(work, case)
        case = structs.replace(case, respondent=None)
    case = cases.tell(work, structs.replace(case, answers=answers), "followup.answer_edited", response_id)
    if case.state in OPEN and not cases.any_detractor(work, case, but=response_id):
        _close(work, case, "rescore", response_id)
    new = structs.replace(new, case_id=None)
    if not cases.is_detractor(new):
        return new
    # Somebody was to be called about it: that its age is over the limit by now does not change this.
    if case.state in OPEN:
        return _enter(work, case.team, response_id, new)
    return _begin(work, case.team, response_id, new, appended_ms, first=False)


def reopen(work: Work, case: Case, signal: Signal, response_id: str | None, act: Act | None = None) -> Case:
    """Somebody is to see to it again: the same case, with new clocks; the respondent's younger one joins it."""
    case = structs.replace(cases.moved(case, signal), contacted_ms=None, agreed_ms=None, resolved_ms=None, cause=None)
    case = clocks.start(work, reasks.stopped(work, case))
    expiry.list_open(work, keys.case(case.team, case.case_id), case.raised_ms)
    other = cases.open_case_of(work, case.team, case.respondent)
    case = cases.tell(work, case, "followup.reopened", response_id, act)
    if other is None:
        cases.hold(work, case)
        return case
    return _merge(work, case, other, response_id)


def _merge(work: Work, a: Case, b: Case, response_id: str | None) -> Case:
    """Two open cases of one respondent: the younger closes as `joined`, its answers and notes go over to the older."""
    older, younger = sorted((a, b), key=lambda case: (case.raised_ms, case.case_id))
    closed = structs.replace(cases.moved(younger, "join"), joined_into=older.case_id, notes=())
    if cases.opening_is_erased(work, younger):
        closed = cases.emptied(closed)
    cases.tell(work, closed, "followup.joined", response_id)
    answers = cases.listed(tuple(dict.fromkeys((*older.answers, *younger.answers))))
    older = structs.replace(
        cases.awake(older),
        answers=answers,
        personal=older.personal or younger.personal,
        owner=older.owner or younger.owner,
        attempts=older.attempts + younger.attempts,
        contacts=older.contacts + younger.contacts,
        notes=cases.kept_notes(work, older.team, (*older.notes, *younger.notes)),
    )
    older = cases.tell(work, older, "followup.answer_joined", response_id)
    for answer in list(cases.members(work, younger)):
        key = keys.answer(older.team, answer)
        found = work.answer(key)
        if found is not None:
            found = structs.replace(found, case_id=older.case_id)
            work.put_answer(key, found)
            if answer != response_id:  # the record's own answer is said when all is done
                work.of(older.team).say(answer, found)
    cases.hold(work, older)
    return older


def _close(work: Work, case: Case, signal: Signal, response_id: str) -> Case:
    cases.release(work, case)
    kind: Kind = "followup.withdrawn" if signal == "withdraw" else "followup.rescored"
    return cases.tell(work, cases.moved(case, signal), kind, response_id)
