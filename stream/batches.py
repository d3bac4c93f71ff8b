"""Faust in batches: an agent gets one event a fetched batch, and commits what it says it has emitted.

Faust's per-message path costs 60-180 µs, this one 2 µs. Faust keeps what it is good at: group membership,
assignment, pausing, heartbeats, the timing of commits. Its own acknowledgements are ignored: it acknowledges a
message whose handler raised or was cancelled, so its word is not enough to commit on (decision 4).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple, cast

import aiokafka
import faust
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from faust.tables import TableManager
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, AppT, Message
from mode.utils.futures import notify

from stream.fencing import NamedConsumer
from stream.fetched import Fetched
from stream.log import insist
from stream.settings import StreamSettings

# Both bound how long a batch waits behind those of a partition that gets far more than the others: aiokafka fetches
# nothing while records of an earlier fetch are left, and Faust puts the batches of all partitions in one queue.
MOST_FETCHED: Final = 512 << 10  # bytes of one partition: some 2,500 answers
WAITING_BATCHES: Final = 4
MOST_POLLED: Final = 1_000  # fetches, one a partition: no bound


class Fetching(NamedTuple):
    """When a broker answers a fetch: once it has `least_bytes`, or has waited so long for them."""

    least_bytes: int
    wait_ms: int


AT_ONCE: Final = Fetching(1, 500)  # a record is enough; the wait only bounds an idle fetch
TOGETHER: Final = Fetching(64 << 10, 100)  # for who can wait: where little comes, ten fetches a second at most


class RecordBatch:
    """The records of one partition that one fetch brought, unopened.

    Quacks like a consumer record whose offset is the last one's, which is all that Faust looks at.
    """

    __slots__ = ("fetched", "offset", "partition", "timestamp", "topic")

    timestamp_type: Final = 1
    headers: Final = ()
    key: Final = None
    checksum: Final = None
    serialized_key_size: Final = 0
    serialized_value_size: Final = 0

    def __init__(self, tp: TP, fetched: Fetched) -> None:
        self.topic: str = tp.topic
        self.partition: int = tp.partition
        self.offset: int = fetched.stop - 1
        self.timestamp: int = fetched.timestamp
        self.fetched = fetched

    @property
    def value(self) -> RecordBatch:
        """What the agent receives."""
        return self


class BatchScheduler:
    """Faust's `ConsumerScheduler`: sees a whole poll, yields one batch a partition."""

    def iterate(self, polled: Mapping[TP, list[Fetched]]) -> Iterator[tuple[TP, RecordBatch]]:
        """One batch for each partition that has records, small ones first: a flood holds up its own partition alone."""
        found = [(tp, fetched) for tp, of_partition in polled.items() for fetched in of_partition]
        for tp, fetched in sorted(found, key=lambda item: item[1].stop - item[1].first):
            yield tp, RecordBatch(tp, fetched)


class RawSchema(faust.Schema[Any, Any]):
    """Hands key and value on untouched: decoding is the fold's."""

    def loads_key(self, app: AppT, message: Message, **_: Any) -> Any:
        return message.key

    def loads_value(self, app: AppT, message: Message, **_: Any) -> Any:
        return message.value


class CommitGate:
    """What may be committed: for each partition, the offset below which everything has been emitted."""

    def __init__(self) -> None:
        self._emitted: dict[TP, int] = {}

    def emitted(self, topic: str, partition: int, position: int) -> None:
        """Everything below `position` has had its effect, and it is acknowledged."""
        self._emitted[TP(topic, partition)] = position

    def forget(self, topic: str, partition: int) -> None:
        """The partition is somebody else's now."""
        self._emitted.pop(TP(topic, partition), None)

    def get(self, tp: TP) -> int | None:
        """The offset to commit; None for a partition of which nothing has been emitted here."""
        return self._emitted.get(tp)

    def partitions(self) -> list[TP]:
        """Partitions that may have something to commit."""
        return list(self._emitted)


