"""The SQL of telling again what nobody has acknowledged. Each function runs within a transaction.

A group (the cases of one team on one target) has one clock. It starts when a case of it has been told; when it has run
for `repeat_ms`, what was told and is still open goes into one more message, and it starts anew; it ends when nothing is
open. The message and the clock are one transaction, so none is made twice. What was told of less than half that time
ago waits for the next one.

The rows of such a message are of a kind of their own. As soon as a case is not open any more, whatever became of it,
those that are still to be told are given up as `not_open`.
"""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Callable
from typing import Final

import msgspec

from schemas.followups import FollowupEvent
from services.alerts.grouping import NEWS_SQL, REPEATED, group_id

Held = Callable[[str], int]  # team → until when nothing is told of it on this channel, milliseconds UTC; 0: it is

TABLES: Final = """
CREATE TABLE IF NOT EXISTS repeats (
    channel TEXT NOT NULL,
    team TEXT NOT NULL,
    told_ms INTEGER NOT NULL,       -- when the clock of the group began to run
    PRIMARY KEY (channel, team)
);
CREATE INDEX IF NOT EXISTS open_cases ON cases (case_id) WHERE state = 'open';
"""
# Cases that are open and were told on a channel: team, id, newest event, when told last, whether something waits.
_STANDING: Final = f"""
SELECT one.team, cases.case_id, cases.event, max(iif(one.state = 'delivered', one.settled_ms, 0)),
    max(one.state = 'pending')
FROM cases JOIN deliveries AS one USING (case_id)
WHERE cases.state = 'open' AND one.channel = ?1 AND (?2 IS NULL OR one.team = ?2)
GROUP BY cases.case_id
HAVING max(one.state = 'delivered' AND one.kind IN ({NEWS_SQL}))
ORDER BY min(one.rowid)
"""  # noqa: S608
_INSERT: Final = """
INSERT INTO deliveries (event_id, kind, case_id, channel, state, attempts, at_ms, next_ms, message_id, team, event)
VALUES (?, ?, ?, ?, 'pending', 0, ?, ?, ?, ?, ?)
"""


def start(file: sqlite3.Connection, channel: str, team: str, now_ms: int) -> None:
    """A case of a group was told: its clock runs, from now on if it did not."""
    file.execute("INSERT OR IGNORE INTO repeats (channel, team, told_ms) VALUES (?, ?, ?)", (channel, team, now_ms))


def start_all(file: sqlite3.Connection, channel: str, now_ms: int) -> None:
    """Clocks for whatever was told and is open: nobody may have asked for them until now."""
    for team in {row[0] for row in file.execute(_STANDING, (channel, None))}:
        start(file, channel, team, now_ms)


def repeat(file: sqlite3.Connection, channel: str, now_ms: int, repeat_ms: int, held: Held) -> int:
    """Make a message of each group whose clock has run out and that nothing holds back; how many cases are in them."""
    due = file.execute(
        "SELECT team, told_ms FROM repeats WHERE channel = ? AND told_ms <= ?", (channel, now_ms - repeat_ms)
    ).fetchall()
    return sum(_repeat(file, channel, team, told_ms, now_ms, repeat_ms) for team, told_ms in due if not held(team))


def _repeat(file: sqlite3.Connection, channel: str, team: str, told_ms: int, now_ms: int, repeat_ms: int) -> int:
    standing = file.execute(_STANDING, (channel, team)).fetchall()
    again = [
        _event(case_id, raw, channel, told_ms, now_ms)
        for _, case_id, raw, last_ms, waits in standing
        if not waits and last_ms <= now_ms - repeat_ms // 2
    ]
    if again:
        message_id = group_id(channel, [event.event_id for event in again])
        where = (channel, now_ms, now_ms, message_id, team)
        file.executemany(
            _INSERT,
            [(one.event_id, REPEATED, one.case.case_id, *where, msgspec.json.encode(one)) for one in again],
        )
    if standing:
        # Where all is too fresh, or waits, from the telling on that is the longest ago.
        fresh_ms = min((last_ms for *_, last_ms, waits in standing if not waits), default=now_ms)
        began_ms = now_ms if again else fresh_ms
        file.execute("UPDATE repeats SET told_ms = ? WHERE channel = ? AND team = ?", (began_ms, channel, team))
    else:
        file.execute("DELETE FROM repeats WHERE channel = ? AND team = ?", (channel, team))
    return len(again)


def _event(case_id: str, raw: bytes, channel: str, told_ms: int, now_ms: int) -> FollowupEvent:
    """The case as it stands, told again now."""
    newest = msgspec.json.decode(raw, type=FollowupEvent)
    own_id = str(uuid.uuid5(uuid.UUID(case_id), f"repeat/{channel}/{told_ms}"))
    return FollowupEvent(own_id, "followup.raised", now_ms, newest.case, newest.case.response_id)


def next_ms(file: sqlite3.Connection, channel: str, now_ms: int, repeat_ms: int, held: Held) -> int | None:
    """When the next message of that kind is due, later than now; None: no clock runs."""
    clocks = file.execute("SELECT team, told_ms FROM repeats WHERE channel = ?", (channel,))
    times = (told_ms + repeat_ms if told_ms + repeat_ms > now_ms else held(team) for team, told_ms in clocks)
    return min((at_ms for at_ms in times if at_ms > now_ms), default=None)


def drop(file: sqlite3.Connection, case_id: str, now_ms: int) -> list[str]:
    """Tell a case no more times if it is not open; the channel of each row that was to go."""
    rows = file.execute(
        "UPDATE deliveries SET state = 'given_up', last_status = 'not_open', next_ms = NULL, settled_ms = ?1,"
        " event = NULL WHERE case_id = ?2 AND state = 'pending' AND kind = ?3"
        " AND EXISTS (SELECT 1 FROM cases WHERE case_id = ?2 AND cases.state <> 'open') RETURNING channel",
        (now_ms, case_id, REPEATED),
    )
    return [channel for (channel,) in rows]
