"""`followups.v1`: every change of a follow-up case, one event each. Key: the team; none for `Position`.

Each event carries the case as it stands after it, so the newest event (greatest `n`) of a case is the case.
Event id = UUIDv5(case_id, n); at least once on the wire, so a reader drops an id it has seen. What was asked of a case
and refused changes nothing, and is told apart, as `Refused`.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from schemas.changes import Position
from schemas.feedback import Act, ActKind

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
    "followup.acknowledged",
    "followup.assigned",
    "followup.noted",
    "followup.contacted",
    "followup.contact_failed",
    "followup.callback_agreed",
    "followup.snoozed",
    "followup.woke",
    "followup.resolved",
    "followup.reask",
    "followup.reask_withheld",
    "followup.reasked",
    "followup.reask_forgotten",
]
RefusedFor = Literal[
    "unknown_case",
    "stale",
    "not_allowed",
    "time_is_past",
    "nobody_unhappy",
    "nobody_left",
    "too_many_notes",
    "unknown_cause",
]
Clock = Literal["contact", "resolve"]


class Reask(msgspec.Struct, frozen=True):
    """The answer of a customer who was asked again: its id, its score as it stands, its event time."""

    response_id: str
    score: int
    answered_ms: int


class Case(msgspec.Struct, frozen=True, omit_defaults=True):
    """A follow-up case: one unhappy respondent of one team, and the answers that belong to it.

    `response_id` and `score` are those of the opening answer as it stands now; `answers` are the ids of all answers
    in the case, oldest first. `survey`, `channel`, `locale`, `medium` and `attributes` are what the opening answer came
    with. `n` counts the case's events. Times are milliseconds UTC. `personal` says that
    `people.v1` holds text for at least one of the answers. `next_ms`: when the next reminder, deadline or escalation
    of its clocks falls due, or its sleep ends; null when there is none.

    What people did since it was raised or reopened: `contacted_ms`, when the customer first heard from them;
    `agreed_ms`, when the customer is to be called back; `snoozed_until_ms`, and the state it wakes up to; `cause` and
    `resolved_ms`. Since it was raised: `attempts` to contact the customer, `contacts` that came about (of both
    directions), `notes`, the ids of texts that `people.v1` holds.

    `reask_due_ms`: when the customer is to be asked again; once that time has come, when they were. `reask`: what they
    answered. `reask_of`: the case that the opening answer was itself asked for again.
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
    contacted_ms: int | None = None
    agreed_ms: int | None = None
    snoozed_until_ms: int | None = None
    snoozed_from: State | None = None
    resolved_ms: int | None = None
    cause: str | None = None
    attempts: int = 0
    contacts: int = 0
    notes: tuple[str, ...] = ()
    attributes: dict[str, str] = {}
    reask_due_ms: int | None = None
    reask: Reask | None = None
    reask_of: str | None = None


class FollowupEvent(msgspec.Struct, tag_field="type", tag="event", frozen=True, omit_defaults=True):
    """One change of a case. `at_ms` is the append time of the record that caused it, `response_id` its answer, `act`
    what a person did.

    What time tells (`reminder`, `breached`, `escalated`, `woke`, `reask`, `reask_withheld`) has neither: `at_ms` is
    when it fell due, `clock` which of the two clocks it is about, if any, and `level`, of an escalation, how far up it
    goes, from 1. `reask`: the customer is to be asked again now; `reasked`: the case has their answer, or that has
    changed; `reask_forgotten`: it counts no more, or is erased. `carried` is
    no change: it tells a case that the log has forgotten and a `carry` has said again, and has an id of its own.
    """

    event_id: str
    kind: Kind
    at_ms: int
    case: Case
    response_id: str | None = None
    v: int = 1
    clock: Clock | None = None
    level: int | None = None
    act: Act | None = None


class Refused(msgspec.Struct, tag_field="type", tag="refused", frozen=True, omit_defaults=True):
    """What a person asked for did not come about. `allowed`: what may be asked of the case in its state;
    `causes`: what the team resolves cases with, when `cause` is none of it.

    Id = UUIDv5(generation, partition, offset, "refused"). `state` and `n` are the case's; null for an unknown case.
    """

    event_id: str
    at_ms: int
    team: str
    act: Act
    reason: RefusedFor
    version: int
    allowed: tuple[ActKind, ...] = ()
    state: State | None = None
    n: int | None = None
    v: int = 1
    causes: tuple[str, ...] = ()


FollowupRecord = FollowupEvent | Refused | Position
