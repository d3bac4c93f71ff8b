"""Closing a log, making the next generation and sealing it, on the real Kafka; and what the door says meanwhile."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError

from deploy.errors import GenerationMissing, LogMoved
from deploy.generations import (
    Found,
    check_generation,
    close_log,
    drop_generation,
    generations,
    make_generation,
    reopen_log,
    seal,
)
from schemas import topics
from schemas.feedback import Answer, EraseRespondent, Tick
from schemas.generations import FIRST, Generation
from schemas.people import person_key
from services.ingest.port import NotHeld, Outgoing
from services.ingest.producer import LOG_APPEND_TIME
from services.ingest.publisher import KafkaPublisher
from stream.app import check_log
from stream.copying import KafkaTarget, copy_log, copy_people, look
from stream.domain.reading import appended_ms
from stream.domain.view import LogRecord
from stream.errors import LogMismatch
from stream.facts import compared, facts_of
from stream.log import KafkaLog
from tests.engines import Engines, in_own_loop
from tests.integration.stream_place import until

pytestmark = pytest.mark.real

SECOND = Generation(2, 5)
TICK = msgspec.json.encode(Tick())


@pytest.fixture
def kafka(engines: Engines) -> Iterator[str]:
    """The session's Kafka with an empty first generation. Other tests want it open, and alone."""
    engines.topics(anew=True)
    yield engines.kafka
    in_own_loop(drop_generation(engines.kafka, SECOND))
    in_own_loop(reopen_log(engines.kafka, FIRST))


@asynccontextmanager
async def producing(kafka: str) -> AsyncIterator[Any]:
    producer = AIOKafkaProducer(bootstrap_servers=kafka, acks="all")
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def fill(kafka: str) -> None:
    """Answers of some people, an erasure of one of them in the middle, and texts, one of them deleted."""
    draw = random.Random(3)
    async with producing(kafka) as producer:
        for number in range(300):
            key = b"team-%d" % draw.randrange(9)
            answer = Answer(str(uuid.UUID(int=number)), draw.randrange(11), "c", respondent=f"{draw.randrange(9):032x}")
            partition = FIRST.partition_of(key)
            await producer.send_and_wait(topics.FEEDBACK, msgspec.json.encode(answer), key, partition)
            person = person_key(key.decode(), answer.response_id)
            await producer.send(topics.PEOPLE, b"words", person, partition)
            if number == 5:
                await producer.send(topics.PEOPLE, None, person, partition)
            if number == 150:
                erasure = msgspec.json.encode(EraseRespondent(f"{4:032x}"))
                for other in FIRST.numbers():
                    await producer.send_and_wait(topics.FEEDBACK, erasure, partition=other)


def log_of(kafka: str, generation: Generation, topic: str = topics.FEEDBACK) -> KafkaLog:
    return KafkaLog(kafka, "nobody", generation.topic(topic))


async def everything(log: KafkaLog, generation: Generation) -> dict[int, list[LogRecord]]:
    found: dict[int, list[LogRecord]] = {}
    for number in generation.numbers():
        first, end = await log.bounds(number)
        found[number] = [record async for batch in log.read(number, first, end) for record in batch] if end else []
    return found


