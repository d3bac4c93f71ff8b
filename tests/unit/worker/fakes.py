"""Stand-ins for what surrounds the worker and the sink. They write down what happens to them, and each can fail."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from typing import Any, cast

import msgspec
from aiokafka.errors import KafkaConnectionError, ProducerClosed
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import DefaultRecordBatch

from schemas import topics
from schemas.rejects import Reject
from stream.domain.messages import Message
from stream.domain.view import LogRecord
from stream.domain.work import Effects
from stream.outbox import Entry, Producer
from stream.rows import ERASURES, TABLES, Key, Row
from stream.state import State
from stream.store import Refused, Unreachable
from tests.unit.stream.fakes import FakeState, Record

Journal = list[tuple[Any, ...]]


class JournalState(FakeState):
    """A state that writes down its commits. Using it after it was closed fails, as with RocksDB."""

    def __init__(self, journal: Journal | None = None) -> None:
        super().__init__()
        self.journal: Journal = [] if journal is None else journal
        self.closed = False
        self.cleared = 0

    def as_state(self) -> State:
        """What the code under test takes it for."""
        return cast(State, self)

    def get_many(self, wanted: Sequence[bytes]) -> list[bytes | None]:
        self._check()
        return super().get_many(wanted)

    def scan(self, prefix: bytes, start: bytes, stop: bytes, limit: int) -> Any:
        self._check()
        return super().scan(prefix, start, stop, limit)

    def commit(self, effects: Effects, messages: Sequence[Message]) -> None:
        self._check()
        super().commit(effects, messages)
        self.journal.append(("commit", effects.meta.position))

    def clear_outbox(self, position: int) -> None:
        self._check()
        super().clear_outbox(position)
        self.journal.append(("clear", position))

    def clear(self) -> None:
        super().clear()
        self.cleared += 1

    def close(self) -> None:
        self._check()
        self.closed = True

    def _check(self) -> None:
        if self.closed:
            raise RuntimeError("the state was used after it was closed")


class FakeLog:
    """A `stream.log.Log` over records in memory. `hold` keeps its answers back."""

    def __init__(self, records: Sequence[Record] = (), committed: int = 0, first: int = 0) -> None:
        self.records = list(records)
        self.group = committed
        self.first = first
        self.reads: list[tuple[int, int]] = []
        self.open_reads = 0
        self.batch = 2
        self.before_reading: Callable[[], Awaitable[None]] | None = None
        self.hold = asyncio.Event()
        self.hold.set()

    @property
    def end(self) -> int:
        return self.records[-1].offset + 1 if self.records else self.first

    async def committed(self, partition: int) -> int:
        await self.hold.wait()
        return self.group

    async def bounds(self, partition: int) -> tuple[int, int]:
        return self.first, self.end

    async def read(self, partition: int, start: int, stop: int) -> AsyncGenerator[list[LogRecord], None]:
        self.reads.append((start, stop))
        self.open_reads += 1
        try:
            if self.before_reading is not None:
                await self.before_reading()
            found = [record for record in self.records if max(start, self.first) <= record.offset < stop]
            for at in range(0, len(found), self.batch):
                await self.hold.wait()
                yield [*found[at : at + self.batch]]
        finally:
            self.open_reads -= 1


class FakeOutbox:
    """A `stream.outbox.WorkerOutbox`. `hold` keeps acknowledgements back; `tick_error` is raised by ticks."""

    def __init__(self, journal: Journal | None = None) -> None:
        self.journal: Journal = [] if journal is None else journal
        self.sent: list[Message] = []
        self.ticks: list[int] = []
        self.appended: list[tuple[int, bytes | None, bytes]] = []
        self.tick_error: Exception | None = None
        self.ticking: Callable[[int], None] = lambda _: None
        self.hold = asyncio.Event()
        self.hold.set()
        self.waiting = 0

    async def send(self, partition: int, messages: Sequence[Message]) -> None:
        self.journal.append(("send", len(messages)))
        self.waiting += 1
        try:
            await self.hold.wait()
        finally:
            self.waiting -= 1
        self.sent.extend(messages)
        self.journal.append(("acknowledged", len(messages)))

    async def append(self, partition: int, entries: Sequence[Entry]) -> None:
        self.appended.extend((partition, key, value) for key, value in entries)

    async def tick(self, partition: int) -> None:
        self.ticks.append(partition)
        self.ticking(partition)
        await asyncio.sleep(0)
        if self.tick_error is not None:
            raise self.tick_error

    def of(self, topic: str) -> list[Message]:
        return [message for message in self.sent if message.topic == topic]


class FakeBroker:
    """What producers made by it share: the messages that arrived, and how many of the next sends fail."""

    def __init__(self) -> None:
        self.arrived: dict[tuple[str, int], list[tuple[bytes | None, bytes | None]]] = defaultdict(list)
        self.made: list[FakeProducer] = []
        self.failing_starts = 0
        self.failing_sends = 0
        self.silent = False

    def producer(self) -> Producer:
        made = FakeProducer(self)
        self.made.append(made)
        return cast(Producer, made)


class FakeProducer:
    """The part of aiokafka's producer that the outbox uses."""

    def __init__(self, broker: FakeBroker) -> None:
        self._broker = broker
        self.state = "made"
        self.waiting: list[asyncio.Future[object]] = []

    async def start(self) -> None:
        if self._broker.failing_starts:
            self._broker.failing_starts -= 1
            raise KafkaConnectionError
        self.state = "started"

    async def stop(self) -> None:
        self.state = "stopped"

    async def abandon(self) -> None:
        self.state = "abandoned"
        for future in self.waiting:
            if not future.done():
                future.set_exception(ProducerClosed())

    def create_batch(self) -> BatchBuilder:
        return BatchBuilder(1 << 20, 0, is_transactional=False, key_serializer=None, value_serializer=None)

    async def send_batch(self, batch: BatchBuilder, topic: str, *, partition: int) -> asyncio.Future[object]:
        built = DefaultRecordBatch(bytes(batch._build()))  # noqa: SLF001  as aiokafka's own sender does
        return self._sent(topic, partition, [(record.key, record.value) for record in built])

    async def send_and_wait(self, topic: str, value: bytes, key: bytes | None, partition: int) -> object:
        return await self._sent(topic, partition, [(key, value)])

    def _sent(
        self, topic: str, partition: int, messages: Iterable[tuple[bytes | None, bytes | None]]
    ) -> asyncio.Future[object]:
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        if self.state != "started":
            raise ProducerClosed
        self.waiting.append(future)
        if self._broker.failing_sends:
            self._broker.failing_sends -= 1
            future.set_exception(KafkaConnectionError())
        elif not self._broker.silent:
            self._broker.arrived[topic, partition].extend(messages)
            future.set_result(None)
        return future


