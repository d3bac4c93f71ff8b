"""What everybody needs who writes to the log: is it the right one, and how a producer is ended without waiting."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from schemas.generations import Generation, later_generations
from schemas.topics import FEEDBACK, PEOPLE

STOP_S: Final = 3.0

log = structlog.get_logger()


class WrongTopic(Exception):
    """A topic is not what this generation of the log needs; only an operator can mend that."""


class LogMoved(KafkaError):  # type: ignore[misc]  # aiokafka ships no types
    """The log goes on in a later generation: nothing more may come into this one."""


async def check_topics(producer: AIOKafkaProducer, generation: Generation) -> None:
    """Raises WrongTopic for another partition count, LogMoved when a later generation of the log is there, and another
    KafkaError, so that we try again, while a topic is missing."""
    cluster = await producer.client.fetch_all_metadata()
    later = later_generations(cluster.topics(), generation)
    if later:
        raise LogMoved(
            f"{generation.topic(FEEDBACK)} is closed, {FEEDBACK}.g{later[-1]} is there or being made: start again with "
            f"PULSE_GENERATION={later[-1]} and its PULSE_PARTITIONS once `pulse repartition` has ended"
        )
    wanted = (generation.topic(FEEDBACK), generation.topic(PEOPLE))
    for topic in wanted:
        partitions = cluster.partitions_for_topic(topic)
        if partitions is None:
            raise KafkaError(f"topic {topic} is missing")
        if len(partitions) != generation.partitions:
            raise WrongTopic(
                f"topic {topic} has {len(partitions)} partitions; PULSE_PARTITIONS says {generation.partitions}, and "
                f"keys would move: set it to {len(partitions)}, or copy the log with `pulse repartition`"
            )
    await producer.client.set_topics(wanted)


async def stop(producer: AIOKafkaProducer) -> None:
    """Stop a producer without waiting for what it cannot deliver: left alone, its stop() would, for ever."""
    producer._message_accumulator.fail_all(KafkaError("given up"))  # noqa: SLF001 (there is no public way to give up)
    try:
        async with asyncio.timeout(STOP_S):
            await producer.stop()
    except (TimeoutError, KafkaError, KeyError) as error:  # KeyError: a batch it was about to retry is gone
        log.info("producer_stopped_hard", error=type(error).__name__)
    finally:
        await producer.client.close()
