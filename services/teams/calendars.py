"""The expander: a team's calendar, in local time and with holidays, as working intervals in UTC.

The only module of the project that knows `holidays`. What it gives goes into the log: the fold, which must come to
the same when the log is replayed, does integer arithmetic over it and knows neither zones nor holidays.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final

import holidays

from services.teams import words, zones
from services.teams.models import Calendar, week
from services.teams.words import Range

# As far as a case can live in the state (the horizon), and a year in which the expansion is renewed.
AHEAD: Final = timedelta(days=400 + 365)
BEFORE: Final = timedelta(days=2)  # hours may go on into the next day

Interval = tuple[int, int]


class UnknownRegion(ValueError):
    """Nobody knows the holidays of this country, or of this part of it."""

    def __init__(self, region: str) -> None:
        super().__init__(f"no holidays are known of {region}")
        self.region = region


def working(calendar: Calendar, zone: str, from_ms: int, until_ms: int) -> tuple[Interval, ...] | None:
    """When a team works between two moments: intervals in milliseconds UTC, the start included, the end not.

    Shape:   ascending; they neither overlap nor meet, and are cut to the two moments.
    Empty:   () where it never works in that time; None for around the clock.
    Raises:  UnknownRegion.

    Hours are local: from nine to five is eight hours of the clock on the wall, less or more where it was put forward
    or back in between (`zones.instant`).
    """
    if calendar.hours is None:
        return None
    found: list[Interval] = []
    first = zones.local(zone, from_ms).date() - BEFORE
    last = zones.local(zone, until_ms).date()
    off = _holidays(calendar.holidays, first.year, last.year)
    usual = week(calendar.hours)
    at = first
    while at <= last:
        for start, end in sorted(_hours(calendar, usual, off, at)):
            opens = max(from_ms, zones.instant(zone, words.at_minute(at, start)))
            closes = min(until_ms, zones.instant(zone, words.at_minute(at, end)))
            if opens >= closes:
                continue
            if found and opens <= found[-1][1]:  # meets the one before, or its days reach into each other
                found[-1] = (found[-1][0], max(found[-1][1], closes))
            else:
                found.append((opens, closes))
        at += timedelta(days=1)
    return tuple(found)


def span_of(now_ms: int) -> Interval:
    """From when until when a calendar is expanded for the log: from this quarter's first day to AHEAD and a quarter on.

    It stays the same for a quarter, so that the same calendar is the same record, and never ends before AHEAD.
    """
    now = datetime.fromtimestamp(now_ms / 1000, UTC)
    first = datetime(now.year, now.month - (now.month - 1) % 3, 1, tzinfo=UTC)
    return round(first.timestamp() * 1000), round((first + timedelta(days=92) + AHEAD).timestamp() * 1000)


def has_holidays(region: str) -> bool:
    """Whether the holidays of a country ("DK"), or of a part of one ("DE-BY"), are known."""
    try:
        _of_year(region, 2026)
    except UnknownRegion:
        return False
    return True


def named_holidays(calendar: Calendar, first: date, last: date) -> dict[date, str]:
    """The holidays that a calendar keeps from one day to another, by day."""
    days = _holidays(calendar.holidays, first.year, last.year)
    return {day: name for day, name in sorted(days.items()) if first <= day <= last}


def _hours(calendar: Calendar, usual: tuple[tuple[Range, ...], ...], off: dict[date, str], at: date) -> list[Range]:
    """The hours of one day, also past its midnight."""
    named = [one for one in calendar.open if one.day == at]
    if named:
        weekday = usual[at.weekday()]
        return [hours for one in named for hours in ((one.hours,) if one.hours else weekday)]
    if at in off or any(at in days for days in calendar.closed):
        return []
    return [*usual[at.weekday()]]


def _holidays(regions: tuple[str, ...], first: int, last: int) -> dict[date, str]:
    found: dict[date, str] = {}
    for region in regions:
        for year in range(first, last + 1):
            found |= _of_year(region, year)
    return found


@lru_cache(maxsize=512)
def _of_year(region: str, year: int) -> dict[date, str]:
    country, _, part = region.partition("-")
    try:
        return dict(holidays.country_holidays(country, subdiv=part or None, years=year))
    except NotImplementedError:
        raise UnknownRegion(region) from None
