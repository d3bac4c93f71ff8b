"""The way out: messages to Kafka, acknowledged by all in-sync replicas, retried for as long as it takes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Final, Protocol

import msgspec
import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, ProducerClosed

from schemas import topics
from schemas.feedback import Tick
from schemas.generations import FIRST, Generation
from stream import metrics
from stream.domain.messages import Message

log = structlog.get_logger()
_TICK: Final = msgspec.json.encode(Tick())
FIRST_WAIT_S: Final = 0.1
LONGEST_WAIT_S: Final = 5.0
SEND_WITHIN_S: Final = 30.0  # aiokafka retries by itself, but may stay stuck after an outage (its issue 1017)
TICK_WITHIN_S: Final = 2.0
_ABANDON_STEP_S: Final = 0.2

Entry = tuple[bytes | None, bytes]  # a record for the log: its key and its value
Sleep = Callable[[float], Awaitable[None]]


class Outbox(Protocol):
    """Where results go. Keeps trying until the broker has acknowledged, and never raises for an outage: Faust marks a
    batch done when its handler raises, so an exception here would lose it."""

    async def send(self, partition: int, messages: Sequence[Message]) -> None:
        """Send to the partition of that number, in order; return when all are acknowledged."""
        ...


class WorkerOutbox(Outbox, Protocol):
    """An outbox that can also append to the log: that time passes, and what would outlive it."""

    async def append(self, partition: int, entries: Sequence[Entry]) -> None:
        """Append records to the log, once. Raises KafkaError, OSError or TimeoutError when one was not acknowledged."""
        ...

    async def tick(self, partition: int) -> None:
        """Append a tick, likewise."""
        ...


class Producer(AIOKafkaProducer):  # type: ignore[misc]  # aiokafka ships no types
    """An idempotent producer that can be left behind."""

    async def abandon(self) -> None:
        """Stop at once and flush nothing: whatever is not acknowledged fails now, for all who wait for it.

        A flush would wait for the broker, and would send old messages after those that the next producer has sent.
        """
        self._closed = True
        waiting, sender = self._message_accumulator, self._sender.sender_task
        waiting._closed = True  # noqa: SLF001  nothing more comes in
        if sender is not None:
            sender.remove_done_callback(self._sender._fail_all)  # noqa: SLF001  it fails itself without transactions
            sender.cancel()
        await self.client.close()
        while sender is not None and not sender.done():  # a cancelled sender waits for each of its requests
            await asyncio.wait({sender}, timeout=_ABANDON_STEP_S)
            sender.cancel()
        batches = [*waiting._pending_batches, *(batch for queue in waiting._batches.values() for batch in queue)]  # noqa: SLF001
        waiting._pending_batches.update(batches)  # noqa: SLF001  a batch that was tried before is taken out of it again
        waiting.fail_all(ProducerClosed())
        for batch in batches:
            _look_at(batch.future)
            _look_at(batch._drain_waiter)  # noqa: SLF001
        if sender is not None:
            _look_at(sender)


def backoff() -> Iterator[float]:
    """Seconds to wait between tries: 0.1, 0.2, … 5, 5: never ends."""
    wait_s = FIRST_WAIT_S
    while True:
        yield wait_s
        wait_s = min(2 * wait_s, LONGEST_WAIT_S)


def _sends(
    producer: Producer, partition: int, messages: Sequence[Message], generation: Generation
) -> Iterator[Awaitable[asyncio.Future[object]]]:
    """Queue messages by topic, in order, each batch as large as the producer makes them.

    A whole batch is handed over at once: aiokafka's way of one message at a time costs ten times as much.
    """
    by_topic: dict[str, list[Message]] = {}
    for message in messages:
        by_topic.setdefault(generation.topic(message.topic), []).append(message)
    for topic, of_topic in by_topic.items():
        batch = producer.create_batch()
        for _, key, value in of_topic:
            if batch.append(timestamp=None, key=key, value=value) is None:  # full
                yield producer.send_batch(batch, topic, partition=partition)
                batch = producer.create_batch()
                batch.append(timestamp=None, key=key, value=value)
        yield producer.send_batch(batch, topic, partition=partition)


class KafkaOutbox:
    """An idempotent producer, made anew after any error: a producer that has failed once may stay stuck.

    Messages name topics as `schemas.topics` does; they go to those of `generation`.
    """

    def __init__(
        self,
        kafka: str,
        new_producer: Callable[[], Producer] | None = None,
        sleep: Sleep = asyncio.sleep,
        generation: Generation = FIRST,
    ) -> None:
        self._generation = generation
        self._new = new_producer or (
            lambda: Producer(
                bootstrap_servers=kafka,
                enable_idempotence=True,
                acks="all",
                linger_ms=0,
                max_batch_size=1 << 20,
                max_request_size=8 << 20,
                request_timeout_ms=15_000,
            )
        )
        self._sleep = sleep
        self._producer: Producer | None = None
        self._starting = asyncio.Lock()
        self.trouble: str | None = None

    async def send(self, partition: int, messages: Sequence[Message]) -> None:
        """See `Outbox`. A message may be repeated after an error; every reader drops what it has seen."""
        for wait_s in backoff():
            producer = None
            try:
                producer = await self._ready()
                sent = []
                for queued in _sends(producer, partition, messages, self._generation):
                    sent.append(await queued)
                    sent[-1].add_done_callback(_look_at)
                await _acknowledged(sent)
            except (KafkaError, OSError, TimeoutError) as error:
                self.trouble = f"Kafka: {type(error).__name__}"
                metrics.SEND_FAILURES.inc()
                log.warning("send_refused", error=type(error).__name__, wait_s=wait_s)
                await self._discard(producer)
                await self._sleep(wait_s)
            else:
                self.trouble = None
                return

    async def tick(self, partition: int) -> None:
        """See `WorkerOutbox`."""
        await self.append(partition, [(None, _TICK)])

    async def append(self, partition: int, entries: Sequence[Entry]) -> None:
        """See `WorkerOutbox`. Others come if these are lost, so they are not tried again."""
        producer = None
        try:
            async with asyncio.timeout(TICK_WITHIN_S):
                producer = await self._ready()
                for key, value in entries:
                    await producer.send_and_wait(self._generation.topic(topics.FEEDBACK), value, key, partition)
        except (KafkaError, OSError, TimeoutError):
            await self._discard(producer)  # on a quiet log nobody else would notice that it is stuck
            raise

    async def close(self) -> None:
        """Flush and stop."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.stop()

    async def _ready(self) -> Producer:
        async with self._starting:
            if self._producer is None:
                producer = self._new()
                try:
                    await producer.start()
                except BaseException:
                    await producer.stop()
                    raise
                self._producer = producer
            return self._producer

    async def _discard(self, producer: Producer | None) -> None:
        if producer is None or self._producer is not producer:
            return  # there was none yet, or another partition's send has replaced it already
        self._producer = None
        await producer.abandon()


async def _acknowledged(sent: Sequence[asyncio.Future[object]]) -> None:
    """Wait for acknowledgements; being cancelled meanwhile leaves them alone.

    Raises: the first error, or TimeoutError when one does not come.
    """
    if not sent:
        return
    done, missing = await asyncio.wait(sent, timeout=SEND_WITHIN_S)
    for future in done:
        future.result()
    if missing:
        raise TimeoutError


def _look_at(future: asyncio.Future[object]) -> None:
    """Of a future that nobody may be waiting for any more, asyncio would say that its error was forgotten."""
    if future.done() and not future.cancelled():
        future.exception()
