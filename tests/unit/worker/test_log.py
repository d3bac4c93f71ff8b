"""Asking the log beside the consumer group: an outage is waited out, an error is never an empty answer."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError, KafkaError, UnknownTopicOrPartitionError
from aiokafka.structs import OffsetAndMetadata

import stream.app
import stream.log
from schemas import topics
from stream.app import check_log
from stream.domain.view import LogRecord
from stream.errors import LogMismatch
from stream.log import KafkaLog
from tests.unit.stream.fakes import Record

TP = TopicPartition(topics.FEEDBACK, 3)


class Admin:
    """aiokafka's admin client. `answers` are given one a call; an exception is raised."""

    answers: ClassVar[list[Any]]
    closed: ClassVar[int]

    def __init__(self, bootstrap_servers: str) -> None:
        self.asked: Any = None

    async def start(self) -> None: ...

    async def close(self) -> None:
        type(self).closed += 1

    async def list_consumer_group_offsets(self, group: str, partitions: Any = None) -> Any:
        assert partitions == [TP], "only an answer for a named partition tells an error from no offset"
        return self._next()

    async def describe_topics(self, names: Any) -> Any:
        return self._next()

    def _next(self) -> Any:
        answer = type(self).answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer


class Consumer:
    """aiokafka's consumer of one partition: `records`, of which those from `first` on are still there."""

    records: ClassVar[list[Record]]
    first: ClassVar[int]
    trouble: ClassVar[list[KafkaError]]
    running: ClassVar[int]

    def __init__(self, **settings: Any) -> None:
        assert settings["auto_offset_reset"] == "earliest"
        self.at = 0

    async def start(self) -> None:
        type(self).running += 1

    async def stop(self) -> None:
        type(self).running -= 1

    def assign(self, partitions: Any) -> None:
        assert partitions == [TP]

    def seek(self, tp: Any, offset: int) -> None:
        self.at = offset

    async def position(self, tp: Any) -> int:
        return self.at

    async def beginning_offsets(self, tps: Any) -> Any:
        return {TP: self.first}

    async def end_offsets(self, tps: Any) -> Any:
        return {TP: self.records[-1].offset + 1 if self.records else self.first}

    async def getmany(self, tp: Any, timeout_ms: int) -> Any:
        assert self.at >= self.first, "an offset that has expired would be reset"
        if self.trouble:
            raise type(self).trouble.pop()
        found = [record for record in self.records if record.offset >= self.at][:2]
        self.at = found[-1].offset + 1 if found else self.at
        if len(found) == 2 and found[1].value is None:  # a control record: it has an offset and is not given out
            found.pop()
        return {TP: found} if found else {}


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> KafkaLog:
    async def at_once(_: float) -> None: ...

    monkeypatch.setattr(stream.log, "AIOKafkaAdminClient", Admin)
    monkeypatch.setattr(stream.log, "AIOKafkaConsumer", Consumer)
    monkeypatch.setattr(stream.app, "AIOKafkaAdminClient", Admin)
    monkeypatch.setattr("stream.log.asyncio.sleep", at_once)
    Admin.answers, Admin.closed = [], 0
    Consumer.records, Consumer.first, Consumer.trouble, Consumer.running = [], 0, [], 0
    return KafkaLog("", "group")


def records(*offsets: int) -> list[Record]:
    return [Record(offset, 1, b"k", b"v") for offset in offsets]


async def read(log: KafkaLog, start: int, stop: int) -> list[int]:
    found: list[LogRecord] = []
    async with asyncio.timeout(5):
        async for batch in log.read(3, start, stop):
            assert batch
            found += batch
    assert Consumer.running == 0
    return [record.offset for record in found]


async def test_the_committed_offset(log: KafkaLog) -> None:
    Admin.answers = [{TP: OffsetAndMetadata(7, "")}]
    assert await log.committed(3) == 7


async def test_a_group_that_has_committed_nothing_is_at_0(log: KafkaLog) -> None:
    Admin.answers = [{TP: OffsetAndMetadata(-1, "")}]
    assert await log.committed(3) == 0


async def test_a_coordinator_that_is_still_loading_is_asked_again(log: KafkaLog) -> None:
    """aiokafka drops the error of the whole answer: it looks as if the group had no offsets at all."""
    Admin.answers = [{}, KafkaConnectionError(), {TP: OffsetAndMetadata(7, "")}]
    assert await log.committed(3) == 7
    assert Admin.closed == 3


async def test_a_range_of_the_log(log: KafkaLog) -> None:
    Consumer.records = records(*range(10))
    assert await read(log, 2, 7) == [2, 3, 4, 5, 6]
    assert await read(log, 7, 7) == []


async def test_what_has_expired_is_passed_over(log: KafkaLog) -> None:
    Consumer.records, Consumer.first = records(*range(10)), 5
    assert await read(log, 0, 8) == [5, 6, 7]
    assert await read(log, 0, 4) == []


async def test_a_log_of_which_everything_has_expired_has_nothing_to_wait_for(log: KafkaLog) -> None:
    Consumer.first = 9
    assert await read(log, 0, 9) == []


async def test_offsets_without_a_record_end_a_range_too(log: KafkaLog) -> None:
    Consumer.records = [*records(0, 1, 2), Record(3, 1, None, None)]
    assert await read(log, 0, 4) == [0, 1, 2]
    assert await read(log, 2, 4) == [2]


async def test_after_an_outage_reading_goes_on_where_it_was(log: KafkaLog) -> None:
    Consumer.records = records(*range(10))
    found = []
    async for batch in log.read(3, 0, 9):
        found += [record.offset for record in batch]
        if len(found) in (2, 6):
            Consumer.trouble = [KafkaConnectionError(), KafkaConnectionError()]
    assert found == list(range(9))
    assert Consumer.running == 0


async def test_a_reader_that_stops_early_leaves_no_consumer(log: KafkaLog) -> None:
    Consumer.records = records(*range(10))
    reading = log.read(3, 0, 9)
    await anext(reading)
    assert Consumer.running == 1
    await reading.aclose()
    assert Consumer.running == 0


async def test_the_bounds(log: KafkaLog) -> None:
    Consumer.records, Consumer.first = records(5, 6), 5
    assert await log.bounds(3) == (5, 7)
    assert Consumer.running == 0


class TestPartitionCount:
    def described(self, count: int, error: type[KafkaError] | None = None) -> Any:
        return [{"error_code": getattr(error, "errno", 0), "partitions": [{}] * count}]

    async def test_that_of_this_program_is_accepted(self, log: KafkaLog) -> None:
        Admin.answers = [self.described(16)]
        await check_log("")

    @pytest.mark.parametrize("count", [1, 15, 17])
    async def test_any_other_is_refused_with_both_named(self, log: KafkaLog, count: int) -> None:
        Admin.answers = [self.described(count)]
        with pytest.raises(LogMismatch, match=f"has {count} partitions, PULSE_PARTITIONS says 16"):
            await check_log("")

    async def test_a_topic_that_is_not_there_yet_is_waited_for(self, log: KafkaLog) -> None:
        Admin.answers = [
            KafkaConnectionError(),
            self.described(0, UnknownTopicOrPartitionError),
            self.described(16),
        ]
        await check_log("")
        assert Admin.answers == []
