"""`followups.v1` → store → lanes. `Flow.take` is the order of effects."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Protocol, cast, get_args

import msgspec
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from schemas.changes import Position
from schemas.followups import FollowupEvent, FollowupRecord, Kind
from schemas.generations import FIRST, Generation
from schemas.topics import FOLLOWUPS
from services.alerts import metrics
from services.alerts.amending import AMENDING
from services.alerts.deliveries import Delivery
from services.alerts.grouping import is_news
from services.alerts.kafka import kept_up, partitions_of
from services.alerts.lanes import Lane
from services.alerts.outcomes import Outcomes
from services.alerts.outlets import Outlet, Route, by_team
from services.alerts.promises import Due, Telling
from services.alerts.store import Store
from services.common.clock import wall_clock_ms

log = structlog.get_logger()

GROUP: Final = "pulse-alerts"
_POLL_MS: Final = 1_000
_RECORDS: Final = 500
# Offsets of events that are stored, this often at most; until then a restart reads them again, to no effect.
_COMMIT_EVERY_S: Final = 0.2
_COMMIT_WITHIN_S: Final = 5.0
# An idle consumer hears nothing in an outage either, so the broker is asked something small now and then.
_ASK_EVERY_S: Final = 3.0
_QUIET_S: Final = 12.0
_KINDS: Final = frozenset(get_args(Kind))
_decoder = msgspec.json.Decoder(FollowupRecord)


class _Head(msgspec.Struct):
    """As much of a record as a later version of the schema must keep."""

    type: str
    kind: str = ""


class Record(Protocol):
    """What a consumer gives."""

    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def value(self) -> bytes | None: ...


def event_of(record: Record) -> FollowupEvent | None:
    """The event of a record; None for what is none, for a kind of a later version and for what cannot be read."""
    known = known_of(record)
    return known if isinstance(known, FollowupEvent) else None


def known_of(record: Record) -> FollowupRecord | None:
    """What a record says; None for a kind of a later version, and for what cannot be read."""
    value = record.value or b""
    try:
        known = _decoder.decode(value)
    except msgspec.MsgspecError:
        if not _of_a_later_version(value):
            metrics.SKIPPED.labels("unreadable").inc()
            log.error("record_unreadable", topic=FOLLOWUPS, partition=record.partition, offset=record.offset)
        else:
            metrics.SKIPPED.labels("unknown_kind").inc()
        return None
    return cast("FollowupRecord", known)


def _of_a_later_version(value: bytes) -> bool:
    try:
        head = msgspec.json.decode(value, type=_Head)
    except msgspec.MsgspecError:
        return False
    return head.kind not in _KINDS if head.type == "event" else head.type not in ("position", "refused")


class Flow:
    """Consumes for ever. `run` ends only by cancellation; anything unexpected leaves it and ends the process.

    The partitions are assigned, not shared out by the group: there is one alerts process, as its store is one file,
    and a restart after kill -9 need not wait for the session of the dead.
    """

    def __init__(
        self,
        bootstrap: str,
        store: Store,
        lanes: Sequence[Lane],
        generation: Generation = FIRST,
        route: Route | None = None,
        telling: Telling | None = None,
    ) -> None:
        self._route = route or by_team([Outlet(lane.channel) for lane in lanes])
        self._telling = telling
        self._generation = generation
        self._bootstrap = bootstrap
        self._store = store
        self._lanes = lanes
        self._stored: dict[TopicPartition, int] = {}
        self._stored_more = asyncio.Event()
        self.outcomes = Outcomes()
        self._through: dict[int, int] = {}  # partition of the log → the fold has passed what is below
        self._moved: dict[int, asyncio.Event] = {}
        self._answered_s: float | None = None
        self._polled_s = 0.0

    def trouble(self) -> str | None:
        """Why events may not be arriving; None: they are."""
        if self._answered_s is None:
            return "followups.v1 is not being read yet"
        if time.monotonic() - min(self._answered_s, self._polled_s) > _QUIET_S:
            return "followups.v1 has not answered lately"
        return None

    async def run(self) -> None:
        """Read, store, commit, hand over."""
        await kept_up(self._read, FOLLOWUPS)

    async def _read(self) -> None:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            group_id=self._generation.group(GROUP),
            enable_auto_commit=False,
            auto_offset_reset="earliest",  # a fresh group starts at the beginning; `Store.add` knows what is too old
        )
        self._stored.clear()
        helpers: list[asyncio.Task[None]] = []
        try:
            await consumer.start()
            partitions = partitions_of(FOLLOWUPS, self._generation)
            consumer.assign(partitions)
            log.info("reading", topic=FOLLOWUPS, partitions=len(partitions))
            helpers += [asyncio.create_task(self._commit(consumer)), asyncio.create_task(self._ask(consumer))]
            while not any(helper.done() for helper in helpers):
                batches = await consumer.getmany(timeout_ms=_POLL_MS, max_records=_RECORDS)
                self._polled_s = time.monotonic()
                if batches:
                    await self.take(batches)
            for helper in helpers:
                if helper.done():
                    helper.result()
        finally:
            self._answered_s = None
            for helper in helpers:
                helper.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)
            if helpers:
                with contextlib.suppress(KafkaError, TimeoutError):
                    await self._commit_stored(consumer)
            await consumer.stop()

    async def take(self, batches: Mapping[TopicPartition, Sequence[Record]]) -> None:
        """One fetch, in the order that neither loses nor invents an alert:

        1. Each event becomes one pending row per channel that wants it. What is stored already stays as it is.
        2. Only now its offset may be committed, once the disk has the row as well. A crash before that reads the event
           again, and 1 does nothing; after a power cut it may be new once more.
        3. Only what 1 called new is sent, by the lanes, each then writes down what came of it. A crash before the
           sending leaves a pending row, which the next process sends; one after it repeats the message, same id.
        Neither the disk nor the commit is awaited before 3: 1 holds whether or not they come to pass.
        """
        known = [one for records in batches.values() for record in records if (one := known_of(record))]
        await self.tell([one for one in known if isinstance(one, FollowupEvent)])
        for one in known:
            if isinstance(one, Position):
                self._pass(one)
            else:
                self.outcomes.note(one)
        for partition, records in batches.items():
            self._stored[partition] = records[-1].offset + 1
        self._stored_more.set()

    async def tell(self, events: Iterable[FollowupEvent]) -> None:
        """Steps 1 and 3. Between them, what is pending already follows its case: it was withdrawn, say, or erased."""
        events = list(events)
        if self._telling is None:
            dues: list[Due] = [dict.fromkeys(self._route(event.case, event.at_ms), 0) for event in events]
        else:
            dues = await self._telling.of(events)
        wanted = [
            Delivery(lane.channel.name, event, due_ms=due[lane.channel.name])
            for event, due in zip(events, dues, strict=True)
            for lane in self._lanes
            if lane.channel.name in due and lane.channel.wants(event)
        ]
        amending = [event for event in events if event.kind in AMENDING]
        new = await self._store.add(wanted, wall_clock_ms(), events) if events else []
        if amending:
            # Of these cases the lanes load what is pending still: what `add` gave may be out of date.
            cases = {event.case.case_id for event in amending}
            late = {delivery.channel for delivery in new if delivery.event.case.case_id in cases}
            new = [delivery for delivery in new if delivery.event.case.case_id not in cases]
            late |= {delivery.channel for delivery in await self._store.amend(amending, wall_clock_ms())}
        else:
            late = set()
        for lane in self._lanes:
            own = [delivery for delivery in new if delivery.channel == lane.channel.name]
            # What goes on with a case is loaded, not offered: it may have to wait for what came before it.
            lane.offer([delivery for delivery in own if not delivery.due_ms and is_news(delivery.event)])
            if lane.channel.name in late or not all(is_news(delivery.event) for delivery in own):
                lane.look()
            later = [delivery.due_ms for delivery in own if delivery.due_ms]
            if later:
                lane.look(min(later))

    async def passed(self, partition: int, offset: int) -> None:
        """Return when the fold has passed a record of the log, and all it caused is stored here."""
        while self._through.get(partition, 0) <= offset:
            await self._moved.setdefault(partition, asyncio.Event()).wait()

    def _pass(self, position: Position) -> None:
        self._through[position.partition] = position.through
        if moved := self._moved.pop(position.partition, None):
            moved.set()

    async def _commit(self, consumer: AIOKafkaConsumer) -> None:
        while True:
            await self._stored_more.wait()
            try:
                await self._commit_stored(consumer)
            except (KafkaError, TimeoutError) as error:
                log.warning("commit_failed", error=type(error).__name__)
            await asyncio.sleep(_COMMIT_EVERY_S)

    async def _ask(self, consumer: AIOKafkaConsumer) -> None:
        """Keep `trouble` true: note each answer of the broker, and say once that it gives none."""
        silent = False
        while True:
            try:
                async with asyncio.timeout(_ASK_EVERY_S):
                    await consumer.end_offsets(consumer.assignment())
            except (KafkaError, TimeoutError) as error:
                if not silent:
                    log.warning("kafka_silent", error=type(error).__name__)
                silent = True
            else:
                if silent:
                    log.info("kafka_answers_again")
                silent = False
                self._answered_s = time.monotonic()
            await asyncio.sleep(_ASK_EVERY_S)

    async def _commit_stored(self, consumer: AIOKafkaConsumer) -> None:
        self._stored_more.clear()
        offsets = dict(self._stored)
        if offsets:
            async with asyncio.timeout(_COMMIT_WITHIN_S):
                await self._store.sync()
                await consumer.commit(offsets)
