"""Minutes are named by their end; windows are whole minutes."""

from __future__ import annotations

import pytest

from stream.domain.minutes import (
    HORIZON_MS,
    MAX_WINDOW,
    WINDOWS,
    ceil_minute,
    floor_minute,
    parse_window,
    window_name,
)


@pytest.mark.parametrize(("at_ms", "pane"), [(0, 0), (1, 1), (59_999, 1), (60_000, 1), (60_001, 2)])
def test_a_pane_holds_what_came_after_the_minute_before_and_up_to_its_end(at_ms: int, pane: int) -> None:
    assert ceil_minute(at_ms) == pane


@pytest.mark.parametrize(("at_ms", "minute"), [(0, 0), (59_999, 0), (60_000, 1), (60_001, 1)])
def test_a_moment_is_floored_to_the_last_whole_minute(at_ms: int, minute: int) -> None:
    assert floor_minute(at_ms) == minute


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("1m", 1), ("90m", 90), ("1h", 60), ("24h", 1_440), ("7d", 10_080), ("1095d", 1_576_800), ("36500d", MAX_WINDOW)],
)
def test_a_window_is_a_whole_number_of_minutes_hours_or_days(text: str, minutes: int) -> None:
    assert parse_window(text) == minutes


def test_the_window_all_has_no_beginning() -> None:
    assert parse_window("all") is None


@pytest.mark.parametrize(
    "text", ["", "0m", "-1d", "01d", "7", "d", "7w", "7D", " 7d", "7d ", "7d\n", "1.5h", "٧d", "ALL", "999999999m"]
)
def test_anything_else_is_refused_with_the_forms_that_are_understood(text: str) -> None:
    with pytest.raises(ValueError, match="90m, 24h or 7d, or all"):
        parse_window(text)


def test_a_window_longer_than_a_century_is_refused_with_the_limit() -> None:
    with pytest.raises(ValueError, match="36500d"):
        parse_window("36501d")


@pytest.mark.parametrize(
    ("minutes", "name"),
    [(60, "1h"), (1_440, "24h"), (2_880, "2d"), (10_080, "7d"), (90, "90m"), (1, "1m"), (120, "2h")],
)
def test_a_window_is_called_by_its_shortest_name_and_that_name_is_read_back(minutes: int, name: str) -> None:
    assert window_name(minutes) == name
    assert parse_window(name) == minutes


def test_live_windows_are_1_hour_24_hours_7_30_and_90_days_and_lie_within_the_horizon() -> None:
    assert [window_name(minutes) for minutes in WINDOWS] == ["1h", "24h", "7d", "30d", "90d"]
    assert HORIZON_MS == 400 * 86_400_000
    assert WINDOWS[-1] * 60_000 < HORIZON_MS
