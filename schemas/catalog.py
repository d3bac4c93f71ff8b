"""What the documents are generated from: the records of each topic, their keys, and who sends and receives them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from schemas import topics
from schemas.carries import Carry
from schemas.changes import Position, TeamChanges
from schemas.commands import (
    ErasureAccepted,
    ErasureFound,
    ErasureIn,
    KnownAs,
    MarkIn,
    PolicyAccepted,
    WhoseKey,
    WindowsAccepted,
    WindowsIn,
)
from schemas.feedback import Act, Answer, CarryWindows, Erase, EraseRespondent, Exclude, Include, Policy, Tick, Windows
from schemas.followups import FollowupEvent, Refused
from schemas.people import Person
from schemas.policies import TeamPolicy
from schemas.rejects import Reject
from schemas.responses import TEAM_PATTERN, UUID_PATTERN, Accepted, BatchResult, ProblemBody, ResponseIn
from schemas.scores import TeamScores


class Record(NamedTuple):
    """A kind of record: its type, and whether its key is the topic's (`True`) or there is none."""

    type: Any
    keyed: bool = True


# Every kind of record of every topic. A tombstone of people.v1 is a key without a value and has no type.
RECORDS: Final[Mapping[str, tuple[Record, ...]]] = {
    topics.FEEDBACK: (
        *(Record(Answer), Record(Exclude), Record(Include), Record(Erase), Record(Policy), Record(Act), Record(Carry)),
        *(Record(EraseRespondent, keyed=False), Record(Windows, keyed=False), Record(CarryWindows, keyed=False)),
        Record(Tick, keyed=False),
    ),
    topics.PEOPLE: (Record(Person),),
    topics.TEAM_SCORES: (Record(TeamScores),),
    topics.TEAM_CHANGES: (Record(TeamChanges), Record(Position, keyed=False)),
    topics.TEAM_POLICIES: (Record(TeamPolicy),),
    topics.FOLLOWUPS: (Record(FollowupEvent), Record(Refused), Record(Position, keyed=False)),
    topics.REJECTS: (Record(Reject),),
}

_ID: Final = UUID_PATTERN.removeprefix("^").removesuffix("$")
_TEAM: Final = TEAM_PATTERN.removesuffix("$")

# The key of each topic, as a pattern of its text (UTF-8). A reject has the key of the record it is about, if any.
KEYS: Final[Mapping[str, str | None]] = {
    topics.FEEDBACK: TEAM_PATTERN,
    topics.PEOPLE: rf"{_TEAM}\|{_ID}$",
    topics.TEAM_SCORES: TEAM_PATTERN,
    topics.TEAM_CHANGES: TEAM_PATTERN,
    topics.TEAM_POLICIES: TEAM_PATTERN,
    topics.FOLLOWUPS: TEAM_PATTERN,
    topics.REJECTS: None,
}


class Flow(NamedTuple):
    """One program sends to a topic, or receives from it. `records`: names of the kinds; empty means all of them."""

    program: str
    action: str
    topic: str
    about: str
    records: tuple[str, ...] = ()


FLOWS: Final[tuple[Flow, ...]] = (
    Flow("ingest", "send", topics.FEEDBACK, "An answer, once every in-sync replica holds it.", ("Answer",)),
    Flow("ingest", "send", topics.PEOPLE, "The personal text of an answer, before the answer itself."),
    Flow("ingest", "send", topics.FEEDBACK, "A record that changes nothing: does the log take records?", ("Tick",)),
    Flow(
        "ingest",
        "send",
        topics.FEEDBACK,
        "An operator's command. EraseRespondent and Windows go to every partition.",
        ("Exclude", "Include", "Erase", "EraseRespondent", "Windows", "Policy"),
    ),
    Flow("worker", "receive", topics.FEEDBACK, "Folds the log into scores and follow-ups. Group pulse-worker."),
    Flow("worker", "send", topics.FEEDBACK, "Time has passed; nothing else has come by.", ("Tick",)),
    Flow(
        "worker",
        "send",
        topics.FEEDBACK,
        "What would outlive the log, said again: policies, windows, open cases, erased ids.",
        ("Carry", "CarryWindows"),
    ),
    Flow("worker", "send", topics.TEAM_SCORES, "The rolling scores of each team that a batch has moved."),
    Flow("worker", "send", topics.TEAM_CHANGES, "What a batch has changed; each batch ends with a Position."),
    Flow("worker", "send", topics.TEAM_POLICIES, "What a team promises, whenever that has changed."),
    Flow("worker", "send", topics.FOLLOWUPS, "Events of cases, and what was refused; each batch ends with a Position."),
    Flow("worker", "send", topics.PEOPLE, "Tombstones of erased answers and notes, also when one is sent once more."),
    Flow("worker", "send", topics.REJECTS, "Records of the log that could not be used."),
    Flow("sink", "send", topics.PEOPLE, "What only ends a quiet segment: a key that is no team's, no value."),
    Flow("sink", "receive", topics.PEOPLE, "To the table people. Group pulse-sink, as for every topic of the sink."),
    Flow("sink", "receive", topics.TEAM_SCORES, "To the table scores."),
    Flow("sink", "receive", topics.TEAM_CHANGES, "To the tables panes, answers, corrections and positions."),
    Flow("sink", "receive", topics.FOLLOWUPS, "To the tables followups, followup_(events, commands), positions."),
    Flow("sink", "receive", topics.TEAM_POLICIES, "To the table policies."),
    Flow("sink", "receive", topics.REJECTS, "To the table rejects."),
    Flow("sink", "send", topics.REJECTS, "Records and rows that could not be stored."),
    Flow("query", "receive", topics.TEAM_SCORES, "Live events, from the end of the topic. No group."),
    Flow("query", "receive", topics.TEAM_CHANGES, "Live corrections, from the end of the topic. No group."),
    Flow("query", "receive", topics.FOLLOWUPS, "Live follow-ups, from the end of the topic. No group."),
    Flow(
        "alerts",
        "receive",
        topics.FOLLOWUPS,
        "Tells people about a case. Group pulse-alerts, committed once an event is in SQLite.",
    ),
    Flow("alerts", "receive", topics.TEAM_POLICIES, "Whom a team wants told, and when. No group."),
    Flow(
        "alerts",
        "receive",
        topics.TEAM_CHANGES,
        "Promoters who agreed to be asked. Group pulse-advocacy, committed once a question is in SQLite.",
    ),
    Flow("alerts", "receive", topics.PEOPLE, "The comment and the contact that an alert shows. No group."),
)

# What crosses the ingest door.
BODIES: Final[tuple[Any, ...]] = (
    *(ResponseIn, Accepted, BatchResult, ProblemBody),
    *(MarkIn, WhoseKey, KnownAs, ErasureIn, ErasureFound, ErasureAccepted, WindowsIn, WindowsAccepted, PolicyAccepted),
)

# Keys that show where murmur2 puts them: for a producer in another language.
VECTOR_KEYS: Final = ("emea", "apac", "a", "team-1", "team-499", "kundeservice", "support.tier-2")
