"""What the two readers of Kafka share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError

log = structlog.get_logger()

_REST_S: Final = 1.0


async def kept_up(read: Callable[[], Awaitable[None]], topic: str) -> None:
    """Run `read` again and again: what Kafka does to it is an outage. Any other exception leaves."""
    while True:
        try:
            await read()
        except KafkaError as error:
            log.warning("topic_unreachable", topic=topic, error=type(error).__name__)
            await asyncio.sleep(_REST_S)


async def partitions_of(consumer: AIOKafkaConsumer, topic: str) -> list[TopicPartition]:
    """All partitions of a topic. Raises UnknownTopicOrPartitionError, an outage like another, until it is made."""
    await consumer.topics()  # asks the broker: metadata of a topic not subscribed to is not held
    numbers = consumer.partitions_for_topic(topic)
    if not numbers:
        raise UnknownTopicOrPartitionError(topic)
    return [TopicPartition(topic, number) for number in sorted(numbers)]
