"""What the readers of Kafka share."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from schemas.generations import Generation

log = structlog.get_logger()

# For a reader that nobody waits for: a fetch, and a commit, four times a second and not with every record.
UNHURRIED: Final[Mapping[str, int]] = {"fetch_min_bytes": 64 << 10, "fetch_max_wait_ms": 250}

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


class Backlog:
    """What stood in some partitions when reading them began, as far as it has not been read."""

    def __init__(self, consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition]) -> None:
        self._consumer = consumer
        self._partitions = partitions
        self._left: dict[TopicPartition, int] | None = None

    async def is_read(self) -> bool:
        """Whether nothing is left of it. The first call, when every partition has its position, says what stood."""
        if self._left is None:
            ends = await self._consumer.end_offsets(self._partitions)
            self._left = {partition: end for partition, end in ends.items() if end}
        for partition in [*self._left]:
            if await self._consumer.position(partition) >= self._left[partition]:
                del self._left[partition]
        return not self._left


def partitions_of(topic: str, generation: Generation) -> list[TopicPartition]:
    """All partitions of a topic of ours."""
    return [TopicPartition(generation.topic(topic), number) for number in generation.numbers()]
