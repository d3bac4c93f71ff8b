"""Local time and UTC: what a wall clock in a zone shows, and when it shows it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)


@cache
def known(name: str) -> bool:
    """Whether there is a zone of that name, such as Europe/Copenhagen."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return "/" in name or name == "UTC"


def local(zone: str, at_ms: int) -> datetime:
    """What the wall clock shows at a moment, without a zone, to the millisecond."""
    return (_EPOCH + timedelta(milliseconds=at_ms)).astimezone(ZoneInfo(zone)).replace(tzinfo=None, fold=0)


def instant(zone: str, wall: datetime) -> int:
    """When the wall clock shows a time, in milliseconds UTC.

    A time that it shows twice, because it was put back, is the first. One that it never shows, because it was put
    forward, is the moment at which that happened. So what is earlier on the wall is never later in time, and hours
    that meet on the wall meet in time.
    """
    at = wall.replace(tzinfo=ZoneInfo(zone), fold=0)
    found = at.astimezone(UTC)
    if found.astimezone(at.tzinfo).replace(tzinfo=None, fold=0) != wall:
        found = _jump(at)
    return round((found - _EPOCH) / timedelta(milliseconds=1))


def _jump(missing: datetime) -> datetime:
    """When the wall clock was put forward over a time, to the second."""
    after, before = missing.astimezone(UTC), missing.replace(fold=1).astimezone(UTC)
    offset = after.astimezone(missing.tzinfo).utcoffset()
    before = before.replace(microsecond=0)
    steps = (after - before) // _SECOND + 1
    low, high = 0, steps  # at low the old offset holds, at high the new one
    while high - low > 1:
        middle = (low + high) // 2
        if (before + middle * _SECOND).astimezone(missing.tzinfo).utcoffset() == offset:
            high = middle
        else:
            low = middle
    return before + high * _SECOND
