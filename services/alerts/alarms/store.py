"""Alarms, and what is still to be said of them, in SQLite. No personal text.

A file of its own beside that of the deliveries, whose lock on the folder covers both. `write` is durable when it
returns (synchronous=FULL): an alarm and its notes stand together or not at all. What was said goes with NORMAL: a mark
that a power cut takes back repeats a note under its old id.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, Literal, TypeVar

import msgspec

from services.alerts.alarms.records import DAY_MS, Alarm, Note
from services.alerts.deliveries import State
from services.alerts.store_file import NotOurFile

T = TypeVar("T")
FILE: Final = "alarms.sqlite3"
_VERSION: Final = 2
_SCHEMA: Final = """
CREATE TABLE alarms (
    alarm_id TEXT PRIMARY KEY,
    team TEXT NOT NULL,
    raised_ms INTEGER NOT NULL,
    ended_ms INTEGER,
    alarm BLOB NOT NULL
);
CREATE INDEX by_team ON alarms (team, raised_ms);
CREATE INDEX by_time ON alarms (raised_ms);
CREATE TABLE notes (
    note_id TEXT NOT NULL,
    channel TEXT NOT NULL,
    alarm_id TEXT NOT NULL,
    at_ms INTEGER NOT NULL,        -- of the note
    note BLOB,                     -- null once settled
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    last_status TEXT,
    next_ms INTEGER,               -- of the next attempt; null once settled
    PRIMARY KEY (note_id, channel) -- said twice, it is said once
);
CREATE INDEX due ON notes (channel, next_ms) WHERE state = 'pending';
CREATE INDEX of_alarm ON notes (alarm_id);
"""
# What version 2 added: what waits for the end of quiet hours, or of a silence, is not too old for that.
_WAITING: Final = """
ALTER TABLE notes ADD COLUMN since_ms INTEGER NOT NULL DEFAULT 0;  -- when it was let out, or will be
ALTER TABLE notes ADD COLUMN held INTEGER NOT NULL DEFAULT 0;      -- by a silence
UPDATE notes SET since_ms = at_ms;
"""
# Of one alarm a channel is told one thing after the other.
_FIRST: Final = (
    " AND NOT EXISTS (SELECT 1 FROM notes AS earlier WHERE earlier.alarm_id = one.alarm_id"
    " AND earlier.channel = one.channel AND earlier.state = 'pending' AND earlier.rowid < one.rowid)"
)
_LAST_TOLD: Final = (
    "SELECT channel FROM notes WHERE alarm_id = ? AND at_ms = (SELECT max(at_ms) FROM notes WHERE alarm_id = ?)"
)
Due = Mapping[str, int]  # channel → when it is told, milliseconds UTC; 0: at once


class Pending(msgspec.Struct, frozen=True):
    """A note to be said through one channel."""

    channel: str
    note: Note
    attempts: int


class Said(msgspec.Struct, frozen=True):
    """What became of a note on one channel."""

    note_id: str
    channel: str
    state: State
    attempts: int
    last_status: str | None


class AlarmsFile:
    """The file. Every method may be awaited by many at once. Raises at the start NotOurFile; later sqlite3.Error.

    `to`: the channels that an alarm of a team is told through; `when`: from when on a channel may be told what an
    earlier note of a team has come to.
    """

    def __init__(
        self, folder: Path, to: Callable[[str, int], Due], when: Callable[[str, str, int], int] = lambda *_: 0
    ) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._to = to
        self._when = when
        self._file = sqlite3.connect(folder / FILE, isolation_level=None, check_same_thread=False)
        self._thread = ThreadPoolExecutor(1, "alarms-file")
        self._file.execute("PRAGMA journal_mode = WAL")
        self._file.execute("PRAGMA busy_timeout = 5000")
        (version,) = self._file.execute("PRAGMA user_version").fetchone()
        if version == 0:
            self._file.executescript(f"BEGIN; {_SCHEMA} {_WAITING} PRAGMA user_version = {_VERSION}; COMMIT;")
        elif version == 1:
            self._file.executescript(f"BEGIN; {_WAITING} PRAGMA user_version = {_VERSION}; COMMIT;")
        elif version != _VERSION:
            raise NotOurFile(f"{FILE} has version {version}, this program knows {_VERSION}")

    async def newest(self) -> Mapping[str, Alarm]:
        """The newest alarm of each team that ever had one."""

        def work(file: sqlite3.Connection) -> dict[str, Alarm]:
            rows = file.execute("SELECT alarm FROM alarms ORDER BY raised_ms, alarm_id")
            alarms = (_decoded(raw) for (raw,) in rows)
            return {alarm.team: alarm for alarm in alarms}

        return await self.transaction(work)

    async def raised_since(self, day: int) -> int:
        """How many alarms were raised on that day (since 1970, UTC) or later."""

        def work(file: sqlite3.Connection) -> int:
            query = "SELECT count(*) FROM alarms WHERE raised_ms >= ?"
            (count,) = file.execute(query, (day * DAY_MS,)).fetchone()
            return int(count)

        return await self.transaction(work)

    async def write(self, alarms: Sequence[Alarm], notes: Sequence[Note]) -> None:
        """Keep alarms and what is to be said of them, durably. A note that is kept already stays as it is."""

        def work(file: sqlite3.Connection) -> None:
            file.executemany(
                "INSERT OR REPLACE INTO alarms (alarm_id, team, raised_ms, ended_ms, alarm) VALUES (?, ?, ?, ?, ?)",
                [(one.alarm_id, one.team, one.raised_ms, one.ended_ms, msgspec.json.encode(one)) for one in alarms],
            )
            for note in notes:
                self.put(file, note, self._over_to(file, note) if note.over else self._to(note.team, note.at_ms))

        await self.transaction(work, "FULL")

    def _over_to(self, file: sqlite3.Connection, note: Note) -> Due:
        """Whoever was told last of an alarm is told of its end; of one that nobody was told of, who would be."""
        told = {channel for (channel,) in file.execute(_LAST_TOLD, (note.incident, note.incident))}
        return self.after(note, told) if told else self._to(note.team, note.at_ms)

    def after(self, note: Note, told: Iterable[str]) -> Due:
        """When each of the channels that were told of something is told what it has come to."""
        return {channel: self._when(note.team, channel, note.at_ms) for channel in told}

    async def due(self, channel: str, now_ms: int, limit: int) -> list[Pending]:
        """Notes of one channel whose next attempt is due, oldest first; of one alarm only the first."""

        def work(file: sqlite3.Connection) -> list[Pending]:
            rows = file.execute(
                "SELECT note, attempts FROM notes AS one WHERE state = 'pending' AND channel = ? AND next_ms <= ?"  # noqa: S608
                f"{_FIRST} ORDER BY next_ms, rowid LIMIT ?",
                (channel, now_ms, limit),
            )
            return [Pending(channel, msgspec.json.decode(raw, type=Note), attempts) for raw, attempts in rows]

        return await self.transaction(work)

    async def next_due_ms(self, channel: str) -> int | None:
        """When the channel's next attempt is due; None: nothing waits."""

        def work(file: sqlite3.Connection) -> int | None:
            query = f"SELECT min(next_ms) FROM notes AS one WHERE state = 'pending' AND channel = ?{_FIRST}"  # noqa: S608
            found: int | None = file.execute(query, (channel,)).fetchone()[0]
            return found

        return await self.transaction(work)

    async def give_up(self, before_ms: int) -> Sequence[str]:
        """Say nothing more of what has been waiting for longer than that; the channels of what waited."""

        def work(file: sqlite3.Connection) -> list[str]:
            rows = file.execute(
                "UPDATE notes SET state = 'given_up', last_status = coalesce(last_status, 'too_old'), next_ms = NULL,"
                " note = NULL WHERE state = 'pending' AND since_ms < ? RETURNING channel",
                (before_ms,),
            )
            return [channel for (channel,) in rows]

        return await self.transaction(work)

    async def hold(self, pending: Pending, until_ms: int) -> None:
        """Say it when a silence is over, and not before."""

        def work(file: sqlite3.Connection) -> None:
            file.execute(
                "UPDATE notes SET next_ms = ?1, since_ms = ?1, held = 1"
                " WHERE note_id = ?2 AND channel = ?3 AND state = 'pending'",
                (until_ms, pending.note.note_id, pending.channel),
            )

        await self.transaction(work)

    async def let_out(self, now_ms: int) -> None:
        """What silences hold back is due: whoever says it asks them again."""

        def work(file: sqlite3.Connection) -> None:
            file.execute(
                "UPDATE notes SET next_ms = ?1, since_ms = ?1, held = 0 WHERE state = 'pending' AND held", (now_ms,)
            )

        await self.transaction(work)

    async def begin(self, pending: Pending) -> bool:
        """Note that an attempt begins; False: there is nothing to say any more.

        So a note that may have been said counts as said, whatever happens to this process meanwhile.
        """

        def work(file: sqlite3.Connection) -> bool:
            found = file.execute(
                "UPDATE notes SET attempts = attempts + 1 WHERE note_id = ? AND channel = ? AND state = 'pending'",
                (pending.note.note_id, pending.channel),
            )
            return found.rowcount > 0

        return await self.transaction(work)

    async def settle(self, pending: Pending, state: State, attempts: int, status: str, next_ms: int | None) -> None:
        """Record what an attempt came to, unless the note was dropped meanwhile."""

        def work(file: sqlite3.Connection) -> None:
            file.execute(
                "UPDATE notes SET state = ?, attempts = ?, last_status = ?, next_ms = ?,"
                " note = CASE WHEN ? = 'pending' THEN note ELSE NULL END WHERE note_id = ? AND channel = ?"
                " AND state = 'pending'",
                (state, attempts, status, next_ms, state, pending.note.note_id, pending.channel),
            )

        await self.transaction(work)

    async def listed(self, team: str | None, open_: bool | None, limit: int) -> list[tuple[Alarm, list[Said]]]:
        """Alarms, newest first, each with what was said of it."""

        def work(file: sqlite3.Connection) -> list[tuple[Alarm, list[Said]]]:
            rows = file.execute(
                "SELECT alarm FROM alarms WHERE (?1 IS NULL OR team = ?1) AND (?2 IS NULL OR (ended_ms IS NULL) = ?2)"
                " ORDER BY raised_ms DESC, alarm_id LIMIT ?3",
                (team, open_, limit),
            )
            return [(alarm, said(file, alarm.alarm_id)) for alarm in [_decoded(raw) for (raw,) in rows]]

        return await self.transaction(work)

    def make(self, schema: str) -> None:
        """Make further tables, once, before anything else is asked."""
        self._file.executescript(schema)

    def put(self, file: sqlite3.Connection, note: Note, due: Due) -> int:
        """Within a transaction: keep a note for some channels; how many rows are new."""
        raw = msgspec.json.encode(note)
        rows = [
            (note.note_id, channel, note.incident, note.at_ms, raw, max(note.at_ms, at_ms))
            for channel, at_ms in sorted(due.items())
        ]
        query = (
            "INSERT OR IGNORE INTO notes"
            " (note_id, channel, alarm_id, at_ms, note, state, attempts, next_ms, since_ms)"
            " VALUES (?1, ?2, ?3, ?4, ?5, 'pending', 0, ?6, ?6)"
        )
        return file.executemany(query, rows).rowcount if rows else 0

    def drop(self, file: sqlite3.Connection, incident: str) -> frozenset[str]:
        """Within a transaction: what waits of an incident is not said any more; the channels that may know of it."""
        file.execute(
            "UPDATE notes SET state = 'given_up', last_status = 'withdrawn', next_ms = NULL, note = NULL"
            " WHERE state = 'pending' AND alarm_id = ?",
            (incident,),
        )
        rows = file.execute("SELECT channel FROM notes WHERE alarm_id = ? AND attempts > 0", (incident,))
        return frozenset(channel for (channel,) in rows)

    def close(self) -> None:
        """Wait for what is under way, close the file."""
        self._thread.shutdown()
        self._file.close()

    async def transaction(
        self, work: Callable[[sqlite3.Connection], T], synchronous: Literal["NORMAL", "FULL"] = "NORMAL"
    ) -> T:
        """Run `work` on the file's thread in one transaction; with FULL it is durable when this returns."""

        def transaction() -> T:
            self._file.execute(f"PRAGMA synchronous = {synchronous}")
            self._file.execute("BEGIN IMMEDIATE")
            try:
                result = work(self._file)
                self._file.execute("COMMIT")
            except BaseException:
                if self._file.in_transaction:
                    self._file.execute("ROLLBACK")
                raise
            return result

        return await asyncio.get_running_loop().run_in_executor(self._thread, transaction)


def said(file: sqlite3.Connection, alarm_id: str) -> list[Said]:
    """Within a transaction: what was said of an alarm or a promoter, oldest first."""
    rows = file.execute(
        "SELECT note_id, channel, state, attempts, last_status FROM notes WHERE alarm_id = ? ORDER BY rowid",
        (alarm_id,),
    )
    return [Said(*row) for row in rows]


def passing(error: sqlite3.OperationalError) -> bool:
    """Whether it is the disk, or a lock, that will be better later; else it is our SQL."""
    return error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_ERROR


def _decoded(raw: bytes) -> Alarm:
    return msgspec.json.decode(raw, type=Alarm)
