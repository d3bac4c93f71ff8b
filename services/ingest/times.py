"""Times as clients write them: RFC 3339, the strict part of ISO 8601, with a zone. To the millisecond."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Final

import msgspec

from schemas.topics import DAY_MS
from stream.domain.minutes import HORIZON_MS

MAX_AHEAD_MS: Final = 5 * 60_000
WIDGET_BACK_MS: Final = DAY_MS

_Aware = Annotated[datetime, msgspec.Meta(tz=True)]
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def epoch_ms(text: str) -> int:
    """Milliseconds since 1970-01-01 UTC; a finer fraction is cut off. Negative before that.

    Raises:  ValueError, saying what is wanted, for anything that is not such a time with a zone.

    >>> epoch_ms("1970-01-01T02:00:01.5+02:00")
    1500
    """
    try:
        at = msgspec.convert(text, _Aware)
    except msgspec.ValidationError:
        at = None
    if at is None or text[10] != "T":
        raise ValueError("must be an ISO 8601 time with seconds and a zone, such as 2026-11-22T10:00:00Z")
    since = at - _EPOCH
    return since.days * DAY_MS + since.seconds * 1_000 + since.microseconds // 1_000


def answered_ms(text: str, now_ms: int, *, history: bool, widget: bool) -> int:
    """When an answer was given. `history`: the caller may bring answers older than the horizon.

    Raises:  ValueError naming the limit that is passed.
    """
    at_ms = epoch_ms(text)
    if at_ms > now_ms + MAX_AHEAD_MS:
        raise ValueError("must be at most 5 minutes ahead")
    if at_ms < 0:
        raise ValueError("must not be before 1970")
    if widget and at_ms < now_ms - WIDGET_BACK_MS:
        raise ValueError("must be at most 1 day back with a widget key")
    if not history and at_ms < now_ms - HORIZON_MS:
        raise ValueError("must be at most 400 days back; older answers need an import key")
    return at_ms


def callback_ms(text: str) -> int:
    """When a customer wants to be called. Raises ValueError for what is not a time, or before 1970."""
    at_ms = epoch_ms(text)
    if at_ms < 0:
        raise ValueError("must not be before 1970")
    return at_ms
