"""When promises fall due: the contract's vectors, and a year of zones, weeks and holidays against counted minutes."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.domain.promise import Hours, before, deadline
from tests.unit.stream.fakes import DAY, HOUR, MINUTE
from tests.unit.stream.logs import PROPERTY

COPENHAGEN, BUCHAREST = ZoneInfo("Europe/Copenhagen"), ZoneInfo("Europe/Bucharest")
ZONES = ("Europe/Copenhagen", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "America/Sao_Paulo")


def ms(at: datetime) -> int:
    """Milliseconds UTC. Subtracting datetimes of one zone would ignore its offsets."""
    return round((at.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(milliseconds=1))


def expanded(zone: ZoneInfo, first: date, days: int, shifts: list[tuple[time, time]], off: set[int]) -> Hours:
    """The working intervals of so many days; `off` are weekdays and days of the year on which nobody works."""
    hours: list[int] = []
    for at in (first + timedelta(day) for day in range(days)):
        if at.weekday() in off or 100 + at.timetuple().tm_yday in off:
            continue
        for start, end in shifts:
            opens, closes = (ms(datetime.combine(at, edge, zone)) for edge in (start, end))
            hours += [opens, closes] if opens < closes else []
    return tuple(hours)


def office(zone: ZoneInfo, first: date) -> Hours:
    """Monday to Friday, nine to five."""
    return expanded(zone, first, 60, [(time(9), time(17))], {5, 6})


@pytest.mark.parametrize(
    ("zone", "start", "due"),
    [
        pytest.param(COPENHAGEN, "2026-10-23 16:00", "2026-10-27 10:00", id="daylight-saving-ends"),
        pytest.param(BUCHAREST, "2026-11-20 16:59", "2026-11-24 10:59", id="a-minute-to-five"),
        pytest.param(COPENHAGEN, "2026-11-20 17:00", "2026-11-24 11:00", id="as-they-close"),
        pytest.param(COPENHAGEN, "2026-11-21 03:00", "2026-11-24 11:00", id="on-a-weekend"),
        pytest.param(COPENHAGEN, "2026-11-23 09:00", "2026-11-24 11:00", id="as-they-open"),
        pytest.param(COPENHAGEN, "2026-11-23 15:00", "2026-11-24 17:00", id="due-as-they-close"),
    ],
)
def test_ten_hours_of_work_from_nine_to_five(zone: ZoneInfo, start: str, due: str) -> None:
    started, expected = (datetime.fromisoformat(at).replace(tzinfo=zone) for at in (start, due))
    hours = office(zone, started.date() - timedelta(7))
    assert deadline(hours, hours[-1] + DAY, ms(started), 10 * HOUR) == ms(expected)


def test_around_the_clock_an_hour_that_the_clocks_skip_is_not_worked() -> None:
    start = datetime(2026, 3, 28, 20, tzinfo=COPENHAGEN)
    assert deadline((), None, ms(start), 10 * HOUR) == ms(datetime(2026, 3, 29, 7, tzinfo=COPENHAGEN))


def test_what_lies_beyond_the_expansion_counts_around_the_clock() -> None:
    hours = (0, HOUR)
    assert deadline(hours, DAY, HOUR // 2, HOUR) == DAY + HOUR // 2
    assert deadline(hours, DAY, 2 * DAY, HOUR) == 2 * DAY + HOUR
    assert before(hours, DAY, DAY + HOUR, 90 * MINUTE) == HOUR // 2
    assert before(hours, DAY, 2 * DAY, HOUR) == 2 * DAY - HOUR


def test_nobody_works_before_the_expansion_begins() -> None:
    assert deadline((DAY, DAY + HOUR), 2 * DAY, 0, HOUR) == DAY + HOUR
    assert before((DAY, DAY + HOUR), 2 * DAY, DAY + MINUTE, HOUR) == DAY


@pytest.mark.parametrize(("ahead_h", "start"), [(0, 10), (1, 9), (2, -8), (9, -15), (10, -80)])
def test_a_reminder_comes_as_late_as_it_may(ahead_h: int, start: int) -> None:
    """So many working hours before a Tuesday at ten; a minus counts back from its midnight."""
    hours = office(COPENHAGEN, date(2026, 11, 2))
    tuesday = datetime(2026, 11, 24, tzinfo=COPENHAGEN)
    expected = ms(tuesday) + start * HOUR
    assert before(hours, hours[-1], ms(tuesday) + 10 * HOUR, ahead_h * HOUR) == expected


def worked(hours: Hours, until_ms: int, start_ms: int, end_ms: int) -> int:
    """Working time between two moments, counted interval by interval."""
    inside = sum(
        max(0, min(end_ms, closes) - max(start_ms, opens))
        for opens, closes in zip(hours[::2], hours[1::2], strict=True)
    )
    return inside + max(0, end_ms - max(start_ms, until_ms))


SHIFTS = st.sampled_from(
    [
        [(time(9), time(17))],
        [(time(0), time(3)), (time(22), time(23, 59, 59))],
        [(time(1, 30), time(2, 30))],  # skipped or doubled when clocks change
        [(time(8), time(12)), (time(12, 30), time(16, 45)), (time(19), time(19, 1))],
    ]
)


@PROPERTY
@given(
    st.sampled_from(ZONES),
    SHIFTS,
    st.sets(st.integers(0, 6), max_size=5) | st.sets(st.integers(101, 466), max_size=60),
    st.integers(0, 366 * DAY),
    st.integers(1, 40 * DAY) | st.integers(1, 200 * DAY).map(lambda ahead: -(-ahead // HOUR) * HOUR),
)
def test_over_a_year_of_zones_and_holidays_working_time_to_the_deadline_is_exactly_the_promise(
    zone: str, shifts: list[tuple[time, time]], off: set[int], after: int, promise_ms: int
) -> None:
    hours = expanded(ZoneInfo(zone), date(2026, 1, 1), 400, shifts, off)
    until_ms = hours[-1] + 9 * HOUR
    start_ms = ms(datetime(2026, 1, 1, tzinfo=UTC)) + after
    due_ms = deadline(hours, until_ms, start_ms, promise_ms)
    assert worked(hours, until_ms, start_ms, due_ms) == promise_ms
    assert worked(hours, until_ms, start_ms, due_ms - 1) == promise_ms - 1, "the first such instant"
    reminded_ms = before(hours, until_ms, due_ms, promise_ms)
    assert start_ms <= reminded_ms < due_ms
    assert worked(hours, until_ms, reminded_ms, due_ms) == promise_ms
    assert worked(hours, until_ms, reminded_ms + 1, due_ms) == promise_ms - 1, "the last such instant"
