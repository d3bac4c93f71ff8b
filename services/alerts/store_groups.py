"""The SQL of groups: where a new event goes, and which messages are due. Each runs within a transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Final

import msgspec

from schemas.followups import FollowupEvent
from services.alerts.deliveries import Delivery, Silence, State, silent_until
from services.alerts.grouping import NEWS_SQL, REPEATED, SHOWN, Grouping, group_id, group_of
from services.alerts.store_waiting import HELD

ROW: Final = "event_id, kind, case_id, channel, state, attempts, last_status, at_ms, next_ms, settled_ms, message_id"


def insert(
    file: sqlite3.Connection,
    delivery: Delivery,
    state: State,
    message_id: str | None,
    next_ms: int | None,
    settled_ms: int | None,
    status: str | None,
) -> None:
    """A new row: pending, or given up at once."""
    event, pending = delivery.event, state == "pending"
    row = (event.event_id, event.kind, event.case.case_id, delivery.channel, state, 0, status, event.at_ms)
    rest = (next_ms, settled_ms, message_id, event.case.team, msgspec.json.encode(event) if pending else None)
    file.execute(
        f"INSERT INTO deliveries ({ROW}, team, event) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
        (*row, *rest),
    )


def place(
    file: sqlite3.Connection,
    event: FollowupEvent,
    channel: str,
    now_ms: int,
    grouping: Grouping | None,
    silences: Iterable[Silence],
    not_before_ms: int = 0,
) -> tuple[str | None, int, str | None]:
    """The message a new event belongs to, when that is due, and whether it is held back until then.

    No message: that of its group, made when it is due.
    """
    team = event.case.team
    silent_ms = max(not_before_ms, silent_until(silences, team, channel, now_ms))
    held = HELD if silent_ms > now_ms else None
    if grouping is None or event.kind not in grouping.kinds:
        return event.event_id, max(now_ms, silent_ms), held
    group = group_of(event.kind, team)
    row = file.execute("SELECT next_ms FROM groups WHERE channel = ? AND team = ?", (channel, group)).fetchone()
    due_ms: int = row[0] if row is not None and row[0] > now_ms else now_ms + grouping.wait_ms
    if due_ms > now_ms or silent_ms > now_ms or not grouping.interval_ms:
        return (None if grouping.interval_ms else event.event_id), max(due_ms, silent_ms), held
    _open(file, channel, group, now_ms + grouping.interval_ms)
    return event.event_id, now_ms, None


def _open(file: sqlite3.Connection, channel: str, group: str, next_ms: int) -> None:
    file.execute(
        "INSERT INTO groups (channel, team, next_ms) VALUES (?, ?, ?)"
        " ON CONFLICT (channel, team) DO UPDATE SET next_ms = excluded.next_ms",
        (channel, group, next_ms),
    )


def form(file: sqlite3.Connection, channel: str, now_ms: int, grouping: Grouping) -> None:
    """Make a message of each kind in a group whose time has come. From here on its id and its events stand."""
    ready = file.execute(
        "SELECT DISTINCT team, kind FROM deliveries"
        " WHERE channel = ? AND state = 'pending' AND message_id IS NULL AND next_ms <= ?",
        (channel, now_ms),
    ).fetchall()
    for team, kind in ready:
        members = file.execute(
            "SELECT event_id FROM deliveries WHERE channel = ? AND team = ? AND kind = ? AND state = 'pending'"
            " AND message_id IS NULL AND next_ms <= ? ORDER BY at_ms, event_id",
            (channel, team, kind, now_ms),
        ).fetchall()
        made = group_id(channel, [event_id for (event_id,) in members])
        file.execute(
            "UPDATE deliveries SET message_id = ?, next_ms = ? WHERE channel = ? AND team = ? AND kind = ?"
            " AND state = 'pending' AND message_id IS NULL AND next_ms <= ?",
            (made, now_ms, channel, team, kind, now_ms),
        )
        _open(file, channel, group_of(kind, team), now_ms + grouping.interval_ms)


def due(file: sqlite3.Connection, channel: str, now_ms: int, limit: int) -> list[Delivery]:
    """Messages whose next attempt is due, oldest first, at most `limit`.

    What tells how a case goes on waits until what came before it of the case has been told or given up.
    """
    messages = file.execute(
        "SELECT message_id, count(*), min(attempts) FROM deliveries AS one"  # noqa: S608
        " WHERE channel = ? AND state = 'pending' AND next_ms <= ? AND message_id IS NOT NULL"
        f" AND (kind IN ({NEWS_SQL}, '{REPEATED}') OR NOT EXISTS (SELECT 1 FROM deliveries AS earlier WHERE"
        " earlier.case_id = one.case_id AND earlier.channel = one.channel AND earlier.state = 'pending'"
        " AND earlier.rowid < one.rowid))"
        " GROUP BY message_id ORDER BY min(next_ms), min(rowid) LIMIT ?",
        (channel, now_ms, limit),
    ).fetchall()
    return [_loaded(file, channel, message_id, count, attempts) for message_id, count, attempts in messages]


def _loaded(file: sqlite3.Connection, channel: str, message_id: str, count: int, attempts: int) -> Delivery:
    rows = file.execute(
        "SELECT event, kind FROM deliveries WHERE message_id = ? AND channel = ? AND state = 'pending'"
        " ORDER BY at_ms, event_id LIMIT ?",
        (message_id, channel, SHOWN),
    ).fetchall()
    first, *more = (msgspec.json.decode(raw, type=FollowupEvent) for raw, _ in rows)
    given = "" if message_id == first.event_id else message_id
    repeated = rows[0][1] == REPEATED
    return Delivery(channel, first, attempts, given, tuple(more), count, repeated=repeated)


def settle(
    file: sqlite3.Connection,
    delivery: Delivery,
    state: State,
    attempts: int,
    status: str,
    next_ms: int | None,
    settled_ms: int | None,
) -> int:
    """Write what an attempt came to; the rows of the message that were pending."""
    settled = file.execute(
        "UPDATE deliveries SET state = ?, attempts = ?, last_status = ?, next_ms = ?, settled_ms = ?,"
        " event = CASE WHEN ? = 'delivered' THEN NULL ELSE event END"
        " WHERE message_id = ? AND channel = ? AND state = 'pending'",
        (state, attempts, status, next_ms, settled_ms, state, delivery.key, delivery.channel),
    ).rowcount
    if not settled and state == "delivered":
        # It was withdrawn while it was on its way: what happened wins, and is counted already.
        file.execute(
            "UPDATE deliveries SET state = ?, attempts = ?, last_status = ? WHERE event_id = ? AND channel = ?",
            (state, attempts, status, delivery.event.event_id, delivery.channel),
        )
    return settled


# From the message to its cases, and on to what is pending of those: the `+` keeps SQLite from going through all that
# is due of the channel instead, after each message, which in a storm are thousands.
WAITING_SQL: Final = (
    "SELECT EXISTS (SELECT 1 FROM deliveries AS told CROSS JOIN deliveries AS later USING (case_id)"
    " WHERE told.message_id = ? AND told.channel = ? AND +later.channel = told.channel AND later.state = 'pending'"
    " AND +later.next_ms <= ?)"
)


def waiting(file: sqlite3.Connection, channel: str, message_id: str, now_ms: int) -> bool:
    """Whether something is due of a case that was told in a message."""
    return bool(file.execute(WAITING_SQL, (message_id, channel, now_ms)).fetchone()[0])


def note_case(file: sqlite3.Connection, event: FollowupEvent) -> None:
    """Keep how a case stands: for the page of its links, and for a group's incident that follows all of its cases."""
    case = event.case
    file.execute(
        "INSERT INTO cases (case_id, n, state, at_ms, event) VALUES (?, ?, ?, ?, ?) ON CONFLICT (case_id) DO UPDATE"
        " SET n = excluded.n, state = excluded.state, at_ms = excluded.at_ms, event = excluded.event"
        " WHERE excluded.n > cases.n",
        (case.case_id, case.n, case.state, event.at_ms, msgspec.json.encode(event)),
    )


def told_of(file: sqlite3.Connection, cases: Iterable[str]) -> dict[str, set[str]]:
    """The channels that have been told of each of these cases, or are about to be."""
    found: dict[str, set[str]] = {}
    for case_id in cases:
        rows = file.execute("SELECT DISTINCT channel FROM deliveries WHERE case_id = ?", (case_id,))
        found[case_id] = {channel for (channel,) in rows}
    return found


def standing(file: sqlite3.Connection, channel: str, case_id: str) -> tuple[str, list[str]]:
    """The group a case was last told in, and how each of its cases stands; an id of "": in none."""
    row = file.execute(
        "SELECT message_id, event_id FROM deliveries WHERE case_id = ? AND channel = ?"  # noqa: S608
        f" AND kind IN ({NEWS_SQL}) ORDER BY rowid DESC LIMIT 1",
        (case_id, channel),
    ).fetchone()
    if row is None or row[0] is None:
        return "", []
    states = file.execute(
        "SELECT cases.state FROM deliveries JOIN cases USING (case_id) WHERE message_id = ? AND channel = ?",
        (row[0], channel),
    ).fetchall()
    if len(states) < 2:
        return "", []
    return row[0], [state for (state,) in states]
