"""`teams.toml` as values: what a team's table may hold. Unknown keys are refused; all is checked together.

What one key cannot know of another stands in `rules`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, StringConstraints, WithJsonSchema

from schemas.responses import TEAM_PATTERN
from services.teams import words, zones
from services.teams.words import Days, Moment, OpenDay, Range, Span

ON_CALL: Final = "on-call"  # as a target: whoever is on call at that time
MOST_POINTS: Final = 8  # reminders, and levels of escalation

Value = TypeVar("Value")


def _zone(name: Any) -> str:
    if not isinstance(name, str) or not zones.known(name):
        raise ValueError("must be a time zone, such as Europe/Copenhagen, or UTC")
    return name


def _strictly(kind: type[Value], wanted: str) -> Callable[[Any], Value]:
    def check(value: Any) -> Value:
        if type(value) is not kind:
            raise ValueError(f"must be {wanted}")
        return value

    return check


def _said(example: str) -> WithJsonSchema:
    """What the OpenAPI document says of a text that is read by `words`."""
    return WithJsonSchema({"type": "string", "examples": [example]})


_IS_TEXT: Final = BeforeValidator(_strictly(str, "a text"))
_LIST_OF_TEXT: Final = {"type": "array", "items": {"type": "string"}}

Zone = Annotated[str, PlainValidator(_zone), _said("Europe/Copenhagen")]
Yes = Annotated[bool, PlainValidator(_strictly(bool, "true or false")), WithJsonSchema({"type": "boolean"})]
Score = Annotated[int, Field(ge=0, le=10), BeforeValidator(_strictly(int, "a whole number"))]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$"), _IS_TEXT]
TeamName = Annotated[str, StringConstraints(pattern=TEAM_PATTERN)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=200), _IS_TEXT]
Word = Annotated[str, StringConstraints(min_length=1, max_length=80), _IS_TEXT]
Length = Annotated[Span, PlainValidator(words.span), _said("10h")]
Delay = Annotated[Span, PlainValidator(words.delay), _said("0m")]
DayNames = Annotated[tuple[int, ...], PlainValidator(words.weekdays), _said("mon-fri")]
Ranges = Annotated[
    tuple[Range, ...],
    PlainValidator(words.ranges),
    WithJsonSchema({"anyOf": [{"type": "string"}, _LIST_OF_TEXT], "examples": ["09:00-17:00"]}),
]
Day = Annotated[date, PlainValidator(words.day), _said("2026-01-05")]
ClosedDays = Annotated[Days, PlainValidator(words.days), _said("2026-12-24..2027-01-02")]
OpenedDay = Annotated[OpenDay, PlainValidator(words.open_day), _said("2026-12-27 10:00-14:00")]
LocalTime = Annotated[datetime, PlainValidator(words.local_time), _said("2026-12-24 09:00")]
HandOver = Annotated[Moment, PlainValidator(words.moment), _said("mon 09:00")]
Weekly = Annotated[dict[DayNames, Ranges], Field(min_length=1)]
Language = Annotated[str, _IS_TEXT, StringConstraints(pattern=r"^[A-Za-z]{2,8}([_-][A-Za-z0-9]{1,8})*$", max_length=35)]
Region = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}(-[A-Za-z0-9-]{1,20})?$"), _IS_TEXT]
Band = Literal["detractor", "passive", "promoter"]
What = Literal["followup", "alarm", "promoter"]


class Table(BaseModel):
    """A table of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Calendar(Table):
    """When a team works: around the clock, or in weekly hours, less holidays and closed days, and on open days.

    An open day wins over a closed one, and that over the week. `holidays`: countries, or parts of one ("DE-BY").
    """

    around_the_clock: Yes = False
    hours: Weekly | None = None
    holidays: tuple[Region, ...] = ()
    closed: tuple[ClosedDays, ...] = ()
    open: tuple[OpenedDay, ...] = ()


