"""`feedback.v1`, the log. Key: the team. Value: one of the records below, as JSON with `type` and `v`.

A known record type never changes meaning; fields are only ever added, with a default. Personal text never
stands here: it goes to `people.v1` (`schemas.people`), and `respondent` is a keyed hash.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec

Score = Annotated[int, msgspec.Meta(ge=0, le=10)]
TimeMs = Annotated[int, msgspec.Meta(ge=0, le=253_402_300_799_999)]  # 1970 to 9999


class Answer(msgspec.Struct, tag_field="type", tag="answer", omit_defaults=True, frozen=True, gc=False):
    """One survey answer, or a revision of one.

    `response_id` is a lower-case UUID, unique within its team. `content` is a hash of everything the client sent,
    made before any stamping: same revision and same content is the same answer again. `answered_ms` is null when
    the client gave none: the event time is then the append time. `personal` says that `people.v1` holds text.
    `reask_of`: the customer was asked again about this follow-up case.
    """

    response_id: str
    score: Score
    content: str
    v: int = 1
    answered_ms: TimeMs | None = None
    revision: int = 0
    respondent: str | None = None
    test: bool = False
    personal: bool = False
    survey: str | None = None
    channel: str | None = None
    locale: str | None = None
    medium: str | None = None
    callback_ms: TimeMs | None = None
    age_group: str | None = None
    attributes: dict[str, str] = {}
    reask_of: str | None = None


Reason = Literal["test", "bot", "invalid", "duplicate_person"]


class Exclude(msgspec.Struct, tag_field="type", tag="exclude", omit_defaults=True, frozen=True, gc=False):
    """Do not count an answer, for a reason. Of `exclude` and `include` with one reason the last in the log holds.

    It survives revisions and may come before the answer. For `test` it overrides what the answer says of itself.
    """

    response_id: str
    reason: Reason
    v: int = 1


class Include(msgspec.Struct, tag_field="type", tag="include", omit_defaults=True, frozen=True, gc=False):
    """Take a reason back: the answer counts again unless another one stands. See `Exclude`."""

    response_id: str
    reason: Reason
    v: int = 1


class Erase(msgspec.Struct, tag_field="type", tag="erase", omit_defaults=True, frozen=True, gc=False):
    """Forget an answer for ever: it is counted nowhere, and later records with its id are rejected."""

    response_id: str
    v: int = 1


class EraseRespondent(
    msgspec.Struct, tag_field="type", tag="erase_respondent", omit_defaults=True, frozen=True, gc=False
):
    """Forget every answer that a respondent has given so far. Key: none; one stands in every partition."""

    respondent: str
    v: int = 1


class Tick(msgspec.Struct, tag_field="type", tag="tick", omit_defaults=True, frozen=True, gc=False):
    """Time passed. Key: none; the partition is explicit. Only its append time matters; early or twice is harmless."""

    v: int = 1


class Windows(msgspec.Struct, tag_field="type", tag="windows", omit_defaults=True, frozen=True, gc=False):
    """The live windows from here on, in minutes: 1 to 20, ascending, none over 366 days. The last in the log holds.

    Key: none; one stands in every partition. `stream.domain.minutes.WINDOWS` holds until the first.
    """

    minutes: tuple[int, ...]
    v: int = 1


class CarryWindows(msgspec.Struct, tag_field="type", tag="carry_windows", omit_defaults=True, frozen=True, gc=False):
    """The live windows, said again before `Windows` leaves the log: they hold where none are known. See `Windows`."""

    minutes: tuple[int, ...]
    v: int = 1


HOUR_MS: Final = 3_600_000


class Policy(msgspec.Struct, tag_field="type", tag="policy", omit_defaults=True, frozen=True, gc=False):
    """What a team promises from here on, and all that goes with it. Key: the team. The last in the log holds.

    `rev` is a hash of what it was made from. First contact within `contact_ms` and resolution within `resolve_ms` of
    working time, which is `open`: starts and ends of intervals in turn, ascending, milliseconds UTC; empty for around
    the clock. The calendar is expanded up to `until_ms`; what lies beyond counts around the clock. `remind_ms`: so much
    working time before a deadline; `escalate_ms`: so much after it, one a level, ascending. An answer older than
    `raise_within_ms` is not followed up. `root_causes`: what a case may be resolved with; empty for anything. `config`:
    the team's whole configuration, for who tells people; it may name staff, and never a customer. `reask_ms`: so long
    after a case was resolved the customer is to be asked again; null for never.
    """

    rev: str
    v: int = 1
    contact_ms: int = 10 * HOUR_MS
    resolve_ms: int = 72 * HOUR_MS
    open: tuple[int, ...] = ()
    until_ms: TimeMs | None = None
    remind_ms: tuple[int, ...] = ()
    escalate_ms: tuple[int, ...] = ()
    raise_within_ms: int = 7 * 24 * HOUR_MS
    root_causes: tuple[str, ...] = ()
    config: dict[str, Any] = {}
    reask_ms: int | None = None


ActKind = Literal["acknowledge", "assign", "note", "contact", "callback", "snooze", "resolve", "reopen"]
# What came of an attempt to contact the customer. In the first three they have heard from us, or we from them.
ContactOutcome = Literal["reached", "message_left", "replied", "no_answer", "failed"]
Handle = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class Act(msgspec.Struct, tag_field="type", tag="act", omit_defaults=True, frozen=True, gc=False):
    """What a person did, or asks to do, with a follow-up case. Key: the case's team. Only the fold decides on it.

    Of one `command_id` (a UUID) the first counts, whatever comes of it. `actor` and `owner` are names of people who
    work on cases. `expect_n`: apply it only while the case has so many events. `note`: `people.v1` holds a text under
    this UUID, which no other record names. The rest belongs to some kinds: `owner` to assign, absent for nobody;
    `medium` and `outcome` to contact; `at_ms` (and `medium`) to callback, the time agreed with the customer;
    `until_ms` to snooze; `cause`, why the customer was unhappy, to resolve.
    """

    command_id: str
    case_id: str
    kind: ActKind
    actor: Handle
    v: int = 1
    expect_n: Annotated[int, msgspec.Meta(ge=0)] | None = None
    owner: Handle | None = None
    medium: Annotated[str, msgspec.Meta(min_length=1, max_length=40)] | None = None
    outcome: ContactOutcome | None = None
    at_ms: TimeMs | None = None
    until_ms: TimeMs | None = None
    cause: Annotated[str, msgspec.Meta(min_length=1, max_length=200)] | None = None
    note: str | None = None


FeedbackRecord = Answer | Exclude | Include | Erase | EraseRespondent | Windows | CarryWindows | Policy | Act | Tick

# Commands for everybody: they have no key, and one copy of each stands in every partition.
EVERYWHERE: Final = (EraseRespondent, Windows, CarryWindows)
