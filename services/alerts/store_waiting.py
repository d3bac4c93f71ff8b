"""The SQL of what has not been told: what is held back, what came too late to matter, and dead letters.

Nothing that nobody has been told of is dropped. What a silence or quiet hours held back is told when they end, unless
its case has closed meanwhile. What was given up keeps its event, a dead letter, until somebody has it told again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Final

from schemas.followups import FollowupEvent
from services.alerts.deliveries import Silence
from services.alerts.grouping import CLOSED
from services.alerts.retries import FIRST_WITHIN_MS

# What `last_status` says: of what waits for the end of a silence or of quiet hours; of what nobody needed to be told.
HELD: Final = "held"
CASE_CLOSED: Final = "case_closed"
_CLOSED_SQL: Final = ", ".join(f"'{state}'" for state in sorted(CLOSED))


def is_history(file: sqlite3.Connection, event: FollowupEvent, born_ms: int, now_ms: int) -> bool:
    """Whether an event, of which nothing is stored, is not to be told any more.

    It is when it is a day old and was known here before (a log that is read again, by a new target, say), or happened
    a day before this file was made. Late by an outage alone, it is told.
    """
    if now_ms - event.at_ms <= FIRST_WITHIN_MS:
        return False
    if born_ms - event.at_ms > FIRST_WITHIN_MS:
        return True
    known = file.execute("SELECT n FROM cases WHERE case_id = ?", (event.case.case_id,)).fetchone()
    return known is not None and event.case.n <= known[0]


def hold_on(file: sqlite3.Connection, channel: str, now_ms: int, silences: Iterable[Silence]) -> None:
    """What was held back until now goes on waiting where another silence holds."""
    for one in silences:
        if one.until_ms > now_ms and one.channel in (None, channel):
            file.execute(
                "UPDATE deliveries SET next_ms = ? WHERE channel = ? AND state = 'pending' AND last_status = ?"
                " AND next_ms <= ? AND (? IS NULL OR team = ?)",
                (one.until_ms, channel, HELD, now_ms, one.team, one.team),
            )


def pass_over(file: sqlite3.Connection, channel: str, now_ms: int) -> int:
    """End what was held back until now of cases that have closed meanwhile; how many. Nobody needs to get up."""
    return file.execute(
        "UPDATE deliveries SET state = 'given_up', last_status = ?, next_ms = NULL, settled_ms = ?, event = NULL"  # noqa: S608
        " WHERE channel = ? AND state = 'pending' AND last_status = ? AND next_ms <= ? AND EXISTS"
        f" (SELECT 1 FROM cases WHERE cases.case_id = deliveries.case_id AND cases.state IN ({_CLOSED_SQL}))",
        (CASE_CLOSED, now_ms, channel, HELD, now_ms),
    ).rowcount


def dead_letters(file: sqlite3.Connection) -> dict[str, int]:
    """Channel → how many events were given up that `resend` would tell again."""
    return dict(
        file.execute(
            "SELECT channel, count(*) FROM deliveries INDEXED BY dead"
            " WHERE state = 'given_up' AND event IS NOT NULL GROUP BY channel"
        ).fetchall()
    )
