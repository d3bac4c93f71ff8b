"""Both ends of alerts for tests: records into Kafka, and a receiver of webhooks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web
from aiohttp.test_utils import TestServer
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from standardwebhooks import Webhook

from schemas.changes import Position
from schemas.followups import FollowupEvent
from schemas.people import Person, person_key
from schemas.policies import TeamPolicy
from schemas.topics import FOLLOWUPS, PARTITIONS, PEOPLE, TEAM_POLICIES, partition_of
from services.alerts.flow import GROUP
from tests.unit.alerts.builders import SECRET

Answer = Callable[[int], web.StreamResponse]


class Receiver:
    """A webhook's other end. `answer` is given the count of messages so far; a `hold` keeps answers back."""

    def __init__(self, answer: Answer = lambda _: web.Response(status=204), port: int | None = None) -> None:
        self.answer = answer
        self.came: list[tuple[float, dict[str, str], bytes]] = []
        self.hold = asyncio.Event()
        self.hold.set()
        app = web.Application()
        app.router.add_post("/hook", self._take)
        self._server = TestServer(app, port=port)

    async def _take(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.came.append((time.monotonic(), dict(request.headers), body))
        count = len(self.came)
        await self.hold.wait()
        return self.answer(count)

    async def __aenter__(self) -> Receiver:
        await self._server.start_server()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.hold.set()
        await self._server.close()

    @property
    def url(self) -> str:
        return str(self._server.make_url("/hook"))

    @property
    def port(self) -> int:
        port = self._server.port
        assert port is not None
        return port

    def ids(self) -> list[str]:
        """webhook-id of each message, in the order of arrival; every one verified."""
        for _, headers, body in self.came:
            Webhook(SECRET).verify(body, headers)
        return [headers["webhook-id"] for _, headers, _ in self.came]

    def data(self, event: FollowupEvent) -> dict[str, Any]:
        (body,) = {body for _, headers, body in self.came if headers["webhook-id"] == event.event_id}
        data: dict[str, Any] = msgspec.json.decode(body)["data"]
        return data


async def publish(kafka: str, events: Iterable[FollowupEvent | Position | bytes]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=kafka, acks="all")
    await producer.start()
    try:
        for event in events:
            value = event if isinstance(event, bytes) else msgspec.json.encode(event)
            key = event.case.team.encode() if isinstance(event, FollowupEvent) else None
            partition = partition_of(key) if key else 0
            await producer.send_and_wait(FOLLOWUPS, value, key, partition)
    finally:
        await producer.stop()


async def write_person(kafka: str, person: Person, value: bytes | None = None) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=kafka, acks="all")
    await producer.start()
    key = person_key(person.team, person.response_id)
    await producer.send_and_wait(PEOPLE, value, key, partition_of(key))
    await producer.stop()


async def write_policy(kafka: str, policy: TeamPolicy) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=kafka, acks="all")
    await producer.start()
    key = policy.team.encode()
    await producer.send_and_wait(TEAM_POLICIES, msgspec.json.encode(policy), key, partition_of(key))
    await producer.stop()


async def committed(kafka: str) -> int:
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, group_id=GROUP, enable_auto_commit=False)
    await consumer.start()
    offsets = [await consumer.committed(TopicPartition(FOLLOWUPS, number)) for number in range(PARTITIONS)]
    await consumer.stop()
    return sum(offset or 0 for offset in offsets)


def everything_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())
