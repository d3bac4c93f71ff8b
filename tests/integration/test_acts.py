"""What people do with cases, on its way to a broker that is killed: refused with a time to come again, or held."""

from __future__ import annotations

import asyncio
import os
import signal
import time
import uuid
from collections.abc import Iterable

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas.feedback import Act
from schemas.people import person_key
from schemas.topics import FEEDBACK, PARTITIONS, PEOPLE
from services.common.acts import KafkaActs
from services.common.problems import Unavailable
from tests.engines import Engines
from tests.unit.alerts.builders import until

pytestmark = [pytest.mark.real, pytest.mark.timeout(120)]

TEAM = "support"
PEOPLE_AT_WORK = 8


def act() -> Act:
    return Act(str(uuid.uuid4()), str(uuid.uuid4()), "note", "kim", note=str(uuid.uuid4()))


async def everything(kafka: str, topic: str) -> list[tuple[bytes | None, bytes | None]]:
    """Key and value of each record of a topic."""
    partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, enable_auto_commit=False, auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign(partitions)
        await consumer.seek_to_beginning()
        ends = await consumer.end_offsets(partitions)
        found: list[tuple[bytes | None, bytes | None]] = []
        while any([await consumer.position(partition) < end for partition, end in ends.items()]):
            batches = await consumer.getmany(timeout_ms=500)
            found += [(record.key, record.value) for records in batches.values() for record in records]
        return found
    finally:
        await consumer.stop()


def ids(records: Iterable[tuple[bytes | None, bytes | None]]) -> list[str]:
    return [msgspec.json.decode(value or b"", type=Act).command_id for _, value in records]


async def test_what_was_acknowledged_is_in_the_log_whatever_became_of_the_broker_meanwhile(engines: Engines) -> None:
    engines.topics(anew=True)
    acts = KafkaActs(engines.kafka)
    acknowledged: list[Act] = []
    refusals: list[tuple[float, int | None]] = []
    stop = asyncio.Event()

    async def somebody() -> None:
        """Does one thing after the other; what is refused is done again when it is time."""
        while not stop.is_set():
            one = act()
            while one not in acknowledged:
                began_s = time.monotonic()
                try:
                    await acts.publish(TEAM, one, "Wants a refund.")
                except Unavailable as error:
                    refusals.append((time.monotonic() - began_s, error.retry_after_s))
                    await asyncio.sleep(error.retry_after_s or 0)
                else:
                    acknowledged.append(one)
            await asyncio.sleep(0.01)

    async def more() -> None:
        """Until two more acts for each of them are acknowledged."""
        goal = len(acknowledged) + 2 * PEOPLE_AT_WORK
        await until(lambda: len(acknowledged) >= goal, 30)

    async with asyncio.TaskGroup() as at_work:
        for _ in range(PEOPLE_AT_WORK):
            at_work.create_task(somebody())
        await more()
        refusals.clear()  # while the new topics had no leader yet
        engines.kafka_engine.kill()
        await until(lambda: refusals, 10)
        engines.kafka_engine.start()
        await asyncio.to_thread(engines.kafka_engine.wait)
        await more()
        stop.set()
    await acts.close()

    assert all(within_s < 4 and after_s for within_s, after_s in refusals)
    held = ids(await everything(engines.kafka, FEEDBACK))
    assert {one.command_id for one in acknowledged} <= set(held)
    assert set(held) <= {one.command_id for one in acknowledged}  # each was done again until it was taken
    texts = {key for key, _ in await everything(engines.kafka, PEOPLE)}
    assert {person_key(TEAM, one.note or "") for one in acknowledged} <= texts


async def test_an_act_with_time_left_is_held_though_an_earlier_one_gave_up_and_took_the_connection_along(
    engines: Engines,
) -> None:
    engines.topics(anew=True)
    acts = KafkaActs(engines.kafka, within_s=2.0)
    await acts.publish(TEAM, act())
    os.kill(engines.kafka_engine.pid, signal.SIGSTOP)
    try:
        early, late = act(), act()
        gives_up = asyncio.create_task(acts.publish(TEAM, early))
        await asyncio.sleep(1.0)
        has_time = asyncio.create_task(acts.publish(TEAM, late))
        with pytest.raises(Unavailable):
            await gives_up
    finally:
        os.kill(engines.kafka_engine.pid, signal.SIGCONT)
    await has_time
    await acts.close()

    assert late.command_id in ids(await everything(engines.kafka, FEEDBACK))
