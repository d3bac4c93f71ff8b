"""The sink's buffer and its one writer: rows of many topics, a flush at most twice a second, insert before commit."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, NamedTuple

import msgspec
import structlog

from schemas.rejects import Reject
from stream import metrics
from stream.domain import ids, messages
from stream.domain.fold import MOST_KEY_BYTES
from stream.domain.messages import Message
from stream.outbox import Outbox, Sleep, backoff
from stream.rows import TABLES, Key, Row, erased_keys
from stream.store import Refused, Store, Unreachable

log = structlog.get_logger()
# told(topic, partition, position): everything below position is stored and may be committed.
Told = Callable[[str, int, int], None]
LAST: Final = "positions"  # of the tables
LOOK_EVERY_S: Final = 0.02  # whether a table is full before its interval has passed
BUFFERS_FULL: Final = 4  # that many times the rows of a flush wait at most; then the agents wait


class Source(NamedTuple):
    """Where a row comes from."""

    topic: str
    partition: int
    offset: int
    at_ms: int
    key: bytes | None

    @property
    def shown_key(self) -> bytes | None:
        """The key as a reject repeats it."""
        return None if self.key is None else self.key[:MOST_KEY_BYTES]

    def reject(self, generation: int, kind: str, reason: str, detail: str, record: bytes | None) -> Reject:
        """A reject of this record. `kind` tells rejects of the same record apart."""
        key = self.shown_key
        return Reject(
            id=ids.uuid5(generation, self.topic, self.partition, self.offset, kind),
            topic=self.topic,
            partition=self.partition,
            offset=self.offset,
            at_ms=self.at_ms,
            reason=reason,
            detail=detail,
            key=None if key is None else key.decode(errors="replace"),
            record=record,
        )


@dataclass(slots=True)
class Buffer:
    """Rows by table with their sources, and how far each partition has been read."""

    rows: dict[str, list[Row]] = field(default_factory=lambda: {table: [] for table in TABLES})
    sources: dict[str, list[Source]] = field(default_factory=lambda: {table: [] for table in TABLES})
    positions: dict[tuple[str, int], int] = field(default_factory=dict)
    rejects: list[tuple[Source, Reject]] = field(default_factory=list)
    erased: dict[str, list[Key]] = field(default_factory=dict)  # found while rows are written

    def largest(self) -> int:
        """Rows of the fullest table."""
        return max(map(len, self.rows.values()))


class Writer:
    """See the module. `run` is its only task; agents call `add` and go on."""

    def __init__(
        self,
        store: Store,
        outbox: Outbox,
        told: Told,
        *,
        interval_s: float,
        max_rows: int,
        generation: int,
        clock: Callable[[], float] = time.monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._store = store
        self._outbox = outbox
        self._told = told
        self._interval_s = interval_s
        self._max_rows = max_rows
        self._generation = generation
        self._clock = clock
        self._sleep = sleep
        self._buffer = Buffer()
        self._filled = asyncio.Event()
        self._flushed = asyncio.Condition()
        self.trouble: str | None = None

    @property
    def buffer(self) -> Buffer:
        """What the next flush will write; filled by the agents between two awaits."""
        return self._buffer

    async def added(self) -> None:
        """Rows or positions were added. Waits while the buffer is over its bound: the topics are the longer queue."""
        self._filled.set()
        async with self._flushed:
            await self._flushed.wait_for(lambda: self._buffer.largest() < BUFFERS_FULL * self._max_rows)

    async def run(self) -> None:
        """Flush for ever: at once when there was a pause, at most every interval under load, sooner when full."""
        last = self._clock() - self._interval_s
        while True:
            await self._filled.wait()
            wait_s = last + self._interval_s - self._clock()
            if wait_s > 0 and self._buffer.largest() < self._max_rows:
                await self._sleep(min(wait_s, LOOK_EVERY_S))
                continue
            last = self._clock()
            self._filled.clear()
            taken, self._buffer = self._buffer, Buffer()
            await self._flush(taken)
            async with self._flushed:
                self._flushed.notify_all()

    async def _flush(self, taken: Buffer) -> None:
        """Insert, delete what was erased, send rejects, then allow the commit. A crash in between repeats all of it:
        rows are versioned, and what was deleted and comes again is followed by its erasure again."""
        with metrics.SINK_FLUSH_SECONDS.time():
            for table in taken.rows:
                if table == LAST:  # what it says is true by then, also that nothing is left of what was erased
                    await self._erase(taken.erased)
                await self._write(table, taken)
        rejects: dict[int, list[Message]] = {}
        for source, reject in taken.rejects:
            rejects.setdefault(source.partition, []).append(messages.reject(source.shown_key, reject))
        for partition, refused in rejects.items():
            await self._outbox.send(partition, refused)
        for (topic, partition), position in taken.positions.items():
            self._told(topic, partition, position)

    async def _write(self, table: str, taken: Buffer) -> None:
        rows, sources = taken.rows[table], taken.sources[table]
        for start in range(0, len(rows), self._max_rows):
            stop = start + self._max_rows
            await self._insert(table, rows[start:stop], sources[start:stop], taken)

    async def _erase(self, erased: Mapping[str, Sequence[Key]]) -> None:
        """Delete the rows of what was erased. There is nobody to hand a refusal to, so it ends the process."""
        for table, keys in erased.items():
            await self._until_answered("erase", table, len(keys), partial(self._store.erase, table, keys))
            metrics.SINK_ERASED.labels(table).inc(len(keys))

    async def _insert(self, table: str, rows: Sequence[Row], sources: Sequence[Source], taken: Buffer) -> None:
        """Insert rows; what the store refuses for good is halved until the bad row stands alone."""
        try:
            await self._until_answered("insert", table, len(rows), partial(self._store.insert, table, rows))
        except Refused as refused:
            if len(rows) > 1:
                half = len(rows) // 2
                await self._insert(table, rows[:half], sources[:half], taken)
                await self._insert(table, rows[half:], sources[half:], taken)
                return
            metrics.SINK_REJECTED.labels(table).inc()
            log.error("row_refused", table=table, code=refused.code, topic=sources[0].topic, offset=sources[0].offset)
            if table != "rejects":  # a reject that cannot be stored stays in its topic, and is not rejected again
                taken.rejects.append((sources[0], self._reject(table, rows[0], sources[0], refused)))
        else:
            metrics.SINK_ROWS.labels(table).inc(len(rows))
            if keys := erased_keys(table, rows):
                taken.erased.setdefault(table, []).extend(keys)

    async def _until_answered(self, what: str, table: str, rows: int, work: Callable[[], None]) -> None:
        """Do it, again and again while the store is away. Raises Refused."""
        for wait_s in backoff():
            try:
                await asyncio.to_thread(work)
            except Unreachable as error:
                self.trouble = f"ClickHouse: {error.why}"
                metrics.SINK_RETRIES.inc()
                log.warning("store_away", what=what, table=table, rows=rows, why=error.why, wait_s=wait_s)
                await self._sleep(wait_s)
            except Refused:
                self.trouble = None  # it answers
                raise
            else:
                self.trouble = None
                return

    def _reject(self, table: str, row: Row, source: Source, refused: Refused) -> Reject:
        return source.reject(
            self._generation,
            f"{table} {row[:3]!r}",
            "row_refused",
            f"ClickHouse refused a row of {table} with code {refused.code}",
            None if table == "people" else msgspec.json.encode(dict(zip(TABLES[table], row, strict=True))),
        )
