"""From records of the output topics to rows of ClickHouse. Pure: bytes in, rows out.

Times: DateTime columns take whole seconds, DateTime64(3) columns milliseconds, both UTC.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from schemas import topics
from schemas.changes import AnswerChange, ChangesRecord, Correction, PaneChange, Position
from schemas.feedback import Act
from schemas.followups import Case, FollowupEvent, FollowupRecord, Reask, Refused
from schemas.people import Person, rolled_after, split_person_key
from schemas.policies import TeamPolicy
from schemas.rejects import Reject
from schemas.scores import TeamScores
from stream.domain import ids

Row = tuple[Any, ...]

# Column names of each table, in the order of its rows; `positions` is written last.
TABLES: Final[Mapping[str, tuple[str, ...]]] = {
    "panes": ("team", "minute", "scores", "latest", "version"),
    "scores": (
        *("team", "minutes", "policy", "as_of", "valid_until"),
        *("detractors", "passives", "promoters", "version"),
    ),
    "answers": (
        *("team", "response_id", "version", "event_at", "known_at", "first_offset", "score", "revision"),
        *("respondent", "reasons", "history", "personal", "survey", "channel", "locale", "medium"),
        *("callback_at", "age_group", "attributes", "case_id", "not_raised", "erased", "reask_of"),
    ),
    "people": (
        *("team", "response_id", "revision", "comment", "respondent_id", "name", "email", "phone"),
        *("answers", "version", "deleted", "case_id", "noted_at"),
    ),
    "followups": (
        *("case_id", "team", "response_id", "score", "state", "n", "raised_at", "changed_at"),
        *("contact_due_at", "resolve_due_at", "answers", "respondent", "owner", "survey", "channel"),
        *("locale", "medium", "callback_at", "personal", "joined_into", "version"),
        *("contacted_at", "agreed_at", "snoozed_until", "snoozed_from", "resolved_at", "cause"),
        *("attempts", "contacts", "notes"),
        *("reask_due_at", "reask_response_id", "reask_score", "reask_answered_at", "reask_of"),
    ),
    "followup_events": (
        *("case_id", "n", "event_id", "team", "kind", "at", "response_id", "state", "score", "owner"),
        *("version", "actor", "medium", "outcome", "until", "cause", "note", "clock", "level", "raised_at"),
    ),
    "followup_commands": (
        *("case_id", "command_id", "team", "at", "act", "refused_for", "allowed", "causes", "state", "n", "version"),
    ),
    "corrections": (*("id", "team", "known_at", "as_of", "cause", "response_id", "deltas", "windows", "version"),),
    "policies": (*("team", "version", "set_at", "rev", "until", "contact_ms", "resolve_ms", "root_causes", "config"),),
    "rejects": ("id", "topic", "partition", "offset", "at", "reason", "detail", "key", "record"),
    "positions": ("topic", "partition", "through", "version"),
}

# Table of what people said → the column that marks a row as an erasure. Such a row names (team, response_id) and says
# nothing else: it stays, and every other row of that key goes for good.
ERASURES: Final[Mapping[str, str]] = {"answers": "erased", "people": "deleted"}
Key = tuple[str, str]  # (team, response_id)

_CHANGES: Final[msgspec.json.Decoder[ChangesRecord]] = msgspec.json.Decoder(ChangesRecord)
_FOLLOWUPS: Final[msgspec.json.Decoder[FollowupRecord]] = msgspec.json.Decoder(FollowupRecord)
_SCORES: Final = msgspec.json.Decoder(TeamScores)
_POLICIES: Final = msgspec.json.Decoder(TeamPolicy)
_PEOPLE: Final = msgspec.json.Decoder(Person)
_REJECTS: Final = msgspec.json.Decoder(Reject)

Rows = Iterator[tuple[str, Row]]


def changes_rows(_: bytes | None, value: bytes | None, offset: int, generation: int) -> Rows:
    """Rows of a `team-changes.v1` record."""
    record = _CHANGES.decode(_needed(value))
    if isinstance(record, Position):
        yield "positions", _position(topics.TEAM_CHANGES, record, generation)
        return
    team = record.team
    for pane in record.panes:
        yield "panes", _pane(team, pane)
    for answer in record.answers:
        yield "answers", _answer(team, answer)
    for correction in record.corrections:
        yield "corrections", _correction(team, correction)


def scores_rows(_: bytes | None, value: bytes | None, offset: int, generation: int) -> Rows:
    """Rows of a `team-scores.v1` record: one a window and policy."""
    scores = _SCORES.decode(_needed(value))
    until = None if scores.valid_until is None else scores.valid_until * 60
    for window in scores.windows:
        for policy, counts in (("all", window.all), ("latest", window.latest)):
            yield (
                "scores",
                (
                    *(scores.team, window.minutes, policy, scores.as_of * 60, until),
                    *(counts.detractors, counts.passives, counts.promoters, scores.version),
                ),
            )


def followups_rows(_: bytes | None, value: bytes | None, offset: int, generation: int) -> Rows:
    """Rows of a `followups.v1` record: the event, the case as it stands after it, what became of a command."""
    record = _FOLLOWUPS.decode(_needed(value))
    if isinstance(record, Position):
        yield "positions", _position(topics.FOLLOWUPS, record, generation)
        return
    if isinstance(record, Refused):
        yield "followup_commands", _command(record.act, record)
        return
    yield "followups", _case(record.case)
    if record.kind != "followup.carried":  # which is no event of the case
        yield "followup_events", _event(record)
    if record.act is not None:
        yield "followup_commands", _command(record.act, record)


def policies_rows(_: bytes | None, value: bytes | None, offset: int, generation: int) -> Rows:
    """The row of a `team-policies.v1` record. Working hours stay in the log: nobody asks for them by SQL."""
    record = _POLICIES.decode(_needed(value))
    policy = record.policy
    yield (
        "policies",
        (
            *(record.team, record.version, record.at_ms, policy.rev, policy.until_ms),
            *(policy.contact_ms, policy.resolve_ms, policy.root_causes, msgspec.json.encode(policy.config).decode()),
        ),
    )


def people_rows(key: bytes | None, value: bytes | None, offset: int, generation: int) -> Rows:
    """The row of a `people.v1` record. A tombstone becomes a deleted row; what only ends a segment has none.

    The row's version is, most significant first: deleted (1 bit), revision (20), generation (7), offset (36): an old
    retry does not replace a newer revision, and nothing comes back after a tombstone.
    """
    version = (generation & 0x7F) << 36 | offset
    if value is None:
        if rolled_after(key or b"") is not None:
            return
        team, response_id = split_person_key(key or b"")
        yield "people", (team, response_id, 0, "", "", "", "", "", "", 1 << 63 | version, 1, "", None)
        return
    person = _PEOPLE.decode(value)
    yield (
        "people",
        (
            *(person.team, person.response_id, person.revision, person.comment or "", person.respondent_id or ""),
            *(person.name or "", person.email or "", person.phone or ""),
            msgspec.json.encode(person.answers).decode() if person.answers else "",
            *(min(person.revision, 0xFFFFF) << 43 | version, 0, person.case_id or "", person.noted_ms),
        ),
    )


def rejects_rows(_: bytes | None, value: bytes | None, offset: int, generation: int) -> Rows:
    """The row of a `rejects.v1` record."""
    reject = _REJECTS.decode(_needed(value))
    yield (
        "rejects",
        (
            *(reject.id, reject.topic, reject.partition, reject.offset, reject.at_ms, reject.reason, reject.detail),
            *(reject.key or "", reject.record or b""),
        ),
    )


ROWS_OF: Final[Mapping[str, Callable[[bytes | None, bytes | None, int, int], Rows]]] = {
    topics.TEAM_CHANGES: changes_rows,
    topics.TEAM_SCORES: scores_rows,
    topics.FOLLOWUPS: followups_rows,
    topics.TEAM_POLICIES: policies_rows,
    topics.PEOPLE: people_rows,
    topics.REJECTS: rejects_rows,
}


def erased_keys(table: str, rows: Sequence[Row]) -> list[Key]:
    """The keys whose other rows of the table are to be deleted, each once, in the order of `rows`."""
    marker = ERASURES.get(table)
    if marker is None:
        return []
    at = TABLES[table].index(marker)
    return list(dict.fromkeys((row[0], row[1]) for row in rows if row[at]))


def _needed(value: bytes | None) -> bytes:
    if value is None:
        raise msgspec.ValidationError("a record of this topic has a value")
    return value


def _position(topic: str, position: Position, generation: int) -> Row:
    return topic, position.partition, position.through, ids.version(generation, position.through)


def _pane(team: str, pane: PaneChange) -> Row:
    return team, pane.minute * 60, pane.all, pane.latest, pane.version


def _answer(team: str, answer: AnswerChange) -> Row:
    if answer.erased:  # nothing else of it may stay, whatever the record still says
        answer = AnswerChange(
            *(answer.response_id, answer.version, answer.event_ms, answer.known_ms, answer.first_offset, 0),
            erased=True,
        )
    return (
        *(team, answer.response_id, answer.version, answer.event_ms, answer.known_ms, answer.first_offset),
        *(answer.score, answer.revision, answer.respondent or "", answer.reasons, answer.history, answer.personal),
        *(answer.survey or "", answer.channel or "", answer.locale or "", answer.medium or "", answer.callback_ms),
        *(answer.age_group or "", answer.attributes, answer.case_id or "", answer.not_raised or "", int(answer.erased)),
        answer.reask_of or "",
    )


def _correction(team: str, correction: Correction) -> Row:
    return (
        *(correction.id, team, correction.known_ms, correction.as_of * 60, correction.cause, correction.response_id),
        [(delta.minute * 60, delta.policy, delta.score, delta.change) for delta in correction.deltas],
        [(move.minutes, move.policy, list(move.before), list(move.after)) for move in correction.windows],
        correction.version,
    )


def _case(case: Case) -> Row:
    return (
        *(case.case_id, case.team, case.response_id, case.score, case.state, case.n, case.raised_ms),
        *(case.changed_ms, case.contact_due_ms, case.resolve_due_ms, case.answers, case.respondent or ""),
        *(case.owner or "", case.survey or "", case.channel or "", case.locale or "", case.medium or ""),
        *(case.callback_ms, case.personal, case.joined_into or "", case.version),
        *(case.contacted_ms, case.agreed_ms, case.snoozed_until_ms, case.snoozed_from or "", case.resolved_ms),
        *(case.cause or "", case.attempts, case.contacts, case.notes),
        *(case.reask_due_ms, *_reask(case.reask), case.reask_of or ""),
    )


def _reask(pair: Reask | None) -> Row:
    return ("", None, None) if pair is None else (pair.response_id, pair.score, pair.answered_ms)


def _event(event: FollowupEvent) -> Row:
    case = event.case
    return (
        *(case.case_id, case.n, event.event_id, case.team, event.kind, event.at_ms, event.response_id or ""),
        *(case.state, case.score, case.owner or "", case.version),
        *(*_said(event.act), event.clock or "", event.level or 0, case.raised_ms),
    )


def _said(act: Act | None) -> Row:
    if act is None:
        return "", "", "", None, "", ""
    until_ms = act.at_ms if act.until_ms is None else act.until_ms
    return act.actor, act.medium or "", act.outcome or "", until_ms, act.cause or "", act.note or ""


def _command(act: Act, outcome: FollowupEvent | Refused) -> Row:
    if isinstance(outcome, Refused):
        of = outcome
        told: Row = (of.team, of.at_ms), (of.reason, of.allowed, of.causes, of.state or "", of.n or 0, of.version)
    else:
        case = outcome.case
        told = (case.team, outcome.at_ms), ("", (), (), case.state, case.n, case.version)
    return (act.case_id, act.command_id, *told[0], msgspec.json.encode(act).decode(), *told[1])
