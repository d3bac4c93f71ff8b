"""What a reader of each fixture must find. A new version of a record type adds a line; none is taken away."""

from __future__ import annotations

from typing import Any

import msgspec

from schemas import carries, changes, feedback, followups, people, policies, rejects, scores

RESPONSE = "01890a5d-ac96-774b-bcce-b302099a8057"
CASE = "6b1f4f8e-3b57-5c3e-9a7e-2d1f0c9b8a76"
RESPONDENT = "b94d27b9934d3e08a52e52d7da7dabfa"
VERSION = (1 << 48) + 41
MINUTE = 29_833_334
AT = 1_790_000_040_000
COMMAND = "0191b0a4-52f1-7a3e-8d6c-4b1e2f3a9c70"
NOTE = "7c1e9a52-0b3d-4f68-a1c4-95d2e8f07b36"
ACT = feedback.Act(
    command_id=COMMAND,
    case_id=CASE,
    kind="contact",
    actor="kim",
    expect_n=4,
    owner="lee",
    medium="phone",
    outcome="no_answer",
    at_ms=1_790_010_000_000,
    until_ms=1_790_020_000_000,
    cause="waiting time",
    note=NOTE,
)

# Fixture: (what a reader of the topic decodes with, what it must find).
RECORDED: dict[str, tuple[Any, msgspec.Struct]] = {
    "answer.v1": (
        feedback.FeedbackRecord,
        feedback.Answer(
            response_id=RESPONSE,
            score=3,
            content="9f86d081884c7d659a2feaa0c55ad015",
            answered_ms=1_790_000_000_123,
            revision=2,
            respondent=RESPONDENT,
            test=True,
            personal=True,
            survey="after-purchase",
            channel="e-mail",
            locale="da-DK",
            medium="phone",
            callback_ms=1_790_003_600_000,
            age_group="30-39",
            attributes={"store": "Århus", "plan": "gold"},
        ),
    ),
    "answer-least.v1": (feedback.FeedbackRecord, feedback.Answer(response_id=RESPONSE, score=10, content="c0ffee")),
    "exclude.v1": (feedback.FeedbackRecord, feedback.Exclude(RESPONSE, "duplicate_person")),
    "include.v1": (feedback.FeedbackRecord, feedback.Include(RESPONSE, "test")),
    "erase.v1": (feedback.FeedbackRecord, feedback.Erase(RESPONSE)),
    "erase-respondent.v1": (feedback.FeedbackRecord, feedback.EraseRespondent(RESPONDENT)),
    "windows.v1": (feedback.FeedbackRecord, feedback.Windows((60, 1_440, 10_080))),
    "policy.v1": (
        feedback.FeedbackRecord,
        feedback.Policy(
            rev="5f2c1a9be07d4c11",
            contact_ms=7_200_000,
            resolve_ms=86_400_000,
            open=(1_795_420_800_000, 1_795_449_600_000, 1_795_507_200_000, 1_795_536_000_000),
            until_ms=1_795_564_800_000,
            remind_ms=(3_600_000,),
            escalate_ms=(0, 3_600_000),
            raise_within_ms=86_400_000,
            root_causes=("price", "delay"),
            config={"timezone": "Europe/Copenhagen", "on_call": ["ada", "bo"]},
        ),
    ),
    "policy-least.v1": (feedback.FeedbackRecord, feedback.Policy("5f2c1a9be07d4c11")),
    "team-policy.v1": (
        policies.TeamPolicy,
        policies.TeamPolicy("team-9", VERSION, AT, feedback.Policy("5f2c1a9be07d4c11", contact_ms=7_200_000)),
    ),
    "carry.v1": (
        carries.LogEntry,
        carries.Carry(
            as_of=281_474_976_711_966,
            fold=3,
            policy=feedback.Policy("5f2c1a9be07d4c11", contact_ms=7_200_000),
            policy_version=281_474_976_710_701,
            policy_ms=1_795_400_000_000,
            case=followups.Case(
                case_id=CASE,
                team="team-9",
                response_id=RESPONSE,
                score=3,
                state="open",
                n=3,
                raised_ms=AT,
                changed_ms=1_790_036_040_000,
                contact_due_ms=1_790_036_040_000,
                resolve_due_ms=1_790_259_240_000,
                answers=(RESPONSE,),
                version=VERSION,
                next_ms=1_790_259_240_000,
            ),
            answers=(
                carries.CarriedAnswer(
                    feedback.Answer(
                        response_id=RESPONSE,
                        score=3,
                        content="9f86d081884c7d65",
                        answered_ms=1_790_000_000_123,
                        revision=2,
                        respondent=RESPONDENT,
                    ),
                    first_offset=41,
                    marks={"bot": False},
                ),
            ),
            erased=("0b6f8a52-5d0c-4b57-9f8b-0a6f3a1c2d3e",),
        ),
    ),
    "carry-windows.v1": (carries.LogEntry, feedback.CarryWindows((60, 1_440, 10_080))),
    "act.v1": (feedback.FeedbackRecord, ACT),
    "act-least.v1": (feedback.FeedbackRecord, feedback.Act(COMMAND, CASE, "acknowledge", "kim")),
    "tick.v1": (feedback.FeedbackRecord, feedback.Tick()),
    "changes.v1": (
        changes.ChangesRecord,
        changes.TeamChanges(
            team="team-9",
            panes=[
                changes.PaneChange(
                    MINUTE, VERSION, [0, 0, 0, 1, 0, 0, 0, 0, 2, 0, 4], [0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 3]
                )
            ],
            answers=[
                changes.AnswerChange(
                    response_id=RESPONSE,
                    version=VERSION,
                    event_ms=1_790_000_000_123,
                    known_ms=AT,
                    first_offset=40,
                    score=3,
                    revision=2,
                    respondent=RESPONDENT,
                    reasons=("test",),
                    history=True,
                    personal=True,
                    survey="after-purchase",
                    channel="e-mail",
                    locale="da-DK",
                    medium="phone",
                    callback_ms=1_790_003_600_000,
                    age_group="30-39",
                    attributes={"store": "Århus"},
                    case_id=CASE,
                    not_raised="history",
                )
            ],
            corrections=[
                changes.Correction(
                    id="0d0b5a54-9d3f-5b8d-8c1f-6a116f7b6d0e",
                    version=VERSION,
                    known_ms=AT,
                    as_of=MINUTE,
                    cause="revision",
                    response_id=RESPONSE,
                    deltas=[changes.PaneDelta(MINUTE, "all", 9, -1), changes.PaneDelta(MINUTE, "latest", 3, 1)],
                    windows=[changes.WindowMove(60, "all", (1, 2, 3), (2, 2, 2))],
                )
            ],
        ),
    ),
    "changes-erased.v1": (
        changes.ChangesRecord,
        changes.TeamChanges(
            team="team-9",
            answers=[changes.AnswerChange(RESPONSE, VERSION, 1_790_000_000_123, AT, 40, 0, erased=True)],
        ),
    ),
    "changes-least.v1": (changes.ChangesRecord, changes.TeamChanges(team="team-9")),
    "position.v1": (changes.ChangesRecord, changes.Position(3, 42)),
    "event.v1": (
        followups.FollowupRecord,
        followups.FollowupEvent(
            event_id="5a54b8d1-0d0b-5c1f-9d3f-6a116f7b6d0e",
            kind="followup.raised",
            at_ms=AT,
            case=followups.Case(
                case_id=CASE,
                team="team-9",
                response_id=RESPONSE,
                score=3,
                state="open",
                n=1,
                raised_ms=AT,
                changed_ms=AT + 1,
                contact_due_ms=1_790_036_040_000,
                resolve_due_ms=1_790_259_240_000,
                answers=(RESPONSE,),
                version=VERSION,
                respondent=RESPONDENT,
                owner="kim",
                survey="after-purchase",
                channel="e-mail",
                locale="da-DK",
                medium="phone",
                callback_ms=1_790_003_600_000,
                personal=True,
                joined_into="2d1f0c9b-8a76-5c3e-9a7e-6b1f4f8e3b57",
            ),
            response_id=RESPONSE,
        ),
    ),
    "event-clock.v1": (
        followups.FollowupRecord,
        followups.FollowupEvent(
            event_id="5a54b8d1-0d0b-5c1f-9d3f-6a116f7b6d0e",
            kind="followup.escalated",
            at_ms=1_790_036_040_000,
            case=followups.Case(
                case_id=CASE,
                team="team-9",
                response_id=RESPONSE,
                score=3,
                state="open",
                n=3,
                raised_ms=AT,
                changed_ms=1_790_036_040_000,
                contact_due_ms=1_790_036_040_000,
                resolve_due_ms=1_790_259_240_000,
                answers=(RESPONSE,),
                version=VERSION,
                next_ms=1_790_259_240_000,
            ),
            clock="contact",
            level=1,
        ),
    ),
    "event-act.v1": (
        followups.FollowupRecord,
        followups.FollowupEvent(
            event_id="5a54b8d1-0d0b-5c1f-9d3f-6a116f7b6d0e",
            kind="followup.contact_failed",
            at_ms=AT + 9,
            case=followups.Case(
                case_id=CASE,
                team="team-9",
                response_id=RESPONSE,
                score=3,
                state="snoozed",
                n=5,
                raised_ms=AT,
                changed_ms=AT + 9,
                contact_due_ms=AT + 10,
                resolve_due_ms=AT + 20,
                answers=(RESPONSE,),
                version=VERSION,
                owner="kim",
                contacted_ms=AT + 5,
                agreed_ms=AT + 30,
                snoozed_until_ms=AT + 40,
                snoozed_from="contacted",
                resolved_ms=AT + 6,
                cause="waiting time",
                attempts=3,
                contacts=2,
                notes=(NOTE,),
            ),
            act=ACT,
        ),
    ),
    "refused.v1": (
        followups.FollowupRecord,
        followups.Refused(
            event_id="5a54b8d1-0d0b-5c1f-9d3f-6a116f7b6d0e",
            at_ms=AT,
            team="team-9",
            act=feedback.Act(COMMAND, CASE, "acknowledge", "kim"),
            reason="not_allowed",
            version=VERSION,
            allowed=("assign", "note"),
            state="contacted",
            n=5,
        ),
    ),
    "refused-cause.v1": (
        followups.FollowupRecord,
        followups.Refused(
            event_id="5a54b8d1-0d0b-5c1f-9d3f-6a116f7b6d0e",
            at_ms=AT,
            team="team-9",
            act=feedback.Act(COMMAND, CASE, "resolve", "kim", cause="weather"),
            reason="unknown_cause",
            version=VERSION,
            allowed=("assign", "note"),
            state="contacted",
            n=5,
            causes=("price", "waiting time"),
        ),
    ),
    "refused-unknown.v1": (
        followups.FollowupRecord,
        followups.Refused(
            event_id="5a54b8d1-0d0b-5c1f-9d3f-6a116f7b6d0e",
            at_ms=AT,
            team="team-9",
            act=feedback.Act(COMMAND, CASE, "acknowledge", "kim"),
            reason="unknown_case",
            version=VERSION,
        ),
    ),
    "scores.v1": (
        scores.TeamScores,
        scores.TeamScores(
            team="team-9",
            as_of=MINUTE,
            valid_until=MINUTE + 60,
            version=VERSION,
            windows=[
                scores.WindowScore(60, scores.Counts(1, 2, 3), scores.Counts(1, 1, 2)),
                scores.WindowScore(1_440, scores.Counts(4, 5, 6), scores.Counts(3, 4, 5)),
            ],
        ),
    ),
    "scores-for-ever.v1": (scores.TeamScores, scores.TeamScores("team-9", MINUTE, None, VERSION, [])),
    "person.v1": (
        people.Person,
        people.Person(
            team="team-9",
            response_id=RESPONSE,
            revision=2,
            comment="Ingen svarer på telefonen 😞",
            respondent_id="c-1001",
            name="Anna Ø",
            email="anna@example.dk",
            phone="+4520123456",
            answers={"why": "waited", "minutes": 42, "price": 9.5, "again": False, "else": None},
        ),
    ),
    "reject.v1": (
        rejects.Reject,
        rejects.Reject(
            id="5a54b8d1-0d0b-5c1f-9d3f-6a116f7b6d0e",
            topic="feedback.v1",
            partition=3,
            offset=41,
            at_ms=AT,
            reason="undecodable",
            detail="Input data was truncated",
            key="team-9",
            record=b'{"type":"',
        ),
    ),
}
