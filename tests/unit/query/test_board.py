"""Which window a board shows, and how its spark lines are cut."""

from __future__ import annotations

import pytest

from services.query.board import STEPS, steps_of, window_links, window_of
from stream.domain.minutes import LONGEST_WINDOW, WINDOWS

OTHERS = [7, 90, 2_880, 43_200]


@pytest.mark.parametrize(
    ("live", "asked", "minutes"),
    [
        pytest.param(list(WINDOWS), "7d", 10_080, id="the-usual-one"),
        pytest.param(list(WINDOWS), "24h", 1_440, id="a-live-one"),
        pytest.param(list(WINDOWS), "1d", 1_440, id="by-another-name"),
        pytest.param(OTHERS, "90m", 90, id="a-live-one-of-another-list"),
        pytest.param(OTHERS, "7d", 2_880, id="live-no-more"),
        pytest.param(OTHERS, "all", 2_880, id="no-live-one-can-be-called-that"),
        pytest.param([LONGEST_WINDOW], "7d", LONGEST_WINDOW, id="the-only-one"),
    ],
)
def test_the_window_that_is_asked_for_is_shown_if_it_is_live(live: list[int], asked: str, minutes: int) -> None:
    assert window_of(live, asked) == minutes


def test_the_links_are_those_of_the_live_windows() -> None:
    assert window_links(OTHERS) == [("7m", "7\u00a0m"), ("90m", "90\u00a0m"), ("2d", "2\u00a0d"), ("30d", "30\u00a0d")]


def test_a_window_is_cut_into_whole_steps_so_that_the_middle_is_the_window_before() -> None:
    for minutes in (*range(1, 200), *WINDOWS, LONGEST_WINDOW):
        steps = steps_of(minutes)
        assert 1 <= steps <= STEPS
        assert minutes % steps == 0
        assert all(minutes % more for more in range(steps + 1, STEPS + 1))
