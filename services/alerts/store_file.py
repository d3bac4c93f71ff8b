"""The SQLite file of the alerts: its tables, its version, how it is opened, and the lock on its folder."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from pathlib import Path
from typing import Final

from services.alerts.store_repeats import TABLES

FILE: Final = "alerts.sqlite3"
# Full disk, I/O error, locked, read-only, cannot open: these pass. Anything else (corruption, our SQL) does not.
PASSING: Final = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
    }
)
_VERSION: Final = 2
_SCHEMA: Final = """
CREATE TABLE deliveries (
    event_id TEXT NOT NULL,
    channel TEXT NOT NULL,
    kind TEXT NOT NULL,
    case_id TEXT NOT NULL,
    at_ms INTEGER NOT NULL,         -- of the event
    event BLOB,                     -- the event itself; null once settled
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    last_status TEXT,
    next_ms INTEGER,                -- of the next attempt; null once settled
    settled_ms INTEGER,
    PRIMARY KEY (event_id, channel) -- a redelivered event does nothing
);
CREATE INDEX due ON deliveries (channel, next_ms) WHERE state = 'pending';
CREATE INDEX settled ON deliveries (settled_ms) WHERE state <> 'pending';
CREATE INDEX by_case ON deliveries (case_id);
CREATE INDEX by_time ON deliveries (at_ms);
CREATE TABLE alive (at_ms INTEGER NOT NULL);
INSERT INTO alive VALUES (0);
"""

# What version 2 added. A file of version 1 gets it when it is opened; its rows are messages of one event each.
_GROUPS: Final = """
ALTER TABLE deliveries ADD COLUMN team TEXT;
ALTER TABLE deliveries ADD COLUMN message_id TEXT;      -- null until its group is told
UPDATE deliveries SET message_id = event_id;
CREATE INDEX by_message ON deliveries (message_id, channel);
CREATE INDEX waiting ON deliveries (channel, team) WHERE state = 'pending' AND message_id IS NULL;
CREATE TABLE groups (
    channel TEXT NOT NULL,
    team TEXT NOT NULL,             -- and the kind of event, unless a case begins: `grouping.group_of`
    next_ms INTEGER NOT NULL,       -- before that nothing more is told of it
    PRIMARY KEY (channel, team)
);
CREATE TABLE cases (                -- as the newest event left them
    case_id TEXT PRIMARY KEY,
    n INTEGER NOT NULL,
    state TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    event BLOB NOT NULL
);
CREATE TABLE seen (                 -- what came in from outside, so that it counts once
    id TEXT PRIMARY KEY,
    at_ms INTEGER NOT NULL
);
CREATE TABLE attempts (
    message_id TEXT NOT NULL,
    channel TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    number INTEGER NOT NULL,
    verdict TEXT NOT NULL,
    status TEXT NOT NULL,
    took_ms INTEGER NOT NULL,
    events INTEGER NOT NULL
);
CREATE INDEX attempts_of ON attempts (message_id);
CREATE TABLE silences (
    id TEXT PRIMARY KEY,
    team TEXT,
    channel TEXT,
    until_ms INTEGER NOT NULL,
    made_ms INTEGER NOT NULL,
    reason TEXT NOT NULL
);
"""

# The newest event by which a case changed what is to be told of it; beside the tables of version 1, which stay.
_AMENDED: Final = """
CREATE TABLE IF NOT EXISTS amended (case_id TEXT PRIMARY KEY, n INTEGER NOT NULL, at_ms INTEGER NOT NULL)
"""


# Events given up that can be told again; when this file was made, or, of an older one, was last known to be at work.
_DEAD: Final = """
CREATE INDEX IF NOT EXISTS dead ON deliveries (channel) WHERE state = 'given_up' AND event IS NOT NULL
"""
_BORN: Final = "CREATE TABLE IF NOT EXISTS born (at_ms INTEGER NOT NULL)"


class DirInUse(Exception):
    """Another process works in this folder."""

    def __init__(self, folder: Path, pid: str) -> None:
        super().__init__(f"{folder} is in use by process {pid or 'unknown'}")


class NotOurFile(Exception):
    """The file was written by another version of this program."""


def prepare(file: sqlite3.Connection, now_ms: int) -> int:
    """Set a fresh connection up for writing, and make the tables of a new file; when it was made. Raises NotOurFile."""
    file.execute("PRAGMA journal_mode = WAL")
    file.execute("PRAGMA busy_timeout = 5000")
    file.execute("PRAGMA secure_delete = ON")
    # Of pages, not the default 2 MiB: ids are random, so a transaction asks for some all over the file.
    file.execute("PRAGMA cache_size = -16384")
    # 16 MiB of WAL, not 4: each page is moved into the file once for many times that it was written.
    file.execute("PRAGMA wal_autocheckpoint = 4000")
    (version,) = file.execute("PRAGMA user_version").fetchone()
    if version == 0:
        file.executescript(f"BEGIN; {_SCHEMA} {_GROUPS} PRAGMA user_version = {_VERSION}; COMMIT;")
    elif version == 1:
        file.executescript(f"BEGIN; {_GROUPS} PRAGMA user_version = {_VERSION}; COMMIT;")
    elif version != _VERSION:
        raise NotOurFile(f"{FILE} has version {version}, this program knows {_VERSION}")
    file.execute(_AMENDED)
    file.executescript(TABLES)
    file.execute(_DEAD)
    file.execute(_BORN)
    file.execute(
        "INSERT INTO born SELECT CASE at_ms WHEN 0 THEN ? ELSE at_ms END FROM alive"
        " WHERE NOT EXISTS (SELECT 1 FROM born)",
        (now_ms,),
    )
    (born_ms,) = file.execute("SELECT at_ms FROM born").fetchone()
    return int(born_ms)


def locked(folder: Path) -> int:
    """A descriptor that holds the folder until it is closed, by the end of the process if need be. Raises DirInUse."""
    lock = os.open(folder / "alerts.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.read(lock, 20).decode(errors="replace").strip()
        os.close(lock)
        raise DirInUse(folder, pid) from None
    os.ftruncate(lock, 0)
    os.write(lock, str(os.getpid()).encode())
    return lock