async def test_a_log_is_copied_sealed_and_goes_on(kafka: str, tmp_path: Path) -> None:
    await fill(kafka)
    await check_generation(kafka, FIRST)
    with pytest.raises(GenerationMissing, match="no generation 2"):
        await check_generation(kafka, SECOND)
    await close_log(kafka, FIRST)
    async with producing(kafka) as producer:
        for number in FIRST.numbers():
            with pytest.raises(MessageSizeTooLargeError):
                await producer.send_and_wait(topics.FEEDBACK, TICK, partition=number)
    await make_generation(kafka, SECOND)
    async with KafkaTarget(kafka, SECOND) as target:  # a copy that is cut short
        await target.append(topics.FEEDBACK, 0, 1_000, b"team-1", b"{}")
    assert await generations(kafka) == [Found(FIRST, True), Found(SECOND, False)]
    with pytest.raises(LogMismatch, match="not a whole log yet"):
        await check_log(kafka, SECOND)
    for generation in (FIRST, SECOND):
        with pytest.raises((LogMoved, GenerationMissing)):
            await check_generation(kafka, generation)

    await close_log(kafka, FIRST)
    await make_generation(kafka, SECOND)
    log = log_of(kafka, FIRST)
    seen = await look(log, FIRST, lambda *_: None)
    async with KafkaTarget(kafka, SECOND) as target:
        copied = await copy_log(log, FIRST, SECOND, target, seen, lambda *_: None)
        texts = await copy_people(log_of(kafka, FIRST, topics.PEOPLE), FIRST, SECOND, target, lambda *_: None)
    assert (copied.records, copied.commands, texts) == (300, 1, 299)
    held = await everything(log_of(kafka, SECOND), SECOND)
    assert {number: len(records) for number, records in held.items()} == copied.partitions
    was = {record.value: record.timestamp for part in (await everything(log, FIRST)).values() for record in part}
    for record in (record for records in held.values() for record in records if record.key is not None):
        assert record.timestamp == appended_ms(record) == was[record.value]
    before = await facts_of(log, FIRST, seen.known_ms, tmp_path, seen.incomplete, lambda *_: None)
    after = await facts_of(log_of(kafka, SECOND), SECOND, seen.known_ms, tmp_path, lambda _: (), lambda *_: None)
    assert all(team.equal for team in compared(before, after))
    assert sum(facts.erased for facts in after.values()) > 5

    await seal(kafka, SECOND)
    assert await generations(kafka) == [Found(FIRST, True), Found(SECOND, True)]
    await check_log(kafka, SECOND)
    await check_generation(kafka, SECOND)
    with pytest.raises(LogMoved, match="PULSE_GENERATION=2 and PULSE_PARTITIONS=5"):
        await check_generation(kafka, FIRST)
    async with producing(kafka) as producer:
        appended = await producer.send_and_wait(SECOND.topic(topics.FEEDBACK), TICK, partition=4)
    assert appended.timestamp_type == LOG_APPEND_TIME
    assert len(await drop_generation(kafka, SECOND)) == len(topics.TOPICS)
    await reopen_log(kafka, FIRST)
    await check_generation(kafka, FIRST)
    async with producing(kafka) as producer:
        assert await producer.send_and_wait(topics.FEEDBACK, TICK, partition=0)


async def test_a_door_that_is_still_open_takes_nothing_more_and_says_why(kafka: str) -> None:
    publisher = KafkaPublisher(kafka, 5.0)
    keeping = asyncio.create_task(publisher.keep())
    try:
        await told(publisher, None)
        await close_log(kafka, FIRST)
        answer = Answer(str(uuid.uuid4()), 9, "c")
        outgoing = Outgoing(answer.response_id, b"team-1", FIRST.partition_of(b"team-1"), msgspec.json.encode(answer))
        with pytest.raises(NotHeld):
            await publisher.publish(outgoing)
        await told(publisher, "the log is closed: a repartition has begun")
        await make_generation(kafka, SECOND)
        await told(publisher, "feedback.v1 is closed, feedback.v1.g2 is there or being made")
        await drop_generation(kafka, SECOND)
        await reopen_log(kafka, FIRST)
        await told(publisher, None)
        assert await publisher.publish(outgoing)
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        await publisher.close()


async def told(publisher: KafkaPublisher, reason: str | None) -> None:
    """Wait until the door gives a reason that begins like this; None: until it takes answers."""

    async def says() -> bool:
        found = publisher.refusal()
        return found is None if reason is None else (found or "").startswith(reason)

    await until(says, 30, f"{reason}, not {publisher.refusal()}")
