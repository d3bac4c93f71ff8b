"""The topics of the log's generations on a broker: which there are, closing one, making the next.

A log that is closed takes no record from anybody: `max.message.bytes` of its topic is 1, and a producer is refused for
good. A generation that is being made takes the times its records are given (`CreateTime`); it is whole, and services
begin with it, when the broker stamps records itself (`schemas.topics.SEALED`). So where a repartition stands is written
in the topics themselves, and one that was cut short is thrown away and made again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, for_code
from msgspec.structs import replace

from deploy.errors import EngineUnavailable, GenerationMissing, LogMoved, TopicRefused
from deploy.topics import SET_ON_TOPIC, WITHIN_S, admin_of, delete_topics, migrate_topics
from schemas.feedback import Tick
from schemas.generations import Generation, later_generations
from schemas.topics import FEEDBACK, SEALED

_LIMIT: Final = "max.message.bytes"
_TICK: Final = msgspec.json.encode(Tick())
_LOOK_S: Final = 0.1
_STAMPED: Final = 1  # timestamp type of a record whose time is the broker's
_LONG_PAST: Final = 1


@dataclass(frozen=True, slots=True)
class Found:
    """A generation whose log a broker has. `whole`: it is not being copied to any more."""

    generation: Generation
    whole: bool


async def generations(bootstrap: str) -> list[Found]:
    """The generations there are, ascending; none on a fresh broker. Raises EngineUnavailable."""
    async with admin_of(bootstrap) as admin:
        there = set(await admin.list_topics())
        numbers = [1] * (FEEDBACK in there) + later_generations(there, Generation())
        found = []
        for number in numbers:
            topic = Generation(number).topic(FEEDBACK)
            (described,) = await admin.describe_topics([topic])
            settings = await _settings(admin, topic)
            whole = number == 1 or settings.get(SEALED[0], ("",))[0] == SEALED[1]
            found.append(Found(Generation(number, len(described["partitions"])), whole))
        return found


async def check_generation(bootstrap: str, generation: Generation) -> None:
    """Refuse a generation that the log has left, and one that nobody has made: it would begin with an empty log.

    Raises:  LogMoved, GenerationMissing, EngineUnavailable.
    """
    found = await generations(bootstrap)
    later = [one for one in found if one.generation.number > generation.number]
    if later:
        raise LogMoved(generation, later[-1].generation, whole=later[-1].whole)
    if generation.number > 1 and not any(one.generation.number == generation.number and one.whole for one in found):
        raise GenerationMissing(generation)


async def close_log(bootstrap: str, generation: Generation) -> None:
    """Let no record into a log any more. Raises EngineUnavailable, TopicRefused."""
    await _alter(bootstrap, generation, {_LIMIT: "1"})
    await _tried(bootstrap, generation, lambda held: held is None)


async def reopen_log(bootstrap: str, generation: Generation) -> None:
    """Let records in again. Raises EngineUnavailable, TopicRefused."""
    await _alter(bootstrap, generation, {}, without=(_LIMIT,))
    await _tried(bootstrap, generation, lambda held: held is not None)


async def seal(bootstrap: str, generation: Generation) -> None:
    """Say that a generation is whole. Raises EngineUnavailable, TopicRefused."""
    await _alter(bootstrap, generation, dict([SEALED]))
    await _tried(bootstrap, generation, lambda held: held is not None and held.timestamp_type == _STAMPED)


async def _tried(bootstrap: str, generation: Generation, done: Callable[[Any], bool]) -> None:
    """Return when every partition treats a tick as it shall: a setting takes a moment to get to all brokers.

    `done`: of what the broker says of the tick, None where it refused it. Ticks that come in change nothing; the time
    they bring is long past.
    """
    topic = generation.topic(FEEDBACK)
    deadline = time.monotonic() + WITHIN_S
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all")
    try:
        await producer.start()
        for number in generation.numbers():
            while True:
                try:
                    held = await producer.send_and_wait(topic, _TICK, partition=number, timestamp_ms=_LONG_PAST)
                except MessageSizeTooLargeError:
                    held = None
                if done(held):
                    break
                if time.monotonic() > deadline:
                    raise EngineUnavailable("kafka", bootstrap, WITHIN_S)
                await asyncio.sleep(_LOOK_S)
    except (KafkaError, OSError) as error:
        raise EngineUnavailable("kafka", bootstrap, 0) from error
    finally:
        await producer.stop()


async def make_generation(bootstrap: str, generation: Generation) -> None:
    """Make the topics of a generation, empty; what a repartition that was cut short has left of them goes.

    Raises:  EngineUnavailable, TopicRefused.
    """
    await drop_generation(bootstrap, generation)
    feedback = generation.topic(FEEDBACK)
    topics = [
        replace(topic, config={**topic.config, SEALED[0]: "CreateTime"}) if topic.name == feedback else topic
        for topic in generation.topics()
    ]
    await migrate_topics(bootstrap, topics)


async def drop_generation(bootstrap: str, generation: Generation) -> list[str]:
    """Delete the topics of a generation, and return when the broker no longer has them: their names.

    Raises:  EngineUnavailable, TopicRefused.
    """
    return await delete_topics(bootstrap, [topic.name for topic in generation.topics()])


async def _settings(admin: AIOKafkaAdminClient, topic: str) -> Mapping[str, tuple[str, int]]:
    """Name → (value, where it was set) of a topic's settings."""
    (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    ((code, message, _, _, entries),) = answer.resources
    if code:
        raise TopicRefused(topic, f"{for_code(code).__name__} {message or ''}".rstrip())
    return {entry[0]: (entry[1], entry[3]) for entry in entries}


async def _alter(
    bootstrap: str, generation: Generation, wanted: Mapping[str, str], without: Sequence[str] = ()
) -> None:
    """Set some of a log's own settings, and take some away; the others stay."""
    topic = generation.topic(FEEDBACK)
    async with admin_of(bootstrap) as admin:
        settings = await _settings(admin, topic)
        own = {name: value for name, (value, source) in settings.items() if source == SET_ON_TOPIC}
        kept = {name: value for name, value in own.items() if name not in without}
        (answer,) = await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {**kept, **wanted})])
        for code, message, _, name in answer.resources:
            if code:
                raise TopicRefused(name, f"{for_code(code).__name__} {message or ''}".rstrip())
