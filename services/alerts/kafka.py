"""What the two readers of Kafka share."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from schemas.generations import Generation

log = structlog.get_logger()

_REST_S: Final = 1.0
_SAY_EVERY_S: Final = 30.0


async def kept_up(read: Callable[[], Awaitable[None]], topic: str) -> None:
    """Run `read` again and again: what Kafka does to it is an outage. Any other exception leaves."""
    said_s = -_SAY_EVERY_S
    while True:
        try:
            await read()
        except KafkaError as error:
            if time.monotonic() - said_s >= _SAY_EVERY_S:
                said_s = time.monotonic()
                log.warning("topic_unreachable", topic=topic, error=type(error).__name__)
            await asyncio.sleep(_REST_S)


def partitions_of(topic: str, generation: Generation) -> list[TopicPartition]:
    """All partitions of a topic of ours."""
    return [TopicPartition(generation.topic(topic), number) for number in generation.numbers()]
