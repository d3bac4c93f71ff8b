"""The way out: messages to Kafka, acknowledged by all in-sync replicas, retried for as long as it takes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Final, Protocol

import msgspec
import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from schemas import topics
from schemas.feedback import Tick
from stream import metrics
from stream.state import Message

log = structlog.get_logger()
_TICK: Final = msgspec.json.encode(Tick())
FIRST_WAIT_S: Final = 0.1
LONGEST_WAIT_S: Final = 5.0


class Outbox(Protocol):
    """Where results go. Keeps trying until the broker has acknowledged, and never raises for an outage: Faust marks a
    batch done when its handler raises, so an exception here would lose it."""

    async def send(self, partition: int, messages: Sequence[Message]) -> None:
        """Send to the partition of that number, in order; return when all are acknowledged."""
        ...


def backoff() -> Iterator[float]:
    """Seconds to wait between tries: 0.1, 0.2, … 5, 5: never ends."""
    wait_s = FIRST_WAIT_S
    while True:
        yield wait_s
        wait_s = min(2 * wait_s, LONGEST_WAIT_S)


def _sends(
    producer: AIOKafkaProducer, partition: int, messages: Sequence[Message]
) -> Iterator[Awaitable[Awaitable[object]]]:
    """Queue messages by topic, in order, each batch as large as the producer makes them.

    A whole batch is handed over at once: aiokafka's way of one message at a time costs ten times as much.
    """
    by_topic: dict[str, list[Message]] = {}
    for message in messages:
        by_topic.setdefault(message.topic, []).append(message)
    for topic, of_topic in by_topic.items():
        batch = producer.create_batch()
        for _, key, value in of_topic:
            if batch.append(timestamp=None, key=key, value=value) is None:  # full
                yield producer.send_batch(batch, topic, partition=partition)
                batch = producer.create_batch()
                batch.append(timestamp=None, key=key, value=value)
        yield producer.send_batch(batch, topic, partition=partition)


class KafkaOutbox:
    """An idempotent producer, made anew after any error: a producer that has failed once may stay stuck."""

    def __init__(self, kafka: str, new_producer: Callable[[], AIOKafkaProducer] | None = None) -> None:
        self._new = new_producer or (
            lambda: AIOKafkaProducer(
                bootstrap_servers=kafka,
                enable_idempotence=True,
                acks="all",
                linger_ms=0,
                max_batch_size=1 << 20,
                max_request_size=8 << 20,
                request_timeout_ms=15_000,
            )
        )
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()

    async def send(self, partition: int, messages: Sequence[Message]) -> None:
        """See `Outbox`. A message may be repeated after an error; every reader drops what it has seen."""
        for wait_s in backoff():
            producer = None
            try:
                producer = await self._ready()
                await asyncio.gather(*[await waiting for waiting in _sends(producer, partition, messages)])
            except (KafkaError, OSError, TimeoutError) as error:
                metrics.SEND_FAILURES.inc()
                log.warning("send_refused", error=type(error).__name__, wait_s=wait_s)
                await self._discard(producer)
                await asyncio.sleep(wait_s)
            else:
                return

    async def tick(self, partition: int) -> None:
        """Append a tick to the log, once: another comes if it is lost. Raises KafkaError when the broker is away."""
        producer = await self._ready()
        await producer.send_and_wait(topics.FEEDBACK, _TICK, None, partition)

    async def close(self) -> None:
        """Flush and stop."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.stop()

    async def _ready(self) -> AIOKafkaProducer:
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

    async def _discard(self, producer: AIOKafkaProducer | None) -> None:
        current = self._producer
        if current is not producer:
            return  # another partition's send has replaced it already
        if current is None:
            return  # there was none yet
        self._producer = None
        try:
            await asyncio.wait_for(current.stop(), timeout=1)
        except (KafkaError, TimeoutError) as error:
            log.warning("producer_not_stopped", error=type(error).__name__)
