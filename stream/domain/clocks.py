"""The two clocks of a case: first contact and resolution, as the team's policy promises them when they are started."""

from __future__ import annotations

from msgspec import structs

from schemas.followups import Case
from stream.domain import policies, promise
from stream.domain.work import Work


def start(work: Work, case: Case) -> Case:
    """Both clocks start now: somebody is to see to the case, for the first time or again."""
    policy = policies.of(work, case.team)
    due_ms = promise.deadline(policy.open, policy.until_ms, work.known_ms, policy.resolve_ms)
    return start_contact(work, structs.replace(case, resolve_due_ms=due_ms))


def start_contact(work: Work, case: Case) -> Case:
    """The first clock starts now. It is due when the customer has asked to be called, if that is still to come."""
    if case.callback_ms is not None and case.callback_ms > work.known_ms:
        return structs.replace(case, contact_due_ms=case.callback_ms)
    policy = policies.of(work, case.team)
    due_ms = promise.deadline(policy.open, policy.until_ms, work.known_ms, policy.contact_ms)
    return structs.replace(case, contact_due_ms=due_ms)
