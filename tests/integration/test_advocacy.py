"""Promoters who agreed to be asked, on the real Kafka: from a change of an answer to a signed message."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from pydantic import SecretStr
from standardwebhooks import Webhook

from schemas.changes import AnswerChange, TeamChanges
from schemas.feedback import Policy
from schemas.policies import TeamPolicy
from schemas.topics import TEAM_CHANGES, partition_of
from services.alerts.advocacy.reader import GROUP
from services.alerts.app import Alerts, opened
from services.common.settings import AlertsSettings
from tests.engines import Engines
from tests.unit.alerts.builders import SECRET, now_ms, until
from tests.unit.alerts.wire import Receiver, write_policy

pytestmark = pytest.mark.real

TEAM = "support"


def change(version: int, score: int, number: int = 1, locale: str = "da") -> bytes:
    came_with: dict[str, Any] = {"locale": locale, "attributes": {"consent": "testimonial"}}
    answer = AnswerChange(str(uuid.UUID(int=number)), version, 1, now_ms(), 1, score, **came_with)
    return msgspec.json.encode(TeamChanges(TEAM, answers=[answer]))


@asynccontextmanager
async def reading(alerts: Alerts) -> AsyncIterator[None]:
    """What is said is said, and what changes is read; follow-ups are not."""
    runs = [alerts.alarms.run, alerts.advocacy.run, *(tail.run for tail in alerts.tails)]
    tasks = [asyncio.create_task(run()) for run in runs]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def committed(kafka: str) -> int | None:
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, group_id=GROUP, enable_auto_commit=False)
    await consumer.start()
    try:
        offset: int | None = await consumer.committed(TopicPartition(TEAM_CHANGES, partition_of(TEAM.encode())))
        return offset
    finally:
        await consumer.stop()


async def test_a_promoter_who_agreed_is_told_once_and_taken_back(engines: Engines, tmp_path: Path) -> None:
    engines.topics(anew=True)
    config = {"targets": ["nobody"], "routes": [{"scores": [9], "languages": ["da"], "to": ["webhook"]}]}
    await write_policy(engines.kafka, TeamPolicy(TEAM, 1, 0, Policy("rev", config=config)))
    async with Receiver() as receiver, AIOKafkaProducer(bootstrap_servers=engines.kafka) as producer:
        place = AlertsSettings(
            kafka=engines.kafka,
            clickhouse=SecretStr(engines.clickhouse),
            alerts_dir=tmp_path / "alerts",
            alerts_allow=("127.0.0.1",),
            alerts_webhook_url=receiver.url,
            alerts_webhook_secret=SecretStr(SECRET),
            alarms_false_share=0,
        )

        async def send(value: bytes) -> None:
            await producer.send_and_wait(TEAM_CHANGES, value, TEAM.encode(), partition_of(TEAM.encode()))

        async with opened(place) as alerts, reading(alerts):
            await send(b"junk")
            await send(change(1, 9, 2, "de"))  # for whom no route asks
            await send(change(1, 9))
            await send(change(1, 9))
            await until(lambda: receiver.came)
            await until(lambda: _has_come(engines.kafka, 4))
        async with opened(place) as alerts, reading(alerts):
            await send(change(2, 6))
            await until(lambda: len(receiver.came) == 2)
    told = [Webhook(SECRET).verify(body, headers) for _, headers, body in receiver.came]
    assert [one["type"] for one in told] == ["advocacy.raised", "advocacy.withdrawn"]
    assert told[0]["data"]["response_id"] == told[1]["data"]["response_id"] == str(uuid.UUID(int=1))
    assert len(set(receiver.ids())) == 2


async def _has_come(kafka: str, offset: int) -> bool:
    return await committed(kafka) == offset