class FakeStore:
    """A `stream.store.Store`. Refuses the rows that `bad` names, and is unreachable `away` times first."""

    def __init__(self, journal: Journal | None = None) -> None:
        self.journal: Journal = [] if journal is None else journal
        self.tables: dict[str, list[Row]] = defaultdict(list)
        self.bad: Callable[[str, Row], bool] = lambda _table, _row: False
        self.away = 0
        self.code = 53
        self.refuses_to_erase = False
        self.error: Exception | None = None

    def insert(self, table: str, rows: Sequence[Row]) -> None:
        self._answer("away", table, len(rows))
        if any(self.bad(table, row) for row in rows):
            self.journal.append(("refused", table, len(rows)))
            raise Refused(self.code)
        self.tables[table].extend(rows)
        self.journal.append(("insert", table, len(rows)))

    def erase(self, table: str, keys: Sequence[Key]) -> None:
        self._answer("away to erase", table, len(keys))
        if self.refuses_to_erase:
            raise Refused(self.code)
        marker = TABLES[table].index(ERASURES[table])
        self.tables[table] = [row for row in self.tables[table] if row[marker] or row[:2] not in keys]
        self.journal.append(("erase", table, list(keys)))

    def _answer(self, what: str, table: str, count: int) -> None:
        if self.error is not None:
            raise self.error
        if self.away:
            self.away -= 1
            self.journal.append((what, table, count))
            raise Unreachable("code 202")


class RejectBox(FakeOutbox):
    """An outbox that decodes the rejects it is given."""

    @property
    def rejects(self) -> list[Reject]:
        return [msgspec.json.decode(message.value or b"", type=Reject) for message in self.of(topics.REJECTS)]


async def until(question: Callable[[], bool], within_s: float = 5.0) -> None:
    """Let the loop run until the answer is yes."""
    async with asyncio.timeout(within_s):
        while not question():
            await asyncio.sleep(0)
