"""The SQL of housekeeping: what leaves the file when its time is over. One small step, within a transaction."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from services.alerts.retries import FIRST_WITHIN_MS

DAY_MS: Final = 86_400_000
KEPT_MS: Final = 30 * DAY_MS
STEP_ROWS: Final = 500
ATTEMPTS_KEPT: Final = 200_000


@dataclass(frozen=True, slots=True)
class Swept:
    """What one step did. `untold`: dead letters among what was removed; `stranded`: channel → how many given up."""

    removed: int
    untold: int
    stranded: Counter[str]


def sweep(file: sqlite3.Connection, now_ms: int, idle: Iterable[str]) -> Swept:
    """Remove what was settled 30 days ago; give up what has been due for a day on a channel that nobody serves."""
    file.execute("UPDATE alive SET at_ms = ?", (now_ms,))
    removed = file.execute(
        "DELETE FROM deliveries WHERE rowid IN (SELECT rowid FROM deliveries"
        " WHERE state <> 'pending' AND settled_ms < ? LIMIT ?) RETURNING state = 'given_up' AND event IS NOT NULL",
        (now_ms - KEPT_MS, STEP_ROWS),
    ).fetchall()
    for table in ("amended", "cases", "attempts", "seen"):
        file.execute(f"DELETE FROM {table} WHERE at_ms < ?", (now_ms - KEPT_MS,))  # noqa: S608
    file.execute("DELETE FROM attempts WHERE rowid <= (SELECT max(rowid) FROM attempts) - ?", (ATTEMPTS_KEPT,))
    file.execute("DELETE FROM silences WHERE until_ms < ?", (now_ms - DAY_MS,))
    stranded: Counter[str] = Counter()
    for channel in idle:
        stranded[channel] = file.execute(
            "UPDATE deliveries SET state = 'given_up', last_status = 'too_old', next_ms = NULL,"
            " settled_ms = ? WHERE rowid IN (SELECT rowid FROM deliveries"
            " WHERE channel = ? AND state = 'pending' AND next_ms < ? LIMIT ?)",
            (now_ms, channel, now_ms - FIRST_WITHIN_MS, STEP_ROWS),
        ).rowcount
    return Swept(len(removed), sum(untold for (untold,) in removed), stranded)
