"""The log as a `Publisher`: an idempotent Kafka producer, watched, and replaced when it is of no use any more.

aiokafka's idempotent producer retries for ever inside, and can stay stuck after a broker was away for a while
(aiokafka issue 1017): a failed batch leaves a gap in its sequence numbers, and everything after it is refused. So
any error of a queued record, and a silence that the broker itself does not share, mean a new producer. What the old
one still delivers after its requests were answered 503 is harmless: the same answer under the same id.

Ready means acknowledged lately. While answers flow, they prove it. In between, the broker is asked for its metadata
several times a second, and after half a minute's silence a `Tick` is written: the log's own record for "time passed",
which changes nothing when it comes early or twice. Ticks take turns over the partitions, and so over their leaders;
so few of them (a hundred bytes each) are nothing to a log that keeps them for 430 days. A tick is also how the
clocks are compared, so one is written every half minute at least.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from schemas.feedback import Tick
from schemas.generations import FIRST, Generation
from schemas.responses import Receipt
from schemas.topics import FEEDBACK, PEOPLE
from services.common.clock import wall_clock_ms
from services.common.producing import LogMoved, check_topics, stop
from services.ingest import metrics
from services.ingest.clock import BrokerClock
from services.ingest.port import NotHeld, Outgoing
from services.ingest.producer import CONNECT_S, LOG_APPEND_TIME, check_clock, make_producer

LOOK_S: Final = 0.25  # how often the producer is looked at
FRESH_S: Final = 1.0  # an acknowledgement this young is proof enough
STALLED_S: Final = 2.0  # a record that waits longer means trouble
PROVE_S: Final = 30.0  # between two ticks
ANSWER_S: Final = 1.0  # for metadata

log = structlog.get_logger()
_TICK: Final = msgspec.json.encode(Tick())


class KafkaPublisher:
    """Publishes through one producer at a time. Run `keep()` beside it; until that has connected, nothing is taken."""

    def __init__(
        self,
        brokers: str,
        publish_timeout_s: float,
        now_ms: Callable[[], int] = wall_clock_ms,
        generation: Generation = FIRST,
    ) -> None:
        self._now_ms = now_ms
        self._generation = generation
        self._feedback, self._people = generation.topic(FEEDBACK), generation.topic(PEOPLE)
        self._brokers = brokers
        self._timeout_s = publish_timeout_s
        self._producer: AIOKafkaProducer | None = None
        self._trouble: str | None = "not connected to the log yet"
        self._failed = asyncio.Event()
        self._waiting = 0
        self._busy_since = 0.0
        self._acked_at = 0.0
        self._next_tick = 0
        self._ticked_at = 0.0
        self._clock = BrokerClock()
        self._leaving: set[asyncio.Task[None]] = set()

    def refusal(self) -> str | None:
        """Why nothing can be taken right now; None when the log acknowledged lately."""
        return self._trouble

    def unready(self) -> str | None:
        """Why this door should get no new callers; None when it should. A wrong clock alone refuses nobody."""
        return self._trouble or self._clock.trouble

    async def publish(self, outgoing: Outgoing) -> Receipt:
        """See `Publisher.publish`."""
        producer = self._begin(1)
        text: asyncio.Future[Any] | None = None
        try:
            async with asyncio.timeout(self._timeout_s):
                text, answer = await self._queue(producer, outgoing)
                held = await answer
                if text is not None:
                    await text
        except TimeoutError:
            raise NotHeld(_UNKNOWN) from None
        except KafkaError as error:
            self._fail(producer, error)
            raise NotHeld(_UNKNOWN) from None
        finally:
            self._waiting -= 1
            if text is not None:
                text.cancel()
        self._acked_at = time.monotonic()
        return self._receipt(held)

    async def publish_all(self, outgoing: Sequence[Outgoing]) -> list[Receipt | NotHeld]:
        """See `Publisher.publish_all`. The first that cannot be queued ends it: those after it stay out too."""
        if self._producer is None or not outgoing:
            return [NotHeld(_NOT_TAKEN) for _ in outgoing]
        producer = self._begin(len(outgoing))
        queued: list[tuple[asyncio.Future[Any] | None, asyncio.Future[Any]]] = []
        try:
            async with asyncio.timeout(self._timeout_s):
                for each in outgoing:
                    queued.append(await self._queue(producer, each))
                await asyncio.wait([future for pair in queued for future in pair if future is not None])
        except TimeoutError:
            pass
        except KafkaError as error:
            self._fail(producer, error)
        finally:
            self._waiting -= len(outgoing)
        outcomes = [self._outcome(producer, *pair) for pair in queued]
        return [*outcomes, *(NotHeld(_NOT_TAKEN) for _ in outgoing[len(queued) :])]

    def _outcome(
        self, producer: AIOKafkaProducer, text: asyncio.Future[Any] | None, answer: asyncio.Future[Any]
    ) -> Receipt | NotHeld:
        for future in (text, answer):
            if future is None:
                continue
            if not future.done():
                future.cancel()
                return NotHeld(_UNKNOWN)
            error = future.exception()
            if error is not None:
                self._fail(producer, error)
                return NotHeld(_UNKNOWN)
        self._acked_at = time.monotonic()
        try:
            return self._receipt(answer.result())
        except NotHeld as not_held:
            return not_held

    def _begin(self, count: int) -> AIOKafkaProducer:
        if self._producer is None:
            raise NotHeld(_NOT_TAKEN)
        if self._waiting == 0:
            self._busy_since = time.monotonic()
        self._waiting += count
        return self._producer

    def _fail(self, producer: AIOKafkaProducer, error: BaseException) -> None:
        """This producer's sequence numbers have a gap now: nothing more may go through it."""
        if producer is self._producer and not self._failed.is_set():
            self._set_trouble("the log refused an answer", error=type(error).__name__)
            self._failed.set()

    def _set_trouble(self, reason: str | None, **fields: str) -> None:
        if reason == self._trouble:
            return
        self._trouble = reason
        metrics.READY.set(reason is None)
        if reason is None:
            log.info("log_ready")
        else:
            log.warning("log_not_ready", reason=reason, **fields)

    async def keep(self) -> None:
        """Connect, watch, replace; never returns. Raises WrongTopic when the log is not the one this service needs."""
        while True:
            await self._look()
            if self._failed.is_set():
                await asyncio.sleep(LOOK_S)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._failed.wait()

    async def _look(self) -> None:
        now = time.monotonic()
        if self._producer is None or self._failed.is_set():
            await self._replace(since=now)
            return
        if now - self._acked_at < FRESH_S:
            self._set_trouble(None)
            if now - self._ticked_at > PROVE_S:
                self._ticked_at = now
                with contextlib.suppress(TimeoutError, KafkaError):  # it is for the clocks: answers prove the rest
                    async with asyncio.timeout(STALLED_S):
                        await self._tick(self._producer)
            return
        if not await self._answers(self._producer):
            self._set_trouble("the log does not answer")
            await self._replace(since=now)
        elif self._waiting and now - max(self._acked_at, self._busy_since) > STALLED_S:
            self._set_trouble(f"the log has not acknowledged anything for {STALLED_S:.0f} seconds")
            await self._replace(since=now)
        elif self._trouble is not None or now - self._ticked_at > PROVE_S:
            await self._prove(self._producer)

    async def _answers(self, producer: AIOKafkaProducer) -> bool:
        with contextlib.suppress(TimeoutError, KafkaError):
            async with asyncio.timeout(ANSWER_S):
                return bool(await producer.client.force_metadata_update())
        return False

    async def _prove(self, producer: AIOKafkaProducer) -> None:
        """Have a tick acknowledged; without that, the log is not ready and the next look replaces the producer."""
        try:
            async with asyncio.timeout(STALLED_S):
                await self._tick(producer)
        except (TimeoutError, KafkaError) as error:
            self._set_trouble("the log does not acknowledge", error=type(error).__name__)
            self._failed.set()
        else:
            self._acked_at = time.monotonic()
            self._set_trouble(None)

    async def _tick(self, producer: AIOKafkaProducer) -> Any:
        partition = self._next_tick
        self._next_tick = (partition + 1) % self._generation.partitions
        sent_ms = self._now_ms()
        held = await producer.send_and_wait(self._feedback, _TICK, partition=partition)
        self._ticked_at = time.monotonic()
        if held.offset >= 0:
            self._clock.compare(sent_ms, held.timestamp, self._now_ms())
        return held

    async def _replace(self, since: float) -> None:
        """Make a producer that has had a tick acknowledged, and take it, unless the old one came back meanwhile."""
        fresh = make_producer(self._brokers)
        try:
            async with asyncio.timeout(CONNECT_S):
                await fresh.start()
                await check_topics(fresh, self._generation)
                check_clock(await self._tick(fresh))
        except (TimeoutError, KafkaError, OSError) as error:
            self._set_trouble(_why(error), error=type(error).__name__)
            self._leave(fresh, 0)
            return
        except BaseException:
            await stop(fresh)
            raise
        if self._producer is not None and not self._failed.is_set() and self._acked_at > since:
            self._leave(fresh, 0)
        else:
            old, self._producer = self._producer, fresh
            self._failed.clear()
            self._acked_at = time.monotonic()
            metrics.PRODUCERS.inc()
            if old is not None:
                log.warning("producer_replaced", waiting=self._waiting)
                # Requests that wait on it have their own deadline; what it can still deliver, it may.
                self._leave(old, self._timeout_s)
        self._set_trouble(None)

    def _leave(self, producer: AIOKafkaProducer, after_s: float) -> None:
        async def leave() -> None:
            try:
                await asyncio.sleep(after_s)
            finally:
                await stop(producer)

        task = asyncio.create_task(leave())
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def close(self) -> None:
        """Flush what is queued, for at most the publish timeout, and leave the log."""
        producer, self._producer = self._producer, None
        self._trouble = "the service is stopping"
        for task in self._leaving:
            task.cancel()
        await asyncio.gather(*self._leaving, return_exceptions=True)
        if producer is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._timeout_s):
                    await producer.flush()
            await stop(producer)

    async def _queue(
        self, producer: AIOKafkaProducer, outgoing: Outgoing
    ) -> tuple[asyncio.Future[Any] | None, asyncio.Future[Any]]:
        """Queue the text, if any, and the answer; both are under way before either is awaited."""
        partition = outgoing.partition
        text = None
        if outgoing.person is not None:
            text = await producer.send(self._people, outgoing.person, outgoing.person_key, partition)
        try:
            return text, await producer.send(self._feedback, outgoing.record, outgoing.team, partition)
        except BaseException:
            if text is not None:
                text.cancel()
            raise

    def _receipt(self, held: Any) -> Receipt:
        """Where the record stands. Raises NotHeld if the broker has it but forgot where: it saw the batch long ago."""
        if held.timestamp_type != LOG_APPEND_TIME:
            raise NotHeld("the log holds it, but did not say where")
        return Receipt(self._feedback, held.partition, held.offset)


def _why(error: Exception) -> str:
    if isinstance(error, LogMoved):
        return str(error.args[0])
    if isinstance(error, MessageSizeTooLargeError):  # no tick is too large for a log that is open
        return "the log is closed: a repartition has begun, which is to be run to its end or undone"
    return "the log cannot be reached"


_UNKNOWN: Final = "the log did not acknowledge it, so it may or may not be held"
_NOT_TAKEN: Final = "the log cannot take anything right now"
