"""A real Kafka of a benchmark's own, on the cores that are not measured, with the topics of the product."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import GroupCoordinatorNotAvailableError

from benchmarks.machine import ended, pinned, plain_environment
from deploy.local.ports import free_base, ports_of
from deploy.local.probes import kafka_answers, until
from schemas import topics

END_WITHIN_S = 30.0
START_WITHIN_S = 120.0  # the very first start fetches the jars


@contextmanager
def broker(folder: Path, core: str) -> Iterator[str]:
    """Start Kafka with its data in `folder`, make the topics, and end it again. Gives its address."""
    ports = ports_of(free_base(), workers=0)
    address = f"127.0.0.1:{ports['kafka']}"
    command = [
        *(sys.executable, "-m", "deploy.local.kafka", "--data", str(folder)),
        *("--port", str(ports["kafka"]), "--controller-port", str(ports["kafka-controller"])),
    ]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "kafka.log").open("wb") as log:
        process = subprocess.Popen(pinned(core, command), stdout=log, stderr=subprocess.STDOUT, env=plain_environment())
        with ended(process, END_WITHIN_S):
            asyncio.run(until(partial(kafka_answers, address), "kafka", address, START_WITHIN_S))
            asyncio.run(_create_topics(address))
            yield address


async def _create_topics(kafka: str) -> None:
    await _create(
        kafka, [NewTopic(topic.name, topic.partitions, 1, topic_configs=topic.config) for topic in topics.TOPICS]
    )


async def create_compacted(kafka: str, names: Iterable[str]) -> None:
    """Topics that somebody keeps a table in, with as many partitions as the log."""
    config = {"cleanup.policy": "compact"}
    await _create(kafka, [NewTopic(name, topics.PARTITIONS, 1, topic_configs=config) for name in names])


async def _create(kafka: str, new: list[NewTopic]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        await admin.create_topics(new)
    finally:
        await admin.close()


def feedback_partitions() -> list[TopicPartition]:
    """The partitions of the log."""
    return [TopicPartition(topics.FEEDBACK, number) for number in range(topics.PARTITIONS)]


async def log_ends(kafka: str) -> dict[TopicPartition, int]:
    """Offset of the next record of each partition of the log."""
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka)
    await consumer.start()
    try:
        return dict(await consumer.end_offsets(feedback_partitions()))
    finally:
        await consumer.stop()


async def rewind(kafka: str, group: str, within_s: float = 60) -> None:
    """Commit 0 for every partition once the broker has forgotten the group's last member.

    Raises:  TimeoutError when it does not; a static member is forgotten after its session timeout.
    """
    deadline = time.monotonic() + within_s
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        while (state := await _group_state(admin, group)) != "Empty":
            if time.monotonic() > deadline:
                raise TimeoutError(f"the group {group} is still {state} after {within_s:.0f} s")
            await asyncio.sleep(0.2)
    finally:
        await admin.close()
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, group_id=group, enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign(feedback_partitions())
        await consumer.commit(dict.fromkeys(feedback_partitions(), 0))
    finally:
        await consumer.stop()


async def _group_state(admin: AIOKafkaAdminClient, group: str) -> str:
    try:
        return str((await admin.describe_consumer_groups([group]))[0].groups[0][2])
    except GroupCoordinatorNotAvailableError:  # the broker is busy, or no group has ever been there
        return "unknown"
