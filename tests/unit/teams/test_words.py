"""What the small words of the file mean, and which are refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import pytest

from services.teams import words
from services.teams.words import Days, Moment, OpenDay, Span

GOOD: list[tuple[Callable[[Any], Any], Any, Any]] = [
    (words.span, "10h", Span(0, 600)),
    (words.span, "90m", Span(0, 90)),
    (words.span, "1d 4h 5m", Span(1, 245)),
    (words.span, "1d4h", Span(1, 240)),
    (words.span, "366d", Span(366, 0)),
    (words.delay, "0m", Span(0, 0)),
    (words.delay, "5m", Span(0, 5)),
    (words.ranges, "09:00-17:00", ((540, 1020),)),
    (words.ranges, "00:00-24:00", ((0, 1440),)),
    (words.ranges, "22:00-06:00", ((1320, 1800),)),
    (words.ranges, "09:00 – 17:00", ((540, 1020),)),
    (words.ranges, ["13:00-17:00", "09:00-12:00"], ((540, 720), (780, 1020))),
    (words.weekdays, "mon", (0,)),
    (words.weekdays, "mon-fri", (0, 1, 2, 3, 4)),
    (words.weekdays, "sat-mon", (5, 6, 0)),
    (words.days, date(2026, 5, 15), Days(date(2026, 5, 15), date(2026, 5, 15))),
    (words.days, "2026-12-24..2027-01-02", Days(date(2026, 12, 24), date(2027, 1, 2))),
    (words.days, "02-29", Days(date(2024, 2, 29), date(2024, 2, 29), yearly=True)),
    (words.open_day, date(2026, 12, 27), OpenDay(date(2026, 12, 27))),
    (words.open_day, "2026-12-27 10:00-14:00", OpenDay(date(2026, 12, 27), (600, 840))),
    (words.local_time, datetime(2026, 12, 24, 9, 0), datetime(2026, 12, 24, 9, 0)),  # noqa: DTZ001
    (words.local_time, "2026-12-24 09:00", datetime(2026, 12, 24, 9, 0)),  # noqa: DTZ001
    (words.moment, "sun 23:30", Moment(6, 1410)),
]


def _any(*values: Any) -> tuple[Any, ...]:
    return values


BAD: list[tuple[Callable[[Any], Any], Any]] = [
    *((words.span, value) for value in _any("", "10", "10 hours", "0m", "0d 0h", "367d", "h", " ", "-1h", 10, None)),
    *(
        (words.ranges, value)
        for value in _any("09:00", "9:00-17:00", "24:00-25:00", "09:60-17:00", "24:00-06:00", 9, [])
    ),
    (words.ranges, ["09:00-12:00", "11:59-13:00"]),
    *((words.weekdays, value) for value in _any("monday", "mon-", "fri-x", "", 1)),
    *((words.days, value) for value in _any("2026-02-30", "13-01", "2026-01-02..2026-01-01", "01-01..01-05", 20260101)),
    (words.days, datetime(2026, 1, 1)),  # noqa: DTZ001
    *((words.open_day, value) for value in _any("2026-12-27 10:00", "10:00-14:00", "12-24")),
    *((words.local_time, value) for value in _any("2026-12-24", "2026-13-24 09:00", "2026-12-24T09:00:00+01:00", 5)),
    (words.local_time, datetime(2026, 1, 1, tzinfo=UTC)),
    *((words.moment, value) for value in _any("mon", "09:00", "mon 9:00", "xyz 09:00", None)),
]


@pytest.mark.parametrize(("reader", "value", "meant"), GOOD)
def test_a_word_means(reader: Callable[[Any], Any], value: Any, meant: Any) -> None:
    assert reader(value) == meant


@pytest.mark.parametrize(("reader", "value"), BAD)
def test_a_word_is_refused_with_what_would_be_right(reader: Callable[[Any], Any], value: Any) -> None:
    with pytest.raises(ValueError, match=r"^must "):
        reader(value)


def test_days_hold_both_their_ends() -> None:
    found = words.days("2026-12-24..2027-01-02")
    assert date(2026, 12, 23) not in found
    assert date(2026, 12, 24) in found
    assert date(2027, 1, 2) in found
    assert date(2027, 1, 3) not in found


def test_a_day_of_every_year_is_in_every_year() -> None:
    found = words.days("12-24")
    assert all(date(year, 12, 24) in found for year in (2024, 2026, 2031))
    assert date(2026, 12, 25) not in found


def test_the_days_of_a_span_are_as_long_as_is_said() -> None:
    assert Span(3, 30).ms(8 * 60) == (24 * 60 + 30) * 60_000
    assert Span(3, 0).ms() == 3 * 86_400_000
