"""The sink: agents that turn the output topics into rows of ClickHouse. A consumer group of its own."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import faust
import msgspec
import structlog

from schemas import topics
from stream.batches import RawSchema, RecordBatch, gate_of, partitions_of
from stream.errors import fatal_on_error
from stream.log import KafkaLog
from stream.notes import Orphans
from stream.outbox import KafkaOutbox
from stream.rolling import Rolling
from stream.rows import ROWS_OF
from stream.settings import SinkSettings
from stream.store import ClickHouseStore, Refused, Unreachable
from stream.writer import Source, Writer

log = structlog.get_logger()


class Sinking:
    """Everything of one sink: its agents, its writer, its connection."""

    def __init__(self, app: faust.App, settings: SinkSettings) -> None:
        gate = gate_of(app)
        self._log = settings.log
        self._generation = settings.generation
        self._store = ClickHouseStore(settings.clickhouse)
        self._outbox = KafkaOutbox(settings.kafka, generation=settings.log)
        self._writer = Writer(
            self._store,
            self._outbox,
            gate.emitted,
            interval_s=settings.sink_interval.total_seconds(),
            max_rows=settings.sink_rows,
            generation=settings.generation,
        )
        people = self._log.topic(topics.PEOPLE)
        source = KafkaLog(settings.kafka, app.conf.id, people)
        self._rolling = Rolling(source, self._outbox, source.segment_ms)
        feedback = KafkaLog(settings.kafka, app.conf.id, self._log.topic(topics.FEEDBACK))
        self._orphans = Orphans(feedback, self._store, self._outbox, self._log.partition_of, settings.generation)
        self._sweep_every_s = settings.sweep_every.total_seconds()
        self._app = app
        self._joined = False
        self._gate = gate
        for topic in ROWS_OF:
            channel = app.topic(self._log.topic(topic), schema=RawSchema(), allow_empty=True)
            app.agent(channel, name=f"sink-{topic}")(self.store)
        app.on_partitions_assigned.connect(self._assigned)
        app.on_partitions_revoked.connect(self._revoked)
        app.task(self._write)
        app.task(self._sweep)

    async def store(self, batches: Any) -> None:
        """The agent of every topic. Nothing escapes its body: see `fatal_on_error`."""
        async for batch in batches:
            with fatal_on_error():
                self._add(batch)
                await self._writer.added()

    def _add(self, batch: RecordBatch) -> None:
        """Rows of a batch go into the buffer; a record that has none goes to the rejects, and the rest goes on."""
        topic = self._log.declared(batch.topic)
        buffer, rows_of = self._writer.buffer, ROWS_OF[topic]
        for record in batch.fetched.records():
            source = Source(topic, batch.partition, record.offset, record.timestamp, record.key)
            try:
                found = list(rows_of(record.key, record.value, record.offset, self._generation))
            except (msgspec.DecodeError, ValueError, RecursionError):
                log.error("record_undecodable", topic=batch.topic, partition=batch.partition, offset=record.offset)
                if topic != topics.REJECTS:
                    detail = f"not a record of {topic}"
                    kept = None if topic == topics.PEOPLE else record.value
                    reject = source.reject(self._generation, "undecodable", "undecodable", detail, kept)
                    buffer.rejects.append((source, reject))
                continue
            for table, row in found:
                buffer.rows[table].append(row)
                buffer.sources[table].append(source)
        buffer.positions[batch.topic, batch.partition] = batch.offset + 1

    async def _write(self) -> None:
        with fatal_on_error():
            await self._writer.run()

    async def _sweep(self) -> None:
        """What was deleted leaves the disks, also where nothing else happens."""
        with fatal_on_error():
            while not self._app.should_stop:
                await self._app.sleep(self._sweep_every_s)
                mine = partitions_of(self._app.consumer.assignment(), self._log.topic(topics.PEOPLE))
                ended = await self._rolling.look(sorted(mine), int(time.time() * 1000))
                if ended:
                    log.info("segments_ended", topic=topics.PEOPLE, partitions=ended)
                orphans = await self._orphans.look(sorted(mine), int(time.time() * 1000))
                if orphans:
                    log.info("notes_without_case_deleted", count=orphans)
                try:
                    await asyncio.to_thread(self._store.clear)
                except (Refused, Unreachable) as error:  # the next time will do
                    log.warning("files_not_cleared", error=type(error).__name__)

    async def _assigned(self, *args: Any, **_: Any) -> None:
        log.info("partitions_assigned", count=len(args[1]))
        self._joined = True

    async def _revoked(self, *args: Any, **_: Any) -> None:
        for topic in map(self._log.topic, ROWS_OF):
            for partition in partitions_of(args[1], topic):
                self._gate.forget(topic, partition)

    def ready(self) -> str | None:
        """None while rows go in."""
        return self._writer.trouble if self._joined else "not a member of the consumer group yet"

    async def close(self) -> None:
        """After the app has stopped. Rows not yet written are not committed either: the next sink reads them again."""
        await self._outbox.close()
        await asyncio.to_thread(self._store.close)
