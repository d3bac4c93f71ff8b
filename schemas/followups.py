"""`followups.v1`: every change of a follow-up case, one event each. Key: the team; none for `Position`.

Each event carries the case as it stands after it, so the newest event (greatest `n`) of a case is the case.
Event id = UUIDv5(case_id, n); at least once on the wire, so a reader drops an id it has seen.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from schemas.changes import Position

State = Literal["open", "acknowledged", "contacted", "resolved", "snoozed", "rescored", "withdrawn", "joined"]
Kind = Literal[
    "followup.raised",
    "followup.answer_joined",
    "followup.answer_edited",
    "followup.answer_erased",
    "followup.rescored",
    "followup.withdrawn",
    "followup.joined",
    "followup.reopened",
    "followup.reminder",
    "followup.breached",
    "followup.escalated",
    "followup.carried",
]
Clock = Literal["contact", "resolve"]


class Case(msgspec.Struct, frozen=True, omit_defaults=True):
    """A follow-up case: one unhappy respondent of one team, and the answers that belong to it.

    `response_id` and `score` are those of the opening answer as it stands now; `answers` are the ids of all answers
    in the case, oldest first. `n` counts the case's events. Times are milliseconds UTC. `personal` says that
    `people.v1` holds text for at least one of the answers. `next_ms`: when the next reminder, deadline or escalation
    of its clocks falls due; null when there is none.
    """

    case_id: str
    team: str
    response_id: str
    score: int
    state: State
    n: int
    raised_ms: int
    changed_ms: int
    contact_due_ms: int
    resolve_due_ms: int
    answers: tuple[str, ...]
    version: int
    respondent: str | None = None
    owner: str | None = None
    survey: str | None = None
    channel: str | None = None
    locale: str | None = None
    medium: str | None = None
    callback_ms: int | None = None
    personal: bool = False
    joined_into: str | None = None
    next_ms: int | None = None


class FollowupEvent(msgspec.Struct, tag_field="type", tag="event", frozen=True, omit_defaults=True):
    """One change of a case. `at_ms` is the append time of the record that caused it, `response_id` its answer.

    What the clocks tell (`reminder`, `breached`, `escalated`) has no answer: `at_ms` is when it fell due, `clock` which
    of the two it is about, and `level`, of an escalation, how far up it goes, from 1. `carried` is no change: it tells
    a case that the log has forgotten and a `carry` has said again, and has an id of its own.
    """

    event_id: str
    kind: Kind
    at_ms: int
    case: Case
    response_id: str | None = None
    v: int = 1
    clock: Clock | None = None
    level: int | None = None


FollowupRecord = FollowupEvent | Position
