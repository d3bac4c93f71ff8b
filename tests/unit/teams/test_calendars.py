"""Calendars expanded: the vectors of the contract, holidays and own days, and a walk over every minute as the judge."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

import holidays
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.teams import calendars
from services.teams.calendars import AHEAD, Interval, UnknownRegion, span_of, working
from services.teams.models import Calendar
from stream.domain.promise import deadline
from tests.unit.teams.configs import ms, team

HOUR_MS = 3_600_000
MINUTE_MS = 60_000
OFFICE = 'calendar = { hours = { mon-fri = "09:00-17:00" } }'


def due(intervals: tuple[Interval, ...] | None, until_ms: int, start_ms: int, promise_ms: int) -> int:
    """When the fold says that so much working time has gone by."""
    hours = tuple(edge for interval in intervals or () for edge in interval)
    return deadline(hours, until_ms if hours else None, start_ms, promise_ms)


@pytest.mark.parametrize(
    ("zone", "calendar", "start", "end"),
    [
        pytest.param(
            "Europe/Copenhagen", OFFICE, "2026-10-23T16:00+02:00", "2026-10-27T10:00+01:00", id="copenhagen-dst-ends"
        ),
        pytest.param(
            "Europe/Bucharest", OFFICE, "2026-11-20T16:59+02:00", "2026-11-24T10:59+02:00", id="bucharest-weekend"
        ),
        pytest.param(
            "Europe/Copenhagen",
            "",
            "2026-03-28T20:00+01:00",
            "2026-03-29T07:00+02:00",
            id="around-the-clock-dst-begins",
        ),
    ],
)
def test_ten_hours_as_in_the_contract(zone: str, calendar: str, start: str, end: str) -> None:
    found = team(f'timezone = "{zone}"\n{calendar}')
    begins, ends = span_of(ms(start))
    expanded = working(found.calendar, found.timezone, begins, ends)
    assert due(expanded, ends, ms(start), found.clocks.contact.ms()) == ms(end)


def hours_of(text: str, first: str, until: str, zone: str = "Europe/Copenhagen") -> list[tuple[str, str]]:
    """The working intervals of a calendar between two local midnights, as local times."""
    local = ZoneInfo(zone)
    ends = (round(datetime.fromisoformat(at).replace(tzinfo=local).timestamp() * 1000) for at in (first, until))
    found = working(team(f"calendar = {{ {text} }}").calendar, zone, *ends)
    assert found is not None

    def shown(at_ms: int) -> str:
        return datetime.fromtimestamp(at_ms / 1000, local).strftime("%m-%d %H:%M")

    return [(shown(opens), shown(closes)) for opens, closes in found]


OFFICE_HOURS = 'hours = { mon-fri = "09:00-17:00" }'


def test_a_closed_day_a_holiday_and_a_weekend_have_no_hours() -> None:
    # Christmas of 2026 in Denmark: Thursday 24th is the shop's own day off, 25th and 26th are holidays.
    text = OFFICE_HOURS + ', holidays = ["DK"], closed = ["12-24"]'
    assert hours_of(text, "2026-12-23", "2026-12-29") == [
        ("12-23 09:00", "12-23 17:00"),
        ("12-28 09:00", "12-28 17:00"),
    ]


def test_an_open_day_wins_over_everything() -> None:
    text = OFFICE_HOURS + (
        ', holidays = ["DK"], closed = ["2026-12-20..2026-12-31"], open = [2026-12-25, "2026-12-27 10:00-14:00"]'
    )
    assert hours_of(text, "2026-12-20", "2027-01-01") == [
        ("12-25 09:00", "12-25 17:00"),
        ("12-27 10:00", "12-27 14:00"),
    ]


def test_an_open_day_may_have_several_hours() -> None:
    text = OFFICE_HOURS + ', open = ["2026-12-27 14:00-16:00", "2026-12-27 10:00-12:00"]'
    assert hours_of(text, "2026-12-27", "2026-12-28") == [
        ("12-27 10:00", "12-27 12:00"),
        ("12-27 14:00", "12-27 16:00"),
    ]


def test_parts_of_a_country_have_their_own_holidays() -> None:
    # All Saints' Day, Monday 2027-11-01: in Bavaria, not in Berlin.
    assert hours_of(OFFICE_HOURS + ', holidays = ["DE-BY"]', "2027-11-01", "2027-11-02", "Europe/Berlin") == []
    assert hours_of(OFFICE_HOURS + ', holidays = ["DE-BE"]', "2027-11-01", "2027-11-02", "Europe/Berlin")
    assert hours_of(OFFICE_HOURS + ', holidays = ["DE-BE", "DE-BY"]', "2027-11-01", "2027-11-02", "Europe/Berlin") == []


def test_hours_that_meet_are_one_interval() -> None:
    assert hours_of('hours = { mon-sun = "00:00-24:00" }', "2026-10-20", "2026-10-30") == [
        ("10-20 00:00", "10-30 00:00")
    ]
    assert hours_of('hours = { mon = ["09:00-12:00", "12:00-15:00"] }', "2026-11-23", "2026-11-30") == [
        ("11-23 09:00", "11-23 15:00")
    ]


def test_a_night_shift_belongs_to_the_day_it_begins_on() -> None:
    # Closed on Wednesday: the shift of Tuesday still ends on Wednesday morning.
    text = 'hours = { tue-wed = "22:00-06:00" }, closed = [2026-11-25]'
    assert hours_of(text, "2026-11-23", "2026-11-30") == [("11-24 22:00", "11-25 06:00")]


def test_hours_that_reach_into_those_of_the_next_day_are_one_interval() -> None:
    text = 'hours = { mon = "12:00-11:00", tue = "09:00-10:00", wed = "10:00-11:00" }'
    assert hours_of(text, "2026-11-23", "2026-11-30") == [
        ("11-23 12:00", "11-24 11:00"),
        ("11-25 10:00", "11-25 11:00"),
    ]


@pytest.mark.parametrize(
    ("hours", "day", "length"),
    [
        pytest.param("00:00-24:00", "2026-03-29", 23, id="put-forward"),
        pytest.param("00:00-24:00", "2026-10-25", 25, id="put-back"),
        pytest.param("01:00-02:30", "2026-03-29", 1, id="ends-in-the-gap"),
        pytest.param("02:30-04:00", "2026-03-29", 1, id="begins-in-the-gap"),
        pytest.param("02:15-02:45", "2026-03-29", 0, id="inside-the-gap"),
        pytest.param("01:00-02:30", "2026-10-25", 1.5, id="ends-at-the-first-of-two"),
        pytest.param("02:30-04:00", "2026-10-25", 2.5, id="begins-at-the-first-of-two"),
        pytest.param("03:00-04:00", "2026-10-25", 1, id="begins-after-the-overlap"),
    ],
)
def test_a_sunday_when_the_clock_changes(hours: str, day: str, length: float) -> None:
    calendar = team(f'calendar = {{ hours = {{ sun = "{hours}" }} }}').calendar
    found = working(calendar, "Europe/Copenhagen", ms(day) - 6 * HOUR_MS, ms(day) + 30 * HOUR_MS)
    assert found is not None
    assert sum(closes - opens for opens, closes in found) == length * HOUR_MS


def test_the_expansion_is_cut_to_what_was_asked_for() -> None:
    calendar = team(OFFICE).calendar
    begins, ends = ms("2026-11-23T10:00"), ms("2026-11-23T11:00")
    assert working(calendar, "UTC", begins, ends) == ((begins, ends),)
    assert working(calendar, "UTC", ms("2026-11-21"), ms("2026-11-23")) == ()


def test_around_the_clock_has_no_intervals() -> None:
    assert working(team("").calendar, "UTC", 0, 1) is None


@pytest.mark.parametrize("now", ["2026-01-01", "2026-02-28T23:59", "2026-03-31T23:59:59", "2026-12-31", "2028-02-29"])
def test_an_expansion_reaches_over_the_horizon_and_a_year(now: str) -> None:
    begins, ends = span_of(ms(now))
    assert begins <= ms(now)
    assert ends >= ms(now) + AHEAD / timedelta(milliseconds=1)


def test_an_expansion_is_the_same_for_a_quarter() -> None:
    found = {span_of(ms("2026-04-01") + day * 24 * HOUR_MS) for day in range(91)}
    assert len(found) == 1
    assert span_of(ms("2026-07-01")) not in found


def test_a_country_that_is_not_known_is_named() -> None:
    calendar = Calendar.model_validate({"hours": {"mon": "09:00-17:00"}, "holidays": ["XX"]})
    with pytest.raises(UnknownRegion) as raised:
        working(calendar, "UTC", 0, 1)
    assert raised.value.region == "XX"
    assert not calendars.has_holidays("DE-XX")
    assert calendars.has_holidays("GB-SCT")


def test_holidays_have_their_names() -> None:
    calendar = team('calendar = { hours = { mon = "09:00-17:00" }, holidays = ["DK"] }').calendar
    found = calendars.named_holidays(calendar, date(2026, 12, 1), date(2027, 1, 1))
    assert [*found] == [date(2026, 12, 25), date(2026, 12, 26), date(2027, 1, 1)]
    assert all(found.values())


# A judge that shares nothing with the expander: it asks of each minute whether the wall clock stands in the hours.

ZONES = (
    *("Europe/Copenhagen", "Europe/Bucharest", "Europe/Dublin", "Africa/Casablanca", "Africa/Cairo", "Asia/Kolkata"),
    *("America/New_York", "America/Sao_Paulo", "America/Santiago", "America/Havana", "America/St_Johns", "Asia/Beirut"),
    *("Australia/Lord_Howe", "Australia/Sydney", "Pacific/Auckland", "Pacific/Kiritimati", "Pacific/Apia", "UTC"),
    *("Antarctica/Troll", "Asia/Kathmandu", "Asia/Tehran", "Pacific/Pago_Pago", "America/Nuuk", "Asia/Jerusalem"),
)
REGIONS = ("DK", "RO", "DE-BY", "US-CA", "JP", "IL", "EG", "BR", "IN", "GB-SCT", "CN", "AU-NSW", "SA", "ZA")


@cache
def is_holiday(region: str, day: date) -> bool:
    country, _, part = region.partition("-")
    return day in holidays.country_holidays(country, subdiv=part or None)


def open_at(calendar: Calendar, zone: str, at_ms: int) -> bool:
    at = datetime.fromtimestamp(at_ms / 1000, UTC)
    wall = at.astimezone(ZoneInfo(zone))
    while wall.fold:  # shown for the second time: nothing changes until it is over
        at -= timedelta(minutes=1)
        wall = at.astimezone(ZoneInfo(zone))
    minute = wall.hour * 60 + wall.minute
    return any(
        start <= minute + ahead * 1440 < end
        for ahead in (0, 1)
        for start, end in hours_on(calendar, wall.date() - timedelta(days=ahead))
    )


def hours_on(calendar: Calendar, day: date) -> list[tuple[int, int]]:
    weekly = {weekday: ranges for days, ranges in (calendar.hours or {}).items() for weekday in days}
    usual = [*weekly.get(day.weekday(), ())]
    named = [one for one in calendar.open if one.day == day]
    if named:
        return [hours for one in named for hours in ([one.hours] if one.hours else usual)]
    closed = any(one.first <= day <= one.last for one in calendar.closed)
    return [] if closed or any(is_holiday(region, day) for region in calendar.holidays) else usual


clocks = st.integers(0, 95).map(lambda quarter: f"{quarter // 4:02}:{quarter % 4 * 15:02}")
ranges = st.tuples(clocks, clocks).map("-".join)
days = st.dates(date(2026, 1, 1), date(2027, 12, 31))


@st.composite
def calendars_of_a_year(draw: st.DrawFn) -> Calendar:
    names = draw(st.lists(st.sampled_from(("mon", "tue", "wed", "thu", "fri", "sat", "sun")), min_size=2, unique=True))
    return Calendar.model_validate(
        {
            "hours": {name: draw(ranges) for name in names},
            "holidays": draw(st.lists(st.sampled_from(REGIONS), max_size=2)),
            "closed": draw(st.lists(days, max_size=5)),
            "open": [f"{day} {draw(ranges)}" for day in draw(st.lists(days, max_size=5))],
        }
    )


@given(
    calendars_of_a_year(),
    st.sampled_from(ZONES),
    st.integers(ms("2026-01-01") // MINUTE_MS, ms("2027-01-01") // MINUTE_MS),
    st.integers(1, 30 * 60),
)
def test_the_working_time_to_the_deadline_is_exactly_the_promise(
    calendar: Calendar, zone: str, start: int, promise: int
) -> None:
    begins, ends = span_of(start * MINUTE_MS)
    expanded = working(calendar, zone, begins, ends)
    at_ms = due(expanded, ends, start * MINUTE_MS, promise * MINUTE_MS)
    assert at_ms < ends
    elapsed = sum(open_at(calendar, zone, minute * MINUTE_MS) for minute in range(start, at_ms // MINUTE_MS))
    assert at_ms % MINUTE_MS == 0
    assert elapsed == promise


@given(calendars_of_a_year(), st.sampled_from(ZONES))
def test_intervals_ascend_and_do_not_meet(calendar: Calendar, zone: str) -> None:
    begins, ends = span_of(ms("2026-05-01"))
    expanded = working(calendar, zone, begins, ends)
    assert expanded is not None
    edges = [begins - 1, *(edge for interval in expanded for edge in interval), ends + 1]
    assert all(earlier < later for earlier, later in pairwise(edges))
