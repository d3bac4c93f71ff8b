"""ClickHouse as the sink sees it: insert rows of a table, and tell a bad row from a bad moment."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, Final, Protocol

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, DataError
from clickhouse_connect.driver.insert import InsertContext
from pydantic import SecretStr

from schemas.topics import FOLLOWUPS
from stream.domain import ids
from stream.rows import ERASURES, TABLES, Key, Row

# Codes of ClickHouse that say nothing about the rows: overload, outage, a table that is not migrated yet, no rights.
NOT_THE_ROWS: Final[frozenset[int]] = frozenset(
    {
        *(16, 47, 60, 81, 218),  # no such column, identifier, table, database; table being dropped
        *(159, 160, 202, 209, 210, 236, 394, 425, 439, 473, 735, 745),  # time, number of queries, overload
        *(74, 75, 76, 77, 87, 88, 95, 96, 173, 204, 241, 243, 252),  # files, memory, disk, parts
        *(341, 692),  # a deletion that did not finish, too many of them at once
        *(101, 198, 203, 279, 319, 499, 1000),  # network
        *(225, 242, 254, 285, 286, 289, 305, 999),  # replicas
        *(164, 192, 193, 194, 201, 497, 516),  # user, password, rights, quota
    }
)
KEYS_AT_ONCE: Final = 500  # of one deletion; a statement may have 256 KiB
NO_PARTITION: Final = "190001"  # before any time that an answer can have
# One insert may hold answers of more months, and so of more partitions, than the 100 that ClickHouse allows unasked.
SETTINGS: Final = {"max_partitions_per_insert_block": 0}


# Of the positions as of a generation: the newest row of a partition.
_THROUGH: Final = """
SELECT partition, argMax(through, version) FROM positions
WHERE topic = {topic:String} AND version >= {since:UInt64} GROUP BY partition"""
_UNNAMED: Final = """
SELECT team, response_id FROM people FINAL
WHERE case_id != '' AND NOT deleted AND noted_at < fromUnixTimestamp64Milli({before_ms:Int64})
    AND (team, response_id) NOT IN (SELECT team, arrayJoin(notes) FROM followups FINAL)
ORDER BY team, response_id"""


class Refused(Exception):
    """The store refuses these rows and would refuse them again. `code` is ClickHouse's, 0 for the client's own."""

    def __init__(self, code: int) -> None:
        super().__init__(f"rows refused with code {code}")
        self.code = code


class Unreachable(Exception):
    """Not now: an outage or overload. The same rows may go in later. `why` names no value of a row."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Store(Protocol):
    """Where rows go. Writing a row twice is harmless: rows are versioned."""

    def insert(self, table: str, rows: Sequence[Row]) -> None:
        """Insert all of the rows or none. Raises Refused or Unreachable."""
        ...

    def erase(self, table: str, keys: Sequence[Key]) -> None:
        """Delete what a table holds of these answers but the rows that say they were erased.

        When it returns, no query finds them, and no file holds them but one that a query is still reading. Doing it
        twice is harmless. Raises Refused or Unreachable.
        """
        ...


class ClickHouseStore:
    """Blocking; one thread at a time. The connection is made when it is first needed, and again after an outage."""

    def __init__(self, url: SecretStr) -> None:
        self._url = url
        self._client: Client | None = None
        self._contexts: dict[str, InsertContext] = {}
        self._lock = threading.Lock()

    def insert(self, table: str, rows: Sequence[Row]) -> None:
        """See `Store`."""
        with self._lock:
            try:
                client = self._connected()
                context = self._contexts.get(table)
                if context is None:
                    context = client.create_insert_context(table, list(TABLES[table]))
                    self._contexts[table] = context
                context.data = rows
                client.insert(context=context)
            except (ClickHouseError, OSError, TypeError, ValueError, AttributeError, OverflowError) as error:
                # From None: both the server's and the client's errors quote the row.
                self._contexts.pop(table, None)
                raise self._judged(error) from None

    def erase(self, table: str, keys: Sequence[Key]) -> None:
        """See `Store`. Where there is no such row nothing is rewritten.

        It is no lightweight DELETE: that only hides rows until their part is merged some day. Every part of the table
        is touched, those without such rows by a link only: 0.13 s each in chDB, whose pool for this has two threads.
        """
        which = f"WHERE (team, response_id) IN %(keys)s AND NOT {ERASURES[table]}"
        with self._lock:
            try:
                client = self._connected()
                for start in range(0, len(keys), KEYS_AT_ONCE):
                    bound = {"keys": [*keys[start : start + KEYS_AT_ONCE]]}
                    if client.command(f"SELECT count() FROM {table} {which}", bound):  # noqa: S608  our own names
                        client.command(f"ALTER TABLE {table} DELETE {which}", bound, settings={"mutations_sync": 2})
                        _clear(client, table)
            except (ClickHouseError, OSError) as error:
                raise self._judged(error) from None  # errors quote the keys

    def stored_through(self, generation: int) -> dict[int, int]:
        """By partition of a generation of the log: what it caused below this offset is in the tables of cases.

        Raises Refused or Unreachable.
        """
        rows = self._asked(_THROUGH, {"topic": FOLLOWUPS, "since": ids.version(generation, 0)})
        return {int(partition): int(through) for partition, through in rows}

    def unnamed_notes(self, before_ms: int) -> list[Key]:
        """Notes sent before a time, milliseconds UTC, that no case names. Raises Refused or Unreachable."""
        return [(team, note) for team, note in self._asked(_UNNAMED, {"before_ms": before_ms})]

    def _asked(self, query: str, bound: dict[str, object]) -> Sequence[Sequence[Any]]:
        with self._lock:
            try:
                return self._connected().query(query, bound).result_rows
            except (ClickHouseError, OSError) as error:
                raise self._judged(error) from None

    def clear(self) -> None:
        """Remove the files that the tables of what people said have replaced, but those that a query still reads.

        Raises Refused or Unreachable.
        """
        with self._lock:
            try:
                for table in ERASURES:
                    _clear(self._connected(), table)
            except (ClickHouseError, OSError) as error:
                raise self._judged(error) from None

    def _judged(self, error: Exception) -> Refused | Unreachable:
        """Whose fault it is: the rows', or the moment's."""
        code = getattr(error, "code", None)
        if isinstance(error, ClickHouseError) and isinstance(code, int):
            return Unreachable(f"code {code}") if code in NOT_THE_ROWS else Refused(code)
        if isinstance(error, (DataError, TypeError, ValueError, AttributeError, OverflowError)):
            return Refused(0)  # the client could not serialise a row
        self._forget()
        return Unreachable(type(error).__name__)

    def close(self) -> None:
        """Close the connection."""
        self._forget()

    def _connected(self) -> Client:
        if self._client is None:
            self._client = clickhouse_connect.get_client(
                dsn=self._url.get_secret_value(),
                connect_timeout=5,
                send_receive_timeout=60,
                query_retries=0,
                settings=SETTINGS,
            )
        return self._client

    def _forget(self) -> None:
        client, self._client = self._client, None
        self._contexts.clear()
        if client is not None:
            client.close()


def _clear(client: Client, table: str) -> None:
    """Remove replaced files now. Dropping a partition does that, also one that is not there; in the background it may
    take minutes."""
    client.command(f"ALTER TABLE {table} DROP PARTITION ID '{NO_PARTITION}'")
