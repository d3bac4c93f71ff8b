"""Kafka and ClickHouse: reachable, and with the topics and tables they must have."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Sequence
from importlib.resources import files
from typing import Final
from urllib.parse import urlsplit

import aiohttp
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError

from deploy.errors import DeployError
from deploy.generations import generations
from deploy.local.probes import kafka_answers
from schemas.generations import FIRST, Generation
from schemas.topics import Topic
from services.cli.doctor.findings import Finding, bad, ok, warn

ANSWER_S: Final = 10.0
_MIGRATES: Final = "pulse up makes and migrates them: restart it"


async def kafka(bootstrap: str, generation: Generation = FIRST) -> list[Finding]:
    """Whether Kafka answers and every topic is as declared."""
    if not await kafka_answers(bootstrap):
        return [bad("kafka", f"{bootstrap} does not answer", "see logs/kafka.log, or the cluster it belongs to")]
    answers = ok("kafka", f"answers at {bootstrap}")
    left: list[Finding] = []
    try:
        async with asyncio.timeout(ANSWER_S):
            wrong = await _wrong_topics(bootstrap, generation.topics())
            left = _others(generation, [one.generation for one in await generations(bootstrap)])
    except (KafkaError, DeployError, OSError, TimeoutError) as error:
        wrong = [f"cannot be read ({type(error).__name__})"]
    return [answers, bad("topics", "; ".join(wrong), _MIGRATES) if wrong else ok("topics", "all as declared"), *left]


def _others(generation: Generation, found: Sequence[Generation]) -> list[Finding]:
    """Generations of the log that are there beside the one in use."""
    later = [one for one in found if one.number > generation.number]
    earlier = [one for one in found if one.number < generation.number]
    if later:
        what = f"generation {later[-1].number} of the log is there, and closed to this one"
        return [bad("generation", what, "docs/operations/repartition.md says which settings to use")]
    if earlier:
        what = f"the topics of generation {earlier[-1].number} hold texts that no erasure reaches"
        return [warn("generation", what, "when all is well, run pulse repartition --drop-old")]
    return []


async def _wrong_topics(bootstrap: str, topics: Sequence[Topic]) -> list[str]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        there = set(await admin.list_topics())
        wrong = [f"{topic.name} is missing" for topic in topics if topic.name not in there]
        present = [topic for topic in topics if topic.name in there]
        described = await admin.describe_topics([topic.name for topic in present])
        counts = {topic["topic"]: len(topic["partitions"]) for topic in described}
        wrong += [
            f"{topic.name} has {counts[topic.name]} partitions, not {topic.partitions}"
            for topic in present
            if counts[topic.name] != topic.partitions
        ]
        resources = [ConfigResource(ConfigResourceType.TOPIC, topic.name) for topic in present]
        answers = await admin.describe_configs(resources)
        settings = {
            name: {entry[0]: entry[1] for entry in entries}
            for answer in answers
            for _, _, _, name, entries in answer.resources
        }
        wrong += [
            f"{topic.name} has {key}={settings[topic.name].get(key)}, not {value}"
            for topic in present
            for key, value in topic.config.items()
            if settings[topic.name].get(key) != value
        ]
    finally:
        await admin.close()
    return wrong


def declared_tables() -> set[str]:
    """Names of the tables that the migrations make."""
    folder = files("deploy") / "clickhouse"
    statements = [entry.read_text(encoding="utf-8") for entry in folder.iterdir() if entry.name.endswith(".sql")]
    return {name for text in statements for name in re.findall(r"CREATE TABLE IF NOT EXISTS (\w+)", text)}


async def clickhouse(url: str) -> list[Finding]:
    """Whether ClickHouse answers and has every table."""
    shown = urlsplit(url)._replace(netloc=urlsplit(url).netloc.rpartition("@")[2]).geturl()
    declared = declared_tables()
    try:
        missing = sorted(declared - set(await _tables(url)))
    except (aiohttp.ClientConnectionError, OSError, TimeoutError):
        return [bad("clickhouse", f"{shown} does not answer", "see logs/clickhouse.log, or the cluster it belongs to")]
    except aiohttp.ClientResponseError as error:
        return [bad("clickhouse", f"{shown} answers {error.status}", "check the user and password in its address")]
    answers = ok("clickhouse", f"answers at {shown}")
    if missing:
        return [answers, bad("tables", f"missing: {', '.join(missing)}", _MIGRATES)]
    return [answers, ok("tables", f"all {len(declared)} there")]


async def _tables(url: str) -> Iterable[str]:
    parts = urlsplit(url)
    login = aiohttp.encode_basic_auth(parts.username, parts.password or "") if parts.username else None
    database = parts.path.strip("/") or "default"
    address = f"{parts.scheme}://{parts.hostname}:{parts.port or 8123}/"
    timeout = aiohttp.ClientTimeout(total=ANSWER_S)
    async with (
        aiohttp.ClientSession(timeout=timeout, headers={"Authorization": login} if login else None) as session,
        session.post(address, params={"database": database}, data="SHOW TABLES FORMAT TSV") as answer,
    ):
        answer.raise_for_status()
        return (await answer.text()).split()
