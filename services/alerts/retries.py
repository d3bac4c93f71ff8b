"""What an attempt came to, and when the next one is due. Pure: no clock, no chance, no IO.

| answer | verdict | then |
| --- | --- | --- |
| 2xx | delivered | done |
| 410 | gone | the channel stops until the process starts again; stays pending |
| 408 425 429, 5xx, time-out, no contact | retry | `SCHEDULE_MS`; after 429, 502 and 504 not within 30 s |
| 400 of a target that says never to repeat it (PagerDuty) | invalid | given up at once |
| any other, redirects included | refused | `SCHEDULE_MS`, but never within 5 minutes (mend it first) |

The schedule is that of Standard Webhooks with quicker first retries, because a follow-up's first clock is ten
hours: 12 attempts over about 76 hours, then given up; nothing is given up for its age. A refusal keeps the long tail,
since a gateway answers 404 during the outage behind it. `Retry-After` (bounded by an hour) can only lengthen a wait,
and makes the whole channel wait: what one message was told holds for all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final, Literal

Verdict = Literal["delivered", "retry", "refused", "gone", "invalid"]

SECOND_MS: Final = 1_000
MINUTE_MS: Final = 60 * SECOND_MS
HOUR_MS: Final = 60 * MINUTE_MS

# Wait after attempt 1, 2, …; there is none after the last.
SCHEDULE_MS: Final = (
    1 * SECOND_MS,
    5 * SECOND_MS,
    30 * SECOND_MS,
    5 * MINUTE_MS,
    30 * MINUTE_MS,
    2 * HOUR_MS,
    5 * HOUR_MS,
    10 * HOUR_MS,
    14 * HOUR_MS,
    20 * HOUR_MS,
    24 * HOUR_MS,
)
JITTER: Final = 0.1
REFUSED_WAIT_MS: Final = 5 * MINUTE_MS
BUSY_WAIT_MS: Final = 30 * SECOND_MS
BUSY_PAUSE_MS: Final = 1 * SECOND_MS
RETRY_AFTER_MAX_MS: Final = 1 * HOUR_MS

# Nobody wants a page about last month's case from a service that was put up today: of what had happened before its
# first start, it tells the last day. What happened since then is told however late it is read: nobody has been told.
FIRST_WITHIN_MS: Final = 24 * HOUR_MS
# A note about a score is news for four days.
LAST_WITHIN_MS: Final = 96 * HOUR_MS

_BUSY: Final = frozenset({429, 502, 504})
_PASSING: Final = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an attempt came to. `status` is an HTTP status or a word such as `timeout`: what /v1/deliveries shows.

    `wait_ms` is the least wait for this message, `pause_ms` how long the whole channel should leave the target alone.
    """

    verdict: Verdict
    status: str
    wait_ms: int = 0
    pause_ms: int = 0

    def with_status(self, status: str) -> Outcome:
        """The same, under another status."""
        return replace(self, status=status)


def outcome_of(status: int, retry_after: str | None, now_ms: int) -> Outcome:
    """The outcome of an attempt that was answered. `retry_after` is that header's value, if any."""
    verdict = verdict_of(status)
    if verdict == "delivered" or verdict == "gone":
        return Outcome(verdict, str(status))
    asked_ms = retry_after_ms(retry_after, now_ms)
    busy = status in _BUSY
    least_ms = REFUSED_WAIT_MS if verdict == "refused" else BUSY_WAIT_MS if busy and not asked_ms else 0
    return Outcome(verdict, str(status), max(least_ms, asked_ms), asked_ms or (BUSY_PAUSE_MS if busy else 0))


def verdict_of(status: int) -> Verdict:
    """The verdict of an HTTP status; the table is at the top of this module."""
    if 200 <= status < 300:
        return "delivered"
    if status == 410:
        return "gone"
    return "retry" if status >= 500 or status in _PASSING else "refused"


def retry_after_ms(value: str | None, now_ms: int) -> int:
    """A Retry-After header as milliseconds from now, 0 to an hour; 0 when there is none or it makes no sense.

    Source: RFC 9110, 10.2.3: seconds, or an HTTP date.
    """
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        asked_ms = int(text[:10]) * SECOND_MS
    else:
        try:
            moment = parsedate_to_datetime(text)
        except ValueError:
            return 0
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        asked_ms = int(moment.timestamp() * 1_000) - now_ms
    return min(max(asked_ms, 0), RETRY_AFTER_MAX_MS)


def next_wait_ms(attempts: int, outcome: Outcome, chance: float) -> int | None:
    """Milliseconds until the next attempt after `attempts` of them; None: give up. `chance` in [0, 1) is the jitter."""
    if outcome.verdict == "invalid" or attempts > len(SCHEDULE_MS):
        return None
    return int(max(SCHEDULE_MS[attempts - 1], outcome.wait_ms) * (1 + JITTER * chance))
