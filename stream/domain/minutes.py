"""Minutes and windows. A pane is named by its end: minute m holds the answers of (m - 1 min, m]."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

MINUTE_MS: Final = 60_000
MINUTES_A_DAY: Final = 1_440
HORIZON: Final = 400 * MINUTES_A_DAY  # minutes
HORIZON_MS: Final = HORIZON * MINUTE_MS
LATE_MS: Final = 60_000  # a pane that ended this long ago has been shown: changing it is a correction
WINDOWS: Final[tuple[int, ...]] = (60, 24 * 60, 7 * 1_440, 30 * 1_440, 90 * 1_440)  # minutes; until the log says other
MOST_WINDOWS: Final = 20
LONGEST_WINDOW: Final = 366 * MINUTES_A_DAY  # live; it ends well before the horizon


def are_windows(minutes: Sequence[int]) -> bool:
    """Whether these can be the live windows: 1 to 20 lengths in minutes, ascending, none over 366 days.

    >>> are_windows((60, 1440)), are_windows((1440, 60)), are_windows(())
    (True, False, False)
    """
    return (
        0 < len(minutes) <= MOST_WINDOWS
        and minutes[0] > 0
        and minutes[-1] <= LONGEST_WINDOW
        and all(a < b for a, b in pairwise(minutes))
    )


_UNITS: Final = {"m": 1, "h": 60, "d": MINUTES_A_DAY}
_WINDOW: Final = re.compile(r"([1-9][0-9]{0,7})([mhd])")
MAX_WINDOW: Final = 36_500 * MINUTES_A_DAY


def ceil_minute(at_ms: int) -> int:
    """The pane an instant falls in: the first whole minute at or after it (minutes since 1970, UTC)."""
    return -(-at_ms // MINUTE_MS)


def floor_minute(at_ms: int) -> int:
    """The last whole minute at or before an instant."""
    return at_ms // MINUTE_MS


def parse_window(text: str) -> int | None:
    """A window's length in minutes; None for `all`, which has no beginning.

    Raises:  ValueError, naming the forms that are understood, for anything else.

    >>> parse_window("90m"), parse_window("7d"), parse_window("all")
    (90, 10080, None)
    """
    if text == "all":
        return None
    found = _WINDOW.fullmatch(text)
    if found is None:
        raise ValueError("window must be a whole number and m, h or d, such as 90m, 24h or 7d, or all")
    minutes = int(found[1]) * _UNITS[found[2]]
    if minutes > MAX_WINDOW:
        raise ValueError("window must be at most 36500d; for everything use all")
    return minutes


def window_name(minutes: int) -> str:
    """The shortest name of a window.

    >>> window_name(60), window_name(1440), window_name(10080), window_name(90)
    ('1h', '24h', '7d', '90m')
    """
    if minutes % MINUTES_A_DAY == 0 and minutes > MINUTES_A_DAY:
        return f"{minutes // MINUTES_A_DAY}d"
    if minutes % 60 == 0:
        return f"{minutes // 60}h"
    return f"{minutes}m"
