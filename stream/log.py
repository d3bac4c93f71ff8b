"""Reading the log beside the consumer group: what is committed, where it ends, one record, or a range of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, Final, Protocol, TypeVar

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import GroupLoadInProgressError, KafkaError, for_code

from schemas import topics
from stream.domain import values
from stream.domain.fold import record_crc
from stream.domain.values import Meta
from stream.domain.view import LogRecord
from stream.fetched import opened
from stream.outbox import backoff

log = structlog.get_logger()
READ_TIMEOUT_MS: Final = 1_000
MOST_FETCHED: Final = 1 << 20  # bytes: some 5,000 answers a batch
T = TypeVar("T")


class Log(Protocol):
    """What opening a partition needs to know of the log."""

    async def committed(self, partition: int) -> int:
        """The group's committed offset; 0 when it has none."""
        ...

    async def bounds(self, partition: int) -> tuple[int, int]:
        """(first offset still held, offset of the next record)."""
        ...

    def read(self, partition: int, start: int, stop: int) -> AsyncGenerator[list[LogRecord], None]:
        """What the log still holds of the offsets start <= offset < stop, in batches; `stop` is at most its end.

        Empty:   no batch for start >= stop, and nobody is asked.
        """
        ...


def outdated(meta: Meta, generation: int, first: int) -> str | None:
    """Why a state that stands at `meta` has to be folded anew; None when it has not. `first`: see `Log.bounds`."""
    if meta.fold_version != values.FOLD_VERSION:
        return f"made by fold version {meta.fold_version}, this is {values.FOLD_VERSION}"
    if meta.generation != generation:
        return f"of generation {meta.generation}, this is {generation}"
    return "the log no longer holds what follows it" if first > meta.position else None


async def foreign(source: Log, partition: int, meta: Meta, bounds: tuple[int, int]) -> str | None:
    """Why a state that stands at `meta` was not folded from this log; None when it was, or nobody can tell any more.

    `bounds`: of the partition, as `Log.bounds` gives them.
    """
    first, end = bounds
    if end < meta.position:
        return f"the log ends at {end}"
    if first >= meta.position:
        return None
    before = None
    async with aclosing(source.read(partition, meta.position - 1, meta.position)) as batches:
        async for records in batches:
            before = records[0]
    if before is None or (before.timestamp, record_crc(before)) != (meta.before_ms, meta.before_crc):
        return "the record before it is another one"
    return None


class KafkaLog:
    """`feedback.v1`, or another topic, on a broker. An outage is waited out: every call keeps trying."""

    def __init__(self, kafka: str, group: str, topic: str = topics.FEEDBACK) -> None:
        self._topic = topic
        self._kafka = kafka
        self._group = group

    async def committed(self, partition: int) -> int:
        """See `Log`."""

        tp = TopicPartition(self._topic, partition)

        async def ask() -> int:
            admin = AIOKafkaAdminClient(bootstrap_servers=self._kafka)
            try:
                await admin.start()
                found = await admin.list_consumer_group_offsets(self._group, partitions=[tp])
            finally:
                await admin.close()
            if tp not in found:
                # A partition that was asked for is always answered, unless the whole answer is an error, which
                # aiokafka drops: a coordinator that is still loading must not look like a group without offsets.
                raise GroupLoadInProgressError
            return max(0, int(found[tp].offset))

        return await insist(ask)

    async def bounds(self, partition: int) -> tuple[int, int]:
        """See `Log`."""

        async def ask() -> tuple[int, int]:
            consumer = await self._consumer()
            try:
                tp = TopicPartition(self._topic, partition)
                first = await consumer.beginning_offsets([tp])
                end = await consumer.end_offsets([tp])
            finally:
                await consumer.stop()
            return first[tp], end[tp]

        return await insist(ask)

    async def read(self, partition: int, start: int, stop: int) -> AsyncGenerator[list[LogRecord], None]:
        """See `Log`. A consumer a call; after an outage a new one goes on where the last one was."""
        tp = TopicPartition(self._topic, partition)
        at = start
        if at >= stop:
            return
        for wait_s in backoff():
            consumer = None
            try:
                consumer = await self._consumer()
                consumer.assign([tp])
                at = max(at, (await consumer.beginning_offsets([tp]))[tp])
                consumer.seek(tp, at)
                while at < stop:
                    found = await consumer.getmany(tp, timeout_ms=READ_TIMEOUT_MS)
                    at = await consumer.position(tp)  # also past offsets that hold no record
                    wanted = [record for record in opened(found.get(tp, ())) if record.offset < stop]
                    if wanted:
                        yield wanted
                return
            except (KafkaError, OSError, TimeoutError) as error:
                log.warning("log_not_reached", error=type(error).__name__, wait_s=wait_s)
                await asyncio.sleep(wait_s)
            finally:
                if consumer is not None:
                    await consumer.stop()

    async def segment_ms(self) -> int:
        """After how many milliseconds a segment of this topic, a compacted one, ends with the next record."""

        async def ask() -> int:
            admin = AIOKafkaAdminClient(bootstrap_servers=self._kafka)
            try:
                await admin.start()
                (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, self._topic)])
            finally:
                await admin.close()
            ((code, _, _, _, entries),) = answer.resources
            if code:
                raise for_code(code)
            found = {name: value for name, value, *_ in entries}
            return min(int(found["segment.ms"]), int(found["max.compaction.lag.ms"]))

        return await insist(ask)

    async def _consumer(self) -> Any:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._kafka,
            enable_auto_commit=False,
            auto_offset_reset="earliest",  # what retention takes away under a reader is skipped, the rest is not
            max_partition_fetch_bytes=MOST_FETCHED,
        )
        try:
            await consumer.start()
        except BaseException:
            await consumer.stop()
            raise
        return consumer


async def insist(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask until there is an answer. Cancelling ends it."""
    for wait_s in backoff():
        try:
            return await ask()
        except (KafkaError, OSError, TimeoutError) as error:
            log.warning("log_not_reached", error=type(error).__name__, wait_s=wait_s)
            await asyncio.sleep(wait_s)
    raise AssertionError("backoff never ends")
