"""`team-changes.v1`: what changed, packed per team and batch. Key: the team; none for `Position`.

Panes and answers are absolute values: the greatest `version` of a (team, minute) or (team, response_id) wins,
and writing one twice is harmless. Minutes are counted since 1970-01-01 UTC; a pane is named by its end, so
minute m holds the answers of (m - 1 min, m]. Times ending in `_ms` are milliseconds since then.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Policy = Literal["all", "latest"]
Cause = Literal["late", "revision", "newer_answer", "exclusion", "inclusion", "erasure"]


class PaneChange(msgspec.Struct, frozen=True, gc=False):
    """One minute of one team: counted answers per score 0..10, for each policy."""

    minute: int
    version: int
    all: list[int]
    latest: list[int]


class AnswerChange(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The resolved state of one answer after the record at `version`.

    `event_ms` and `first_offset` are fixed by the first accepted record of the id; `known_ms` is the append time
    of this state. `reasons` lists why it is not counted. `history`: older than the horizon at its receipt, in no
    pane. `case_id` is the follow-up it raised or joined; `not_raised` says why a counted detractor raised none.
    `reask_of`: the customer was asked again about this follow-up.
    `erased`: forgotten for ever. Only the ids, the version and the times of what is left are said then: `score` and
    `revision` are 0 and mean nothing, the rest is as if it had never been given. `event_ms` and `first_offset` are 0
    too where the fold does not know the answer: it has not come yet, or came more than 400 days ago.
    """

    response_id: str
    version: int
    event_ms: int
    known_ms: int
    first_offset: int
    score: int
    revision: int = 0
    respondent: str | None = None
    reasons: tuple[str, ...] = ()
    history: bool = False
    personal: bool = False
    survey: str | None = None
    channel: str | None = None
    locale: str | None = None
    medium: str | None = None
    callback_ms: int | None = None
    age_group: str | None = None
    attributes: dict[str, str] = {}
    case_id: str | None = None
    not_raised: str | None = None
    erased: bool = False
    reask_of: str | None = None


class PaneDelta(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """`[minute, policy, score, change]`: one answer more (+1) or less (-1) at that score."""

    minute: int
    policy: Policy
    score: int
    change: int


class WindowMove(msgspec.Struct, frozen=True, gc=False):
    """A live window before and after a correction, `[detractors, passives, promoters]` each, at `as_of`."""

    minutes: int
    policy: Policy
    before: tuple[int, int, int]
    after: tuple[int, int, int]


class Correction(msgspec.Struct, frozen=True):
    """A record changed what was already shown: late by over a minute, or an edit of a counted answer.

    `id` = UUIDv5(generation, partition, offset, "correction"). `as_of` is the live minute it was applied at.
    """

    id: str
    version: int
    known_ms: int
    as_of: int
    cause: Cause
    response_id: str
    deltas: list[PaneDelta]
    windows: list[WindowMove]


class TeamChanges(msgspec.Struct, tag_field="type", tag="changes", frozen=True, omit_defaults=True):
    """Everything one batch changed for one team."""

    team: str
    panes: list[PaneChange] = []
    answers: list[AnswerChange] = []
    corrections: list[Correction] = []
    v: int = 1


class Position(msgspec.Struct, tag_field="type", tag="position", frozen=True):
    """Everything that the records below offset `through` of this feedback partition caused stands before this."""

    partition: int
    through: int
    v: int = 1


ChangesRecord = TeamChanges | Position
