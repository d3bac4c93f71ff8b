"""Fetches from a real broker: a partition that is behind comes on while the others have nothing new."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from schemas.topics import FEEDBACK
from tests.engines import Engines
from tests.unit.worker.fetches import off_the_wire

pytestmark = [pytest.mark.real, pytest.mark.timeout(60)]

FETCHES = 12
LONGEST_WAIT_MS = 5_000
VALUE = b"x" * 1_000


@pytest.fixture(autouse=True)
def fetches_come_whole() -> Iterator[None]:
    with off_the_wire():
        yield


async def test_one_partition_that_is_behind_does_not_wait_for_the_others_to_get_something(engines: Engines) -> None:
    engines.topics(anew=True)
    behind, *quiet = (TopicPartition(FEEDBACK, number) for number in range(3))
    async with AIOKafkaProducer(bootstrap_servers=engines.kafka, max_batch_size=len(VALUE)) as producer:
        for _ in range(FETCHES):
            await producer.send_and_wait(FEEDBACK, VALUE, partition=behind.partition)
    reading = AIOKafkaConsumer(
        bootstrap_servers=engines.kafka,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=len(VALUE),  # a record a fetch
        fetch_max_wait_ms=LONGEST_WAIT_MS,
    )
    await reading.start()
    try:
        reading.assign([behind, *quiet])
        found = 0
        # Had each fetch to wait until the others had been asked for long, this would be a minute.
        async with asyncio.timeout(FETCHES * LONGEST_WAIT_MS / 1000 / 3):
            while found < FETCHES:
                fetches = (await reading.getmany(timeout_ms=1_000)).values()
                found += sum(len(list(fetch.records())) for of_partition in fetches for fetch in of_partition)
                await asyncio.sleep(0.15)  # longer than aiokafka waits for it to be consumed before it asks for others
    finally:
        await reading.stop()
