"""Carries: what would outlive the log is said again in it, so that a log whose beginning has gone still tells it.

They are records of `feedback.v1`, appended by the worker when the fold says so. A carry establishes what is not known
any more; where it is known it changes nothing, so one that comes twice or late does no harm.
"""

from __future__ import annotations

import msgspec

from schemas.feedback import Answer, FeedbackRecord, Policy
from schemas.followups import Case


class CarriedAnswer(msgspec.Struct, omit_defaults=True, frozen=True, gc=False):
    """An answer of a carried case, as it stands: its winning revision, and what its first record and commands fixed.

    `answered_ms` of the answer is its event time; `test` says whether it is not counted for being one.
    """

    answer: Answer
    first_offset: int
    marks: dict[str, bool] | None = None


class Carry(msgspec.Struct, tag_field="type", tag="carry", omit_defaults=True, frozen=True, gc=False):
    """State of one team, as the records below `as_of` have left it. Key: the team.

    `as_of` = generation * 2**48 + offset; `fold`: the version of the fold that has read them. `policy`, with the
    `policy_version` and `policy_ms` of
    `schemas.policies.TeamPolicy`; `case` with those of its answers that are older than the horizon; `erased`: ids.
    """

    as_of: int
    v: int = 1
    fold: int = 0
    policy: Policy | None = None
    policy_version: int = 0
    policy_ms: int = 0
    case: Case | None = None
    answers: tuple[CarriedAnswer, ...] = ()
    erased: tuple[str, ...] = ()


LogEntry = FeedbackRecord | Carry
