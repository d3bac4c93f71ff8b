"""What one key of a team cannot know of another: every broken rule, with the path of the key to change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from services.teams import calendars
from services.teams.models import ON_CALL, Calendar, OnCall, Team, day_minutes, week
from services.teams.words import DAY_MINUTES, WEEK, Range

Path = tuple[str | int, ...]
Broken = tuple[Path, str]
_OF_ANSWERS: Final = frozenset({"bands", "scores", "languages", "segment", "words"})


def broken(team: Team) -> Iterator[Broken]:
    """Every rule that a team's table breaks."""
    wrong = list(_calendar(team.calendar))
    yield from wrong or _clocks(team)
    if team.on_call is not None:
        yield from _on_call(team.on_call)
    else:
        for path in _on_call_asked(team):
            yield path, f"names {ON_CALL}, and the team has no on_call"
    if team.quiet is not None:
        yield from _twice(("quiet", "hours"), team.quiet.hours)
        if all(sum(end - start for start, end in hours) >= DAY_MINUTES for hours in week(team.quiet.hours)):
            yield ("quiet", "hours"), "never end; leave some of the week"
    for at, route in enumerate(team.routes):
        if "alarm" in route.kinds and route.model_fields_set & _OF_ANSWERS:
            yield ("routes", at, "kinds"), "has alarm beside what only an answer has; give alarms a route of their own"
    yield from _repeated(("root_causes",), team.root_causes)


def _calendar(calendar: Calendar) -> Iterator[Broken]:
    if calendar.around_the_clock:
        for name in ("hours", "holidays", "closed", "open"):
            if getattr(calendar, name):
                yield ("calendar", name), "has no meaning around the clock; leave one of the two out"
        return
    if calendar.hours is None:
        yield ("calendar",), "needs hours, or around_the_clock = true"
        return
    yield from _twice(("calendar", "hours"), calendar.hours)
    usual = week(calendar.hours)
    for at, one in enumerate(calendar.open):
        if one.hours is None and not usual[one.day.weekday()]:
            yield ("calendar", "open", at), "is on a weekday without hours; give it some, such as 10:00-14:00"
    for at, region in enumerate(calendar.holidays):
        if not calendars.has_holidays(region):
            yield ("calendar", "holidays", at), "is no country, or part of one, whose holidays are known"


def _clocks(team: Team) -> Iterator[Broken]:
    minutes = day_minutes(team.calendar)
    contact = team.clocks.contact.ms(minutes)
    if "resolve" in team.clocks.model_fields_set and team.clocks.resolve.ms(minutes) < contact:
        yield ("clocks", "resolve"), f"must not be shorter than contact; a working day here is {minutes / 60:g} h"
    for at, reminder in enumerate(team.clocks.reminders):
        if reminder.ms(minutes) >= contact:
            yield ("clocks", "reminders", at), "must be shorter than contact: it is how long before"
    yield from _repeated(("clocks", "reminders"), [reminder.ms(minutes) for reminder in team.clocks.reminders])
    after = [level.after.ms(minutes) for level in team.escalation]
    for at in range(1, len(after)):
        if after[at] <= after[at - 1]:
            yield ("escalation", at, "after"), "must be longer than that of the level before"


def _on_call(on_call: OnCall) -> Iterator[Broken]:
    if on_call.start.weekday() != on_call.hand_over.weekday:
        yield ("on_call", "start"), f"must be a {WEEK[on_call.hand_over.weekday]}, the day of the hand-over"
    for at, override in enumerate(on_call.overrides):
        if override.end <= override.start:
            yield ("on_call", "overrides", at, "end"), "must be after start"


def _on_call_asked(team: Team) -> Iterator[Path]:
    places: list[tuple[Path, Sequence[str]]] = [(("targets",), team.targets)]
    places += [(("routes", at, "to"), route.to) for at, route in enumerate(team.routes)]
    places += [(("escalation", at, "to"), level.to) for at, level in enumerate(team.escalation)]
    if team.quiet is not None:
        places.append((("quiet", "let_through", "targets"), team.quiet.let_through.targets))
    for path, names in places:
        for at, name in enumerate(names):
            if name == ON_CALL:
                yield (*path, at)


def _twice(path: Path, hours: Mapping[tuple[int, ...], tuple[Range, ...]]) -> Iterator[Broken]:
    named = Counter(weekday for days in hours for weekday in days)
    for weekday, times in named.items():
        if times > 1:
            yield path, f"gives {WEEK[weekday]} more than once"


def _repeated(path: Path, values: Sequence[object]) -> Iterator[Broken]:
    for at, value in enumerate(values):
        if value in values[:at]:
            yield (*path, at), "stands twice"
