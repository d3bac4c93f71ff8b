"""What the two readers of Kafka share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from schemas.topics import PARTITIONS

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


def partitions_of(topic: str) -> list[TopicPartition]:
    """All partitions of a topic of ours."""
    return [TopicPartition(topic, number) for number in range(PARTITIONS)]
