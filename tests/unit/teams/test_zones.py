"""Local time and UTC, over gaps and overlaps of the wall clock."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.teams import zones
from tests.unit.teams.configs import ms

ZONES = sorted(name for name in available_timezones() if "/" in name and not name.startswith(("Etc/", "System")))
walls = st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31)).map(  # noqa: DTZ001
    lambda wall: wall.replace(second=0, microsecond=0)
)


@pytest.mark.parametrize(
    ("zone", "wall", "at"),
    [
        pytest.param("Europe/Copenhagen", "2026-07-01T09:00", "2026-07-01T07:00", id="summer"),
        pytest.param("Europe/Copenhagen", "2026-01-01T09:00", "2026-01-01T08:00", id="winter"),
        pytest.param("Europe/Copenhagen", "2026-03-29T02:00", "2026-03-29T01:00", id="start-of-gap"),
        pytest.param("Europe/Copenhagen", "2026-03-29T02:30", "2026-03-29T01:00", id="in-gap"),
        pytest.param("Europe/Copenhagen", "2026-03-29T03:00", "2026-03-29T01:00", id="end-of-gap"),
        pytest.param("Europe/Copenhagen", "2026-03-29T03:30", "2026-03-29T01:30", id="after-gap"),
        pytest.param("Europe/Copenhagen", "2026-10-25T02:00", "2026-10-25T00:00", id="start-of-overlap"),
        pytest.param("Europe/Copenhagen", "2026-10-25T02:30", "2026-10-25T00:30", id="in-overlap"),
        pytest.param("Europe/Copenhagen", "2026-10-25T03:00", "2026-10-25T02:00", id="end-of-overlap"),
        pytest.param("Australia/Lord_Howe", "2026-10-04T02:15", "2026-10-03T15:30", id="gap-of-half-an-hour"),
        pytest.param("Africa/Cairo", "2026-04-24T00:00", "2026-04-23T22:00", id="no-midnight"),
        pytest.param("Asia/Kathmandu", "2026-04-24T00:00", "2026-04-23T18:15", id="quarter-of-an-hour"),
        pytest.param("UTC", "2026-04-24T00:00", "2026-04-24T00:00", id="utc"),
    ],
)
def test_when_the_wall_clock_shows(zone: str, wall: str, at: str) -> None:
    assert zones.instant(zone, datetime.fromisoformat(wall)) == ms(at)


@given(st.sampled_from(ZONES), walls, st.integers(0, 2_880))
def test_what_is_earlier_on_the_wall_is_never_later_in_time(zone: str, wall: datetime, minutes: int) -> None:
    assert zones.instant(zone, wall) <= zones.instant(zone, wall + timedelta(minutes=minutes))


@given(st.sampled_from(ZONES), walls)
def test_the_wall_clock_shows_the_time_or_jumps_over_it(zone: str, wall: datetime) -> None:
    at_ms = zones.instant(zone, wall)
    shown = zones.local(zone, at_ms)
    if shown != wall:
        assert shown > wall > zones.local(zone, at_ms - 1)
    else:
        assert zones.local(zone, at_ms - 60_000) < wall


@pytest.mark.parametrize("name", ["Europe/Copenhagen", "UTC", "America/Argentina/Buenos_Aires"])
def test_a_zone_is_known(name: str) -> None:
    assert zones.known(name)


@pytest.mark.parametrize(
    "name", ["", "Europe", "Europe/Nowhere", "CEST", "../etc/passwd", "/etc/passwd", "utc", "a\0b/c"]
)
def test_what_is_no_zone_is_not_known(name: str) -> None:
    assert not zones.known(name)