class Clocks(Table):
    """What is promised, in the team's working time; `raise_within` and `reask_after` are plain time.

    `raise_within`: an answer older than this is counted, but nobody is called about it.
    `reask_after`: so long after a case was resolved the customer is to be asked again.
    """

    contact: Length = Field("10h", validate_default=True)
    resolve: Length = Field("3d", validate_default=True)
    raise_within: Length = Field("7d", validate_default=True)
    reminders: Annotated[tuple[Length, ...], Field(max_length=MOST_POINTS)] = ()
    reask_after: Length | None = None


class Level(Table):
    """One level of escalation: whom to tell when a promise has been broken for so long, in working time."""

    after: Delay
    to: Annotated[tuple[Name, ...], Field(min_length=1)]


class Override(Table):
    """Somebody else is on call from `start` until `end`, in the team's local time. The last one that holds wins."""

    person: Name
    start: LocalTime
    end: LocalTime


class OnCall(Table):
    """Who is on call: one person a week in turn, the first from the first hand-over on or after `start`."""

    hand_over: HandOver = Field("mon 09:00", validate_default=True)
    start: Day
    people: Annotated[tuple[Name, ...], Field(min_length=1)]
    overrides: tuple[Override, ...] = ()


class Segment(Table):
    """Answers of certain surveys and channels, and with certain attributes: of each named one, one of the values."""

    survey: tuple[Text, ...] = ()
    channel: tuple[Text, ...] = ()
    attributes: dict[str, Annotated[tuple[Text, ...], Field(min_length=1)]] = {}


class Route(Table):
    """Which answers, and whom to tell of them. What is not given does not matter; no condition at all fits all.

    The first route that fits is taken, and with `continue` the ones after it that fit too. `kinds`: what it is for;
    where they are not given, follow-ups, and promoters if its bands or scores name them.
    """

    kinds: tuple[What, ...] = ()
    bands: tuple[Band, ...] = ()
    scores: tuple[Score, ...] = ()
    languages: tuple[Language, ...] = ()
    segment: Segment = Segment()
    words: tuple[Word, ...] = ()
    to: Annotated[tuple[Name, ...], Field(min_length=1)]
    go_on: Yes = Field(False, alias="continue")


class LetThrough(Table):
    """What is told in quiet hours all the same: of these scores, with these words, to these targets, escalations."""

    scores: tuple[Score, ...] = ()
    words: tuple[Word, ...] = ()
    targets: tuple[Name, ...] = ()
    escalations: Yes = True


class Quiet(Table):
    """When nobody is to be disturbed, in local time: what is not let through waits until it is over."""

    hours: Weekly
    let_through: LetThrough = LetThrough()


class Team(Table):
    """All that is set for one team, the defaults of the file included. `targets`: whom to tell where no route fits."""

    name: Text | None = None
    timezone: Zone = "UTC"
    calendar: Calendar = Calendar(around_the_clock=True)
    clocks: Clocks = Field(default_factory=Clocks)
    escalation: Annotated[tuple[Level, ...], Field(max_length=MOST_POINTS)] = ()
    on_call: OnCall | None = None
    routes: Annotated[tuple[Route, ...], Field(max_length=100)] = ()
    targets: tuple[Name, ...] = ()
    quiet: Quiet | None = None
    root_causes: Annotated[tuple[Word, ...], Field(max_length=50)] = ()


def week(hours: dict[tuple[int, ...], tuple[Range, ...]]) -> tuple[tuple[Range, ...], ...]:
    """The hours of each of the seven days, Monday first; none for a day that is closed."""
    of = {weekday: ranges for named, ranges in hours.items() for weekday in named}
    return tuple(of.get(weekday, ()) for weekday in range(7))


def day_minutes(calendar: Calendar) -> int:
    """How long a working day is: the mean of the days that have hours, in whole minutes; a day around the clock."""
    if calendar.hours is None:
        return words.DAY_MINUTES
    lengths = [sum(end - start for start, end in ranges) for ranges in week(calendar.hours) if ranges]
    return sum(lengths) // len(lengths)
