"""What is wrong with a carry. The fold itself has made it, and takes up no other."""

from __future__ import annotations

from typing import Final

from schemas.carries import Carry
from stream.domain import policies
from stream.domain.keys import UUID_BYTES
from stream.domain.moves import WAKING

MOST: Final = 1 << 62  # of any number


def flaw(carry: Carry) -> str | None:
    """What is wrong with a carry; None when it can be used."""
    ids = [*carry.erased, *(carried.answer.response_id for carried in carry.answers)]
    numbers = [carry.as_of, carry.policy_version, carry.policy_ms]
    for carried in carry.answers:
        numbers += (carried.first_offset, carried.answer.revision)
    case = carry.case
    if case is not None:
        ids += (case.case_id, case.response_id, *case.answers, *case.notes)
        numbers += (case.n, case.raised_ms, case.changed_ms, case.contact_due_ms, case.resolve_due_ms, case.version)
        numbers += (case.snoozed_until_ms or 0, case.agreed_ms or 0, case.attempts, case.contacts)
        numbers.append(case.reask_due_ms or 0)
        if case.reask is not None:
            ids.append(case.reask.response_id)
            numbers += (case.reask.score, case.reask.answered_ms)
        asleep = case.state == "snoozed"
        if (case.snoozed_until_ms is not None, case.snoozed_from in WAKING) != (asleep, asleep):
            return "a snoozed case knows until when, and from where"
    if not all(len(one) == UUID_BYTES and one.isascii() for one in ids):
        return "ids are UUIDs"
    if not all(0 <= number < MOST for number in numbers):
        return "numbers are not below 0"
    return None if carry.policy is None else policies.flaw(carry.policy)
