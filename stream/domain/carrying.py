"""What outlives the log: named when it is to be said again (`y`), read from the state, and taken up where it is lost.

A carry is right as of a place in the log, and was appended later. Where the state holds what it speaks of, that is as
new or newer, and nothing happens; so a whole log folds to the same with and without its carries. A state that was
folded from a log without its beginning learns here what it could not know, and lets go of what it has made up instead:
a case that it has raised for a customer whose older case it did not know joins that.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec
from msgspec import structs

from schemas.carries import CarriedAnswer, Carry
from schemas.feedback import Answer, CarryWindows
from schemas.followups import Case
from schemas.policies import TeamPolicy
from stream.domain import answers, cases, clocks, erasure, expiry, ids, keys, policies, reasks, values
from stream.domain.minutes import ceil_minute
from stream.domain.team_batch import TeamBatch
from stream.domain.values import FOLD_VERSION, NOT_GIVEN, OPEN, PLAIN, Meta, Newest, Resolved
from stream.domain.view import View
from stream.domain.work import Work

MOST_ERASED: Final = 500  # ids in one record
MOST_BYTES: Final = 45_000  # of answers in one record; one alone has 30,000 at most

Record = tuple[bytes | None, Carry | CarryWindows]  # its key, and what it says


# -- saying it again ---------------------------------------------------------------------------------------------------


def due(view: View, meta: Meta, most: int) -> list[Record]:
    """What is to be said again of a state that stands at `meta`: records for `most` things; empty for none."""
    as_of = ids.version(meta.generation, meta.position)
    records: list[Record] = []
    erased: dict[str, list[str]] = {}
    for marked, _ in view.scan(keys.CARRY, b"", keys.AFTER_ALL, most):
        letter, (team, name) = marked[1:2], keys.split_id(marked[1:])
        if letter == keys.WINDOWS:
            records.append((None, CarryWindows(values.live_windows(view.get_many((keys.WINDOWS,))[0]))))
        elif letter == keys.ERASED:
            erased.setdefault(team, []).append(name)
        elif letter == keys.POLICY:
            raw = view.get_many((keys.policy(team),))[0]
            if raw is not None:
                held = values.POLICY.unpack(raw)
                told = held.policy, held.version, held.at_ms
                records.append((team.encode(), Carry(as_of, 1, FOLD_VERSION, *told)))
        else:
            records += ((team.encode(), carry) for carry in _carries(Work(view, meta, 0, 0), as_of, team, name))
    for team, names in erased.items():
        for start in range(0, len(names), MOST_ERASED):
            some = tuple(names[start : start + MOST_ERASED])
            records.append((team.encode(), Carry(as_of, fold=FOLD_VERSION, erased=some)))
    return records


def _carries(work: Work, as_of: int, team: str, case_id: str) -> Iterator[Carry]:
    """One case: what it needs comes before it."""
    case = work.case(team, case_id)
    if case is None:  # it has left since: the record says that nothing of it is to be said
        return
    listed = [(name, work.answer(keys.answer(team, name))) for name in case.answers]
    erased = tuple(name for name, found in listed if found is not None and found.erased)
    names = dict.fromkeys(cases.members(work, case))
    if case.reask is not None:
        names[case.reask.response_id] = None
    old = [
        _carried(name, found)
        for name in names
        if (found := work.answer(keys.answer(team, name))) is not None
        and found.first_offset != NOT_GIVEN
        and not found.erased
        and found.minute < work.closed
    ]
    for part in _parts(old):
        yield Carry(as_of, fold=FOLD_VERSION, case=case, erased=erased, answers=tuple(part))
        erased = ()


def _parts(old: list[CarriedAnswer]) -> Iterator[list[CarriedAnswer]]:
    part: list[CarriedAnswer] = []
    size = 0
    for one in old:
        more = len(msgspec.json.encode(one))
        if part and size + more > MOST_BYTES:
            yield part
            part, size = [], 0
        part.append(one)
        size += more
    yield part


def _carried(response_id: str, found: Resolved) -> CarriedAnswer:
    context = found.context or PLAIN
    answer = Answer(
        response_id=response_id,
        score=found.score,
        content=found.content,
        answered_ms=found.event_ms,
        revision=found.revision,
        respondent=found.respondent,
        test="test" in found.reasons,
        personal=found.personal,
        reask_of=values.reask_of(found),
        **structs.asdict(context),
    )
    return CarriedAnswer(answer, found.first_offset, found.marks)


# -- taking it up ------------------------------------------------------------------------------------------------------


def apply_windows(work: Work, carry: CarryWindows) -> None:
    """The live windows, if the log has set none any more."""
    work.put(keys.CARRY + keys.entry(keys.WINDOWS, "", keys.NO_ID), None)
    if work.get(keys.WINDOWS) is None:
        work.set_windows(carry.minutes)


def apply(work: Work, team: TeamBatch, carry: Carry) -> None:
    """Take up what a carry says and the state does not hold; what has changed since is to be said once more."""
    for response_id in carry.erased:
        key = keys.answer(team.name, response_id)
        work.put(keys.CARRY + keys.entry(keys.ERASED, team.name, response_id), None)
        found = work.answer(key)
        if found is None or not found.erased:
            erasure.erase(work, team, key, response_id, f"correction/{response_id}")
    if carry.policy is not None:
        held = policies.held(work, team.name)
        if held is None or held.version < carry.policy_version:
            policies.put(work, TeamPolicy(team.name, carry.policy_version, carry.policy_ms, carry.policy))
        if held is None or held.version <= carry.policy_version:
            work.put(keys.CARRY + keys.entry(keys.POLICY, team.name, keys.NO_ID), None)
    if carry.case is not None and carry.case.team == team.name:
        _case(work, team, carry, carry.case)


def _case(work: Work, team: TeamBatch, carry: Carry, case: Case) -> None:
    held = work.case(case.team, case.case_id)
    if held is None or _is_made_up(held, case, carry):
        if not _take_up(work, team, carry, case, held):
            return
        held = case
    elif held.version >= carry.as_of:
        return  # it has changed since, and stays marked
    if held.case_id == case.case_id:
        _answers(work, team, carry, case)
    work.put(keys.CARRY + keys.case(case.team, case.case_id), None)


def _is_made_up(held: Case, case: Case, carry: Carry) -> bool:
    """Whether a state holds a case otherwise than the log once told it: it was folded from a log without that.

    One that has not changed since the carry was read is the same in a whole log, if the same fold has read it.
    """
    if held.version >= carry.as_of or ids.generation_of(held.version) != ids.generation_of(carry.as_of):
        return False
    return held != case if carry.fold == FOLD_VERSION else held.raised_ms > case.raised_ms


def _take_up(work: Work, team: TeamBatch, carry: Carry, case: Case, held: Case | None) -> bool:
    """Establish a case; False when it must not be, because it has left by now, or another is not known."""
    if case.state not in OPEN and expiry.leaves_at(work, case) <= work.minute:
        return False
    if case.joined_into is not None and work.case(case.team, case.joined_into) is None:
        return False
    others = _made_up_for(work, case)
    if any(not _is_older(other, carry.as_of) for other in others):
        return False
    key = keys.case(case.team, case.case_id)
    if held is not None:
        if held.state in OPEN:
            cases.release(work, held)
        elif case.state in OPEN:
            expiry.list_open(work, key, case.raised_ms)
        clocks.stop(work, held)
    else:
        expiry.block(work, expiry.leaves_at(work, case)).append(key)
        if case.state in OPEN:
            expiry.list_open(work, key, case.raised_ms)
    for other in others:
        _join(work, team, other, case)
    for response_id in case.answers:
        if _is_away(work, response_id, case, carry.as_of):
            _bring_home(work, team, response_id, case)
    if case.state in OPEN:
        cases.hold(work, case)
    if case.reask is not None and not _brings(work, carry, case.team, case.reask.response_id):
        case = structs.replace(case, reask=None)  # or an erasure of that answer would not find it
    cases.establish(work, case)
    return True


def _brings(work: Work, carry: Carry, team: str, response_id: str) -> bool:
    """Whether an answer is known, or will be by what the carry says; one younger than the horizon is in no carry."""
    found = work.answer(keys.answer(team, response_id))
    if found is not None and not _is_only_marked(found):
        return not found.erased
    return any(carried.answer.response_id == response_id for carried in carry.answers)


def _is_older(other: Case, as_of: int) -> bool:
    """Whether a case was last changed before a carry was read, or by a fold of another generation."""
    return other.version < as_of or ids.generation_of(other.version) != ids.generation_of(as_of)


def _made_up_for(work: Work, case: Case) -> list[Case]:
    """Cases that there would not be, had a carried one been known: of its respondent, or opened by its answers."""
    found: dict[str, Case] = {}
    current = cases.open_case_of(work, case.team, case.respondent) if case.state in OPEN else None
    opened = (work.case(case.team, ids.uuid5(case.team, response_id)) for response_id in case.answers)
    for other in (current, *opened):
        if other is not None and other.state != "joined":
            found[other.case_id] = other
    found.pop(case.case_id, None)
    return list(found.values())


def _join(work: Work, team: TeamBatch, other: Case, case: Case) -> None:
    """A case that was made up joins the one it stood for, with its answers."""
    if other.state in OPEN:
        cases.release(work, other)
    answers_of = list(cases.members(work, other))
    joined = structs.replace(
        cases.forget_notes(work, other),
        state="joined",
        joined_into=case.case_id,
        snoozed_until_ms=None,
        snoozed_from=None,
        resolved_ms=None,
        cause=None,
    )
    joined = reasks.stopped(work, joined)
    cases.tell(work, joined, "followup.joined", other.response_id)
    for response_id in answers_of:
        _bring_home(work, team, response_id, case)


def _is_away(work: Work, response_id: str, case: Case, as_of: int) -> bool:
    """Whether the state holds an answer of a carried case in another one, as that was before the carry was read."""
    one = work.answer(keys.answer(case.team, response_id))
    if one is None or one.erased or one.case_id == case.case_id:
        return False
    return one.case_id is None or _is_older(cases.known(work, case.team, one.case_id), as_of)


def _bring_home(work: Work, team: TeamBatch, response_id: str, case: Case) -> None:
    key = keys.answer(case.team, response_id)
    one = work.answer(key)
    if one is not None and not one.erased:
        one = structs.replace(one, case_id=case.case_id, not_raised=None)
        work.put_answer(key, one)
        if one.first_offset != NOT_GIVEN:
            team.say(response_id, one)


def _answers(work: Work, team: TeamBatch, carry: Carry, case: Case) -> None:
    """The answers of a case that the state does not know. Their panes have closed, so nothing is counted."""
    minute = expiry.leaves_at(work, case)
    for carried in carry.answers:
        answer = carried.answer
        key = keys.answer(case.team, answer.response_id)
        found = work.answer(key)
        if ceil_minute(answer.answered_ms or 0) >= work.closed or (found is not None and not _is_only_marked(found)):
            continue
        marks = carried.marks if found is None else {**(carried.marks or {}), **(found.marks or {})}
        own = _only_paired(case, answer.response_id)
        one = answers.carried(answer, carried.first_offset, None if own else case.case_id, marks)
        work.put_answer(key, one)
        expiry.block(work, minute).append(key)
        if one.respondent is None:
            continue
        respondent = keys.text(one.respondent)
        work.put_answer_of(team.prefixes.answers_of + respondent, one, answer.response_id)
        newest = work.newest(team.prefixes.newest + respondent)
        place = one.event_ms, one.first_offset
        if not one.reasons and (newest is None or (newest.event_ms, newest.first_offset) < place):
            newest = Newest(*place, answer.response_id, one.score, one.history)
            work.put_newest(team.prefixes.newest + respondent, newest)


def _only_paired(case: Case, response_id: str) -> bool:
    """Whether an answer came of asking again about a case, and is none of those in it; another one may fetch it."""
    return case.reask is not None and response_id == case.reask.response_id and response_id not in case.answers


def _is_only_marked(found: Resolved) -> bool:
    """Whether a command came, and the answer it speaks of did not, as far as this log tells."""
    return found.first_offset == NOT_GIVEN and not found.erased
