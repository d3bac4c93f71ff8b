"""An alarm as it is kept, and a note: what is said of it."""

from __future__ import annotations

import uuid
from typing import Any, Literal, Protocol, runtime_checkable

import msgspec

from services.alerts.people import Absence, Text
from services.alerts.retries import Outcome
from stream.domain.alarms import Ending
from stream.domain.scores import Tally

DAY_MS = 86_400_000
_SPACE = uuid.UUID("7d1b6f0c-6d0e-5d5f-9a53-1a6c1f6f2b1e")

NoteKind = Literal["alarm.raised", "alarm.ended", "advocacy.raised", "advocacy.withdrawn"]


class Alarm(msgspec.Struct, frozen=True):
    """A team's score fell. Days are whole days UTC since 1970; `first`..`last` may as well be the day it fell on.

    `before` and `after` are the answers of the 180 days before and of those since, as they counted when it was raised;
    `now` is `after` as it counts today, up to the end. `n` counts its notes: one that was withdrawn may come again.
    `evidence`: nats, see `stream.domain.alarms`. `teams`: how many were watched.
    """

    alarm_id: str
    team: str
    n: int
    since: int
    first: int
    last: int
    before: Tally
    after: Tally
    now: Tally
    evidence: float
    teams: int
    raised_ms: int
    ended_ms: int | None = None
    ending: Ending | None = None

    @property
    def raised_day(self) -> int:
        return self.raised_ms // DAY_MS


class Note(msgspec.Struct, frozen=True):
    """Something to say to people that is about a team and no case. At least once, under one id.

    `headline` is one line, `lines` the rest. `incident` is the same for all notes of one alarm, which began at
    `began_ms`; `over`: it has ended.
    `data` is what a program is told. No personal text is kept in a note; `personal`: the answer `response_id` of `data`
    has some, which is looked up at the last moment (`with_text`).
    """

    note_id: str
    kind: NoteKind
    at_ms: int
    team: str
    headline: str
    lines: tuple[str, ...]
    incident: str
    over: bool
    began_ms: int
    data: dict[str, Any]
    personal: bool = False

    def with_text(self, text: Text | Absence) -> Note:
        """The note as it is said, with comment and contact. Nothing of this is stored."""
        if isinstance(text, Absence):
            return msgspec.structs.replace(self, data=self.data | {"text_missing": True})
        who = {"id": text.respondent_id, "name": text.name, "email": text.email, "phone": text.phone}
        shown = tuple(f"{label.capitalize()}: {value}" for label, value in who.items() if value)
        comment = (text.comment,) if text.comment else ()
        return msgspec.structs.replace(
            self, data=self.data | {"comment": text.comment, "respondent": who}, lines=(*self.lines, *comment, *shown)
        )

    def __repr__(self) -> str:
        return f"Note({self.note_id})"


@runtime_checkable
class Speaker(Protocol):
    """A channel that can say a note. `name` keys what is stored: it must stay the same over restarts."""

    @property
    def name(self) -> str: ...

    def says(self, kind: NoteKind) -> bool:
        """Whether this channel says such notes. Must give the same answer each time."""
        ...

    async def say(self, note: Note) -> Outcome:
        """One attempt, within 15 s. Whatever the target does is an outcome, never an exception."""
        ...


def alarm_id(team: str, since: int) -> str:
    """The id of the alarm of a team for a fall on day `since`: the same after a lost store."""
    return str(uuid.uuid5(_SPACE, f"{team}|{since}"))


def note_id(alarm: Alarm) -> str:
    """The id of an alarm's newest note."""
    return str(uuid.uuid5(uuid.UUID(alarm.alarm_id), str(alarm.n)))