class BatchConsumer(driver.Consumer):
    """Faust's consumer, with commits taken from the gate."""

    def _new_consumer_thread(self) -> driver.AIOKafkaConsumerThread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)

    @property
    def _gate(self) -> CommitGate:
        gate: CommitGate = self.transport.gate  # type: ignore[attr-defined]
        return gate

    def ack(self, message: Message) -> bool:
        """Faust's acknowledgement of an event: it only frees the event here."""
        message.acked = True
        self._unacked_messages.discard(message)
        notify(self._waiting_for_ack)
        return True

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Between two batches there is always a gap of offsets: it means nothing."""

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        yield from (tp for tp in self._gate.partitions() if topics is None or tp in topics or tp.topic in topics)

    def _new_offset(self, tp: TP) -> int | None:
        return self._gate.get(tp)

    async def perform_seek(self) -> None:
        """Go to what is committed, however long it takes: Faust calls this when it has dropped fetched records."""
        await insist(super().perform_seek)


class _Thread(driver.AIOKafkaConsumerThread):
    """The consumer's thread: a sticky assignor, so that a rebalance moves as few partitions as it can."""

    def _create_worker_consumer(self, transport: driver.Transport) -> aiokafka.AIOKafkaConsumer:
        conf, fetching = self.app.conf, cast("BatchTransport", transport).fetching
        self._assignor = StickyPartitionAssignor
        return NamedConsumer(
            client_id=conf.broker_client_id,
            group_id=conf.id,
            group_instance_id=conf.consumer_group_instance_id,
            bootstrap_servers=driver.server_list(transport.url, transport.default_port),
            partition_assignment_strategy=[StickyPartitionAssignor],
            enable_auto_commit=False,
            auto_offset_reset=conf.consumer_auto_offset_reset,
            max_poll_records=conf.broker_max_poll_records,
            max_poll_interval_ms=int((conf.broker_max_poll_interval or 0) * 1000),
            max_partition_fetch_bytes=conf.consumer_max_fetch_size,
            fetch_min_bytes=fetching.least_bytes,
            fetch_max_wait_ms=fetching.wait_ms,
            request_timeout_ms=int(conf.broker_request_timeout * 1000),
            check_crcs=conf.broker_check_crcs,
            session_timeout_ms=int(conf.broker_session_timeout * 1000),
            rebalance_timeout_ms=int((conf.broker_rebalance_timeout or 60) * 1000),
            heartbeat_interval_ms=int(conf.broker_heartbeat_interval * 1000),
            metadata_max_age_ms=conf.consumer_metadata_max_age_ms,
            connections_max_idle_ms=conf.consumer_connections_max_idle_ms,
            **driver.credentials_to_aiokafka_auth(conf.broker_credentials, conf.ssl_context),
        )

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """The committed offsets, after going to them; to the beginning of partitions that have none."""
        return cast("Mapping[TP, int]", await self.call_thread(seek_to_committed, self._ensure_consumer()))


async def seek_to_committed(consumer: aiokafka.AIOKafkaConsumer) -> Mapping[TP, int]:
    """aiokafka leaves a partition without a committed offset where it is: past the records that Faust has dropped."""
    committed: Mapping[TP, int] = await consumer.seek_to_committed()
    fresh = [tp for tp, offset in committed.items() if not offset]
    if fresh:
        await consumer.seek_to_beginning(*fresh)
    return committed


class BatchTransport(driver.Transport):
    """Faust's transport over aiokafka, with our consumer. `gate` and `fetching` are set by `batch_app`."""

    Consumer = BatchConsumer
    gate: CommitGate
    fetching: Fetching


class NoTables(TableManager):
    """Faust's manager sleeps for a second at every start, in case a table is being added. There is none."""

    async def on_start(self) -> None:
        await self._update_channels()
        await self.recovery.start()


class BatchApp(faust.App):
    """A Faust app without tables, which therefore needs no folders of its own."""

    def _create_directories(self) -> None:
        """Faust would make `<name>-data` in the working directory."""


def batch_app(name: str, settings: StreamSettings, instance_id: str, fetching: Fetching = AT_ONCE) -> faust.App:
    """A Faust app whose agents receive `RecordBatch`es. `name` is the consumer group."""
    session_s = settings.session_timeout.total_seconds()
    app = BatchApp(
        name,
        broker=[f"kafka://{server}" for server in settings.kafka.split(",")],
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        ConsumerScheduler=BatchScheduler,
        TableManager=NoTables,
        consumer_auto_offset_reset="earliest",
        consumer_group_instance_id=instance_id,
        consumer_max_fetch_size=MOST_FETCHED,
        broker_max_poll_records=MOST_POLLED,
        broker_commit_interval=0.5,
        broker_session_timeout=session_s,
        broker_heartbeat_interval=session_s / 4,
        broker_request_timeout=max(90.0, session_s + 30),
        stream_buffer_maxsize=WAITING_BATCHES,
        stream_wait_empty=False,
    )
    transport = BatchTransport(app.conf.broker, app, loop=None)
    transport.gate = CommitGate()
    transport.fetching = fetching
    app.transport = transport
    return app


def gate_of(app: faust.App) -> CommitGate:
    """The commit gate of an app made by `batch_app`."""
    transport = app.transport
    if not isinstance(transport, BatchTransport):
        raise TypeError("not an app of batch_app")
    return transport.gate


def partitions_of(tps: Iterable[TP], topic: str) -> set[int]:
    """Partition numbers of one topic among those of an assignment."""
    return {tp.partition for tp in tps if tp.topic == topic}
