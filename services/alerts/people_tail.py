"""The tail of `people.v1`, read into memory. No group, no commits: each start begins a few minutes back.

Until it has come to where the topic ended at the start, ClickHouse may hold what a tombstone here has deleted.
"""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas.generations import FIRST, Generation
from schemas.topics import PEOPLE
from services.alerts.kafka import Backlog, kept_up, partitions_of
from services.alerts.people import Cache, Text
from services.common.clock import wall_clock_ms

log = structlog.get_logger()

BACK_MS: Final = 5 * 60_000
_POLL_MS: Final = 1_000
_RECORDS: Final = 2_000


class PeopleTail:
    """Fills a `Cache`. `run` ends only by cancellation; an outage is retried in place."""

    topic: Final = PEOPLE

    def __init__(self, bootstrap: str, cache: Cache, generation: Generation = FIRST) -> None:
        self._generation = generation
        self._bootstrap = bootstrap
        self._cache = cache
        self.read = asyncio.Event()  # all that stood there at the start has been
        self._next: dict[TopicPartition, int] = {}  # where an outage has cut the reading

    async def run(self) -> None:
        """Read until cancelled."""
        await kept_up(self._read, PEOPLE)

    async def _read(self) -> None:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap, enable_auto_commit=False, auto_offset_reset="earliest"
        )
        try:
            await consumer.start()
            partitions = partitions_of(PEOPLE, self._generation)
            consumer.assign(partitions)
            since_ms = wall_clock_ms() - BACK_MS
            starts = await consumer.offsets_for_times(dict.fromkeys(partitions, since_ms))
            ends = await consumer.end_offsets(partitions)
            for partition in partitions:
                start = starts.get(partition)
                first = start.offset if start else ends[partition]
                consumer.seek(partition, self._next.setdefault(partition, first))
            backlog = Backlog(consumer, partitions)
            while True:
                if not self.read.is_set() and await backlog.is_read():
                    self.read.set()
                batches = await consumer.getmany(timeout_ms=_POLL_MS, max_records=_RECORDS)
                for partition, records in batches.items():
                    for record in records:
                        self.take(record.key, record.value)
                    self._next[partition] = records[-1].offset + 1
                if batches:
                    await asyncio.sleep(0)  # alerts come first
        finally:
            await consumer.stop()

    def take(self, key: bytes | None, value: bytes | None) -> None:
        """One record. A key or value that makes no sense is passed over: nobody could ask for it."""
        if not key:
            return
        if value is None:
            self._cache.erase(key)
            return
        try:
            text = msgspec.json.decode(value, type=Text)
        except msgspec.MsgspecError:
            log.warning("people_record_unreadable")
            return
        self._cache.put(key, text)
