"""The small words of `teams.toml`: lengths of time, hours of a day, days of a week and of a year.

Each reader takes what stands in the file, a text or one of TOML's own dates, and gives a value.
Raises ValueError, which says what would be right; it never quotes what was there.
"""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta
from itertools import pairwise
from typing import Any, Final, NamedTuple

WEEK: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MINUTES: Final = 24 * 60
MINUTE_MS: Final = 60_000
LONGEST: Final = timedelta(days=366)

# From one minute of a day to another, the first included; over 1,440 the range ends on the next day.
Range = tuple[int, int]


class Span(NamedTuple):
    """A length of time as a team says it. Its days are working days where the time is counted in working hours."""

    days: int
    minutes: int

    def ms(self, day_minutes: int = DAY_MINUTES) -> int:
        """In milliseconds, of days that have so many minutes."""
        return (self.days * day_minutes + self.minutes) * MINUTE_MS


class Days(NamedTuple):
    """From one day to another, both included. `yearly`: of any year, and those two of a leap year."""

    first: date
    last: date
    yearly: bool = False

    def __contains__(self, day: object) -> bool:
        if not isinstance(day, date):
            return False
        if self.yearly:
            day = day.replace(year=LEAP_YEAR)
        return self.first <= day <= self.last


class OpenDay(NamedTuple):
    """A day that is open whatever else is said. `hours`: then; None: in the usual hours of that weekday."""

    day: date
    hours: Range | None = None


class Moment(NamedTuple):
    """A moment of each week, in local time. Monday is 0."""

    weekday: int
    minute: int


LEAP_YEAR: Final = 2024

_SPAN: Final = re.compile(r"(?:(\d{1,4})d)? ?(?:(\d{1,5})h)? ?(?:(\d{1,6})m)?")
_CLOCK: Final = re.compile(r"(\d{2}):(\d{2})")
_RANGE: Final = re.compile(r"(\d{2}:\d{2}) ?[-–] ?(\d{2}:\d{2})")
_YEARLY: Final = re.compile(r"(\d{2})-(\d{2})")


def span(value: Any) -> Span:
    """Such as "10h", "90m", "3d" or "1d 4h": over nothing, at most 366 days."""
    found = _SPAN.fullmatch(value) if isinstance(value, str) else None
    if found is None or not any(found.groups()):
        raise ValueError('must be a length of time, such as "10h", "90m", "3d" or "1d 4h"')
    days, hours, minutes = (int(part or 0) for part in found.groups())
    if not timedelta() < timedelta(days=days, hours=hours, minutes=minutes) <= LONGEST:
        raise ValueError("must be longer than nothing, and at most 366d")
    return Span(days, hours * 60 + minutes)


def delay(value: Any) -> Span:
    """A span that may be nothing: "0m"."""
    return Span(0, 0) if value == "0m" else span(value)


def minute(value: Any) -> int:
    """A time of the day, "00:00" to "24:00", as a minute."""
    found = _CLOCK.fullmatch(value) if isinstance(value, str) else None
    at = int(found[1]) * 60 + int(found[2]) if found and int(found[2]) < 60 else DAY_MINUTES + 1
    if at > DAY_MINUTES:
        raise ValueError('must be a time of the day, such as "09:00"')
    return at


def hours(value: Any) -> Range:
    """From one time to another, "09:00-17:00"; one that ends at or before its start ends on the next day."""
    found = _RANGE.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError('must be hours, such as "09:00-17:00"')
    start, end = minute(found[1]), minute(found[2])
    if start == DAY_MINUTES:
        raise ValueError('must begin before "24:00"')
    return start, end if end > start else end + DAY_MINUTES


def ranges(value: Any) -> tuple[Range, ...]:
    """The hours of a day: one, or a list of several that do not overlap, in order of time."""
    if isinstance(value, list | tuple) and not value:
        raise ValueError("must have at least one; leave the day out where it is closed")
    found = sorted(hours(one) for one in (value if isinstance(value, list | tuple) else [value]))
    if any(later[0] < earlier[1] for earlier, later in pairwise(found)):
        raise ValueError("must not overlap")
    return tuple(found)


def weekdays(value: Any) -> tuple[int, ...]:
    """The days that "mon" or "mon-fri" names; Monday is 0, and "sat-mon" goes over Sunday."""
    first, dash, last = value.partition("-") if isinstance(value, str) else ("", "", "")
    if first not in WEEK or (dash and last not in WEEK):
        raise ValueError("must be a day, mon to sun, or days, such as mon-fri")
    start = WEEK.index(first)
    count = (WEEK.index(last) - start) % 7 if dash else 0
    return tuple((start + i) % 7 for i in range(count + 1))


def day(value: Any) -> date:
    """A date: TOML's own, or "2026-12-24"."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
        return date.fromisoformat(value)
    raise ValueError("must be a date, such as 2026-12-24")


def days(value: Any) -> Days:
    """One date, several ("2026-12-24..2027-01-02"), or a day of every year ("12-24")."""
    first, dots, last = value.partition("..") if isinstance(value, str) else (value, "", "")
    yearly = _YEARLY.fullmatch(first) if isinstance(first, str) and not dots else None
    try:
        if yearly:
            found = date(LEAP_YEAR, int(yearly[1]), int(yearly[2]))
            return Days(found, found, yearly=True)
        start = day(first)
        end = day(last) if dots else start
    except ValueError:
        raise ValueError('must be a date, dates such as "2026-12-24..2027-01-02", or of every year, "12-24"') from None
    if end < start:
        raise ValueError("must not end before it begins")
    return Days(start, end)


def open_day(value: Any) -> OpenDay:
    """A date, in its weekday's usual hours, or with hours of its own: "2026-12-27 10:00-14:00"."""
    if isinstance(value, str) and " " in value:
        when, _, then = value.partition(" ")
        return OpenDay(day(when), hours(then))
    return OpenDay(day(value))


def local_time(value: Any) -> datetime:
    """A date and a time without an offset, for they are the team's: TOML's own, or "2026-12-24 09:00"."""
    wrong = 'must be a date and a time in the team\'s time zone, such as "2026-12-24 09:00"'
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}(:\d{2})?", value):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(wrong) from None
    if not isinstance(value, datetime) or value.tzinfo is not None:
        raise ValueError(wrong)
    return value


def moment(value: Any) -> Moment:
    """A weekday and a time, "mon 09:00"."""
    name, _, at = value.partition(" ") if isinstance(value, str) else ("", "", "")
    try:
        return Moment(WEEK.index(name), minute(at) % DAY_MINUTES)
    except ValueError:
        raise ValueError('must be a weekday and a time, such as "mon 09:00"') from None


def at_minute(when: date, minutes: int) -> datetime:
    """A minute of a day as local time; those over 1,440 are of the days after."""
    return datetime.combine(when, time()) + timedelta(minutes=minutes)
