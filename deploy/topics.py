"""Creates the topics of `schemas.topics` and keeps their settings as declared. The broker itself never makes one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from deploy.errors import EngineUnavailable, TopicMismatch, TopicRefused
from schemas.topics import TOPICS, Topic

WITHIN_S: Final = 30.0  # a broker does what its controller has decided
_LOOK_S: Final = 0.1
SET_ON_TOPIC: Final = 1  # Kafka's config source DYNAMIC_TOPIC_CONFIG: not inherited from the broker


@dataclass(frozen=True, slots=True)
class TopicChanges:
    """What a migration did, by topic name; both empty when everything was as declared."""

    created: tuple[str, ...]
    altered: tuple[str, ...]


async def migrate_topics(
    bootstrap: str, topics: Sequence[Topic] = TOPICS, *, replication: int | None = None, prefix: str = ""
) -> TopicChanges:
    """Create the topics that are missing and alter the settings that differ; settings we do not name stay.

    `replication`: replicas of a partition; by default three, or as many as there are brokers. A write needs all but
    one of them. `prefix` goes before every name. Returns when every partition has a leader. Doing it twice changes
    nothing.

    Raises: TopicMismatch, before anything is changed, when a topic has another partition count; TopicRefused;
    EngineUnavailable.
    """
    async with admin_of(bootstrap) as admin:
        if replication is None:
            replication = min(3, len((await admin.describe_cluster())["brokers"]))
        durable = {"min.insync.replicas": str(max(1, replication - 1))}
        wanted = {prefix + topic.name: (topic.partitions, {**topic.config, **durable}) for topic in topics}
        existing = await _partitions(admin, wanted)
        for name, found in existing.items():
            if found != wanted[name][0]:
                raise TopicMismatch(name, wanted[name][0], found)
        missing = [name for name in wanted if name not in existing]
        await _create(admin, {name: wanted[name] for name in missing}, replication)
        altered = await _alter(admin, {name: wanted[name][1] for name in existing})
        await _wait_for_leaders(admin, bootstrap, {name: partitions for name, (partitions, _) in wanted.items()})
    return TopicChanges(tuple(missing), altered)


async def delete_topics(bootstrap: str, names: Iterable[str]) -> list[str]:
    """Delete those of `names` that are there, and return when the broker no longer has them: their names.

    It lists them for up to a second after it has answered, and whoever finds them there makes no others.

    Raises:  EngineUnavailable, TopicRefused.
    """
    async with admin_of(bootstrap) as admin:
        there = sorted(set(names) & set(await admin.list_topics()))
        if not there:
            return []
        answer = await admin.delete_topics(there)
        for name, code, *_ in answer.topic_error_codes:
            if code:
                raise TopicRefused(name, for_code(code).__name__)
        deadline = time.monotonic() + WITHIN_S
        while set(there) & set(await admin.list_topics()):
            if time.monotonic() > deadline:
                raise EngineUnavailable("kafka", bootstrap, WITHIN_S)
            await asyncio.sleep(_LOOK_S)
    return there


@asynccontextmanager
async def admin_of(bootstrap: str) -> AsyncIterator[AIOKafkaAdminClient]:
    """An admin client for the length of a block. Raises EngineUnavailable for whatever Kafka does to it."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        await admin.start()
        yield admin
    except (KafkaError, OSError) as error:
        raise EngineUnavailable("kafka", bootstrap, 0) from error
    finally:
        await admin.close()


async def _partitions(admin: AIOKafkaAdminClient, names: Iterable[str]) -> dict[str, int]:
    """Partition count of each of `names` that exists. Asks for the list first: naming a topic may create it.

    One that is deleted meanwhile does not exist; its description says an error, and no partitions.
    """
    there = set(await admin.list_topics())
    asked = [name for name in names if name in there]
    described = await admin.describe_topics(asked) if asked else []
    return {topic["topic"]: len(topic["partitions"]) for topic in described if not topic["error_code"]}


async def _create(
    admin: AIOKafkaAdminClient, topics: Mapping[str, tuple[int, Mapping[str, str]]], replication: int
) -> None:
    if not topics:
        return
    answer = await admin.create_topics(
        [
            NewTopic(name, partitions, replication, topic_configs=dict(config))
            for name, (partitions, config) in topics.items()
        ]
    )
    for name, code, *message in answer.topic_errors:
        error = for_code(code)
        # Somebody else may be creating the same topics now: theirs are as good.
        if code and error is not TopicAlreadyExistsError:
            raise TopicRefused(name, f"{error.__name__} {message[0] if message else ''}".rstrip())


async def _alter(admin: AIOKafkaAdminClient, wanted: Mapping[str, Mapping[str, str]]) -> tuple[str, ...]:
    if not wanted:
        return ()
    changes = []
    answers = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in wanted])
    for code, message, _, name, entries in (resource for answer in answers for resource in answer.resources):
        if code:
            raise TopicRefused(name, f"{for_code(code).__name__} {message or ''}".rstrip())
        # Altering replaces all settings of the topic: those that others have set are sent along.
        own = {entry[0]: entry[1] for entry in entries if entry[3] == SET_ON_TOPIC}
        if own != {**own, **wanted[name]}:
            changes.append(ConfigResource(ConfigResourceType.TOPIC, name, {**own, **wanted[name]}))
    if changes:
        for answer in await admin.alter_configs(changes):
            for code, message, _, name in answer.resources:
                if code:
                    raise TopicRefused(name, f"{for_code(code).__name__} {message or ''}".rstrip())
    return tuple(change.name for change in changes)


async def _wait_for_leaders(admin: AIOKafkaAdminClient, bootstrap: str, wanted: Mapping[str, int]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while True:
        try:
            described = await admin.describe_topics(list(wanted))
            if all(
                not topic["error_code"]
                and len(topic["partitions"]) == wanted[topic["topic"]]
                and all(partition["leader"] >= 0 for partition in topic["partitions"])
                for topic in described
            ):
                return
        except KafkaError:
            pass  # the broker we asked is catching up
        if time.monotonic() > deadline:
            raise EngineUnavailable("kafka", bootstrap, WITHIN_S)
        await asyncio.sleep(_LOOK_S)
