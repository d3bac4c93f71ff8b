"""The SQL of housekeeping: what was settled long ago goes, and what nobody will send any more is given up."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable
from typing import Final

from services.alerts.retries import FIRST_WITHIN_MS

KEPT_MS: Final = 30 * 86_400_000
STEP_ROWS: Final = 500
ATTEMPTS_KEPT: Final = 200_000
DAY_MS: Final = 86_400_000


def sweep(file: sqlite3.Connection, now_ms: int, idle: Iterable[str]) -> tuple[int, Counter[str]]:
    """One small step within a transaction; the rows removed, and how many were given up on each `idle` channel."""
    file.execute("UPDATE alive SET at_ms = ?", (now_ms,))
    removed = file.execute(
        "DELETE FROM deliveries WHERE rowid IN (SELECT rowid FROM deliveries"
        " WHERE state <> 'pending' AND settled_ms < ? LIMIT ?)",
        (now_ms - KEPT_MS, STEP_ROWS),
    ).rowcount
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
    return removed, stranded
