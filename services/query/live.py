"""Live events: one Kafka consumer a process feeds all streams, and what a stream sends."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from typing import Final

import msgspec
import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from schemas.generations import FIRST, Generation
from schemas.topics import FOLLOWUPS, TEAM_CHANGES, TEAM_SCORES
from services.query.events import LiveResetView, LiveStatusView, events_of
from services.query.feed import Feed, worth_sending
from services.query.metrics import LIVE_EVENTS, LIVE_RESETS, LIVE_SUBSCRIBERS, LOG_CONNECTED
from services.query.outcomes import Outcomes
from services.query.params import from_ms
from services.query.views import View

log = structlog.get_logger()

HEARTBEAT_S: Final = 15.0
PACE_S: Final = 0.1  # a busy stream gets what gathered in this time at once
_PROBE_S: Final = 3.0
_PROBE_TIMEOUT_S: Final = 5.0
_TOPICS: Final = (TEAM_SCORES, FOLLOWUPS, TEAM_CHANGES)


class Follower:
    """Reads the topics from their ends on and tells a feed, and those who wait for an outcome, for as long as it runs.

    It belongs to no group: every instance sees everything. After a failure it makes a new consumer, with growing
    pauses, and goes on where it was, so an outage of the broker costs a stream time but no events.
    """

    def __init__(
        self, bootstrap: str, feed: Feed, outcomes: Outcomes, min_sample: int, generation: Generation = FIRST
    ) -> None:
        self._generation = generation
        self._partitions = [TopicPartition(generation.topic(name), p) for name in _TOPICS for p in generation.numbers()]
        self._bootstrap = bootstrap
        self._feed = feed
        self._outcomes = outcomes
        self._min_sample = min_sample
        self._next: dict[TopicPartition, int] = {}

    async def run(self) -> None:
        """Follow until cancelled."""
        pause_s = 0.2
        while True:
            try:
                async for _ in self._follow():
                    pause_s = 0.2
            except asyncio.CancelledError:
                if (task := asyncio.current_task()) is not None and task.cancelling():
                    raise
                log.warning("live_consumer_failed", error="CancelledError", pause_s=pause_s)  # aiokafka's own
            except Exception as error:  # noqa: BLE001  whatever broke, the next consumer may work; streams say so
                log.warning("live_consumer_failed", error=type(error).__name__, pause_s=pause_s)
            finally:
                self._connected(False)
            await asyncio.sleep(pause_s * random.uniform(0.8, 1.2))  # noqa: S311  spreads reconnections, no secret
            pause_s = min(pause_s * 2, 5.0)

    async def _follow(self) -> AsyncIterator[None]:
        """One consumer's life; yields whenever the broker has answered. Raises when it no longer does."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            enable_auto_commit=False,
            auto_offset_reset="latest",
            request_timeout_ms=int(_PROBE_TIMEOUT_S * 1000),
            fetch_max_bytes=8 * 1024 * 1024,
        )
        try:
            async with asyncio.timeout(_PROBE_TIMEOUT_S):
                await consumer.start()
                consumer.assign(self._partitions)
                ends = await consumer.end_offsets(self._partitions)
            for partition, end in ends.items():
                # A log that is shorter than where we were is another log.
                self._next[partition] = min(self._next.get(partition, end), end)
                consumer.seek(partition, self._next[partition])
            self._connected(True)
            yield
            loop = asyncio.get_running_loop()
            probe_at = loop.time() + _PROBE_S
            while True:
                batches = await consumer.getmany(timeout_ms=1_000, max_records=500)
                for partition, records in batches.items():
                    topic = self._generation.declared(partition.topic)
                    for record in worth_taking(topic, records):
                        self._take(topic, record)
                    self._next[partition] = records[-1].offset + 1
                    await asyncio.sleep(0)  # a burst must not hold up the requests
                if batches:
                    probe_at = loop.time() + _PROBE_S
                elif loop.time() >= probe_at:
                    # A consumer retries an outage in silence; whether the broker answers has to be asked.
                    async with asyncio.timeout(_PROBE_TIMEOUT_S):
                        await consumer.end_offsets(self._partitions[:1])
                    probe_at = loop.time() + _PROBE_S
                yield
        finally:
            # In a task of its own: after an outage aiokafka's stop() may raise CancelledError though nobody cancelled.
            await asyncio.wait([asyncio.create_task(consumer.stop())], timeout=_PROBE_TIMEOUT_S)

    def _take(self, topic: str, record: ConsumerRecord) -> None:
        if record.value is None:
            return
        try:
            if topic == FOLLOWUPS:
                self._outcomes.take(record.value)
            for name, team, data in events_of(topic, record.partition, record.value, self._min_sample):
                self._feed.publish(name, team, data, asyncio.get_running_loop().time())
                LIVE_EVENTS.labels(name).inc()
        except msgspec.MsgspecError as error:
            log.warning(
                "live_record_skipped",
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
                error=type(error).__name__,
            )

    def _connected(self, connected: bool) -> None:
        self._feed.set_connected(connected)
        LOG_CONNECTED.set(connected)


def worth_taking(topic: str, records: Sequence[ConsumerRecord]) -> list[ConsumerRecord]:
    """Records of one partition, in order, without scores that a newer record of the same team replaces."""
    if topic != TEAM_SCORES:
        return list(records)
    newest = {record.key: record.offset for record in records}
    return [record for record in records if newest[record.key] == record.offset]


async def stream(
    feed: Feed, teams: Collection[str] | None, last_id: str | None, now_ms: Callable[[], int], heartbeat_s: float
) -> AsyncIterator[bytes]:
    """A stream in the event-stream format. Ends when the feed is closed.

    A `status` comes first, then every `heartbeat_s` and whenever events cease or begin to flow. `reset` comes when the
    client cannot be given what it missed; its own figures are then stale.
    """
    loop = asyncio.get_running_loop()
    resumed = feed.resume(last_id)
    number = feed.head if resumed is None else resumed
    told, beat_at = not feed.connected, 0.0
    with LIVE_SUBSCRIBERS.track_inprogress():
        yield b"retry: 2000\n\n"
        if resumed is None:
            yield _reset(feed, number, "unknown_id")
        while not feed.closed:
            if told != feed.connected or loop.time() >= beat_at:
                told, beat_at = feed.connected, loop.time() + heartbeat_s
                yield _frame("status", LiveStatusView(live=told, now=from_ms(now_ms())))
                continue  # a slow client took its time: look again before waiting
            events = feed.since(number)
            if events is None:
                number = feed.head
                yield _reset(feed, number, "behind")
            elif events:
                number = events[-1].number
                chosen = worth_sending(events, teams)
                if chosen:
                    yield b"".join(
                        b"event: %b\nid: %b\ndata: %b\n\n"
                        % (event.name.encode(), feed.event_id(event.number).encode(), event.data)
                        for event in chosen
                    )
                    await asyncio.sleep(PACE_S)
            else:
                await feed.changed(max(0.0, beat_at - loop.time()))


def _reset(feed: Feed, number: int, reason: str) -> bytes:
    LIVE_RESETS.inc()
    return _frame("reset", LiveResetView.model_validate({"reason": reason}), feed.event_id(number))


def _frame(name: str, view: View, event_id: str | None = None) -> bytes:
    identity = "" if event_id is None else f"id: {event_id}\n"
    return f"event: {name}\n{identity}data: {view.model_dump_json()}\n\n".encode()
