"""Asking a customer again: when that is due, and the pair of the case and the answer that comes of it.

A case that a person resolves is due for it by the policy of that moment, once in its life; when the time has come, one
event says so (`stream.domain.deadlines`). Whoever asks, for that reason or of their own accord, posts the answer with
the case's id, and the case tells of it from then on: the first one that counts, for as long as it counts and names the
case. In windows, and for follow-ups, it is an answer like any other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from schemas.followups import Case, Reask
from stream.domain import cases, policies, values
from stream.domain.values import Resolved

if TYPE_CHECKING:
    from stream.domain.work import Work


def promised(work: Work, case: Case) -> Case:
    """A case that is being resolved, with when the customer is to be asked again, if the team asks and nobody has."""
    after_ms = policies.of(work, case.team).reask_ms
    if after_ms is None or case.reask_due_ms is not None or case.reask is not None:
        return case
    return structs.replace(case, reask_due_ms=work.known_ms + after_ms)


def stopped(work: Work, case: Case) -> Case:
    """The case, of which nobody is to be asked again as it stands; that somebody was stays known."""
    if case.reask_due_ms is None or case.reask_due_ms <= work.known_ms:
        return case
    return structs.replace(case, reask_due_ms=None)


def is_withheld(work: Work, case: Case) -> bool:
    """Whether better nobody is asked: they are unhappy anew, or there is nobody who was unhappy."""
    return cases.open_case_of(work, case.team, case.respondent) is not None or not cases.any_detractor(work, case)


def follow(work: Work, team: str, response_id: str, old: Resolved | None, new: Resolved) -> None:
    """An answer came, was changed or erased: the case that it named, and the one that it names, tell of it as it is."""
    was, now = _names(old), _names(new)
    if was is not None and was != now:
        before = work.case(team, was)
        if before is not None and before.reask is not None and before.reask.response_id == response_id:
            cases.tell(work, structs.replace(before, reask=None), "followup.reask_forgotten", response_id)
    case = None if now is None else work.case(team, now)
    if case is None or case.response_id == response_id:
        return
    pair = Reask(response_id, new.score, new.event_ms)
    if case.reask is None or (case.reask.response_id == response_id and case.reask != pair):
        cases.tell(work, structs.replace(stopped(work, case), reask=pair), "followup.reasked", response_id)


def _names(answer: Resolved | None) -> str | None:
    return None if answer is None or answer.reasons else values.reask_of(answer)
