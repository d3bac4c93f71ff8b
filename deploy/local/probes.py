"""Does it answer? One question each to Kafka, ClickHouse and our services, and waiting until the answer is yes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import aiohttp
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from deploy.errors import EngineUnavailable

POLL_S = 0.1
ANSWER_S = 5.0


async def kafka_answers(bootstrap: str) -> bool:
    """A broker of `bootstrap` names at least one broker that serves clients."""
    client = AIOKafkaClient(bootstrap_servers=bootstrap, request_timeout_ms=int(ANSWER_S * 1000))
    try:
        # Asked first: an aiokafka client logs a line for every refused connection.
        if not await _listens(bootstrap.split(",")[0]):
            return False
        await client.bootstrap()
        return bool(client.cluster.brokers())
    except (KafkaError, OSError, TimeoutError):
        return False
    finally:
        await client.close()


async def clickhouse_answers(url: str) -> bool:
    """`SELECT 1` works: not only the door, the engine behind it. `url` may name a user, a password, a database."""
    parts = urlsplit(url)
    login = aiohttp.encode_basic_auth(parts.username, parts.password or "") if parts.username else None
    address = f"{parts.scheme}://{parts.hostname}:{parts.port or 8123}/"
    try:
        timeout = aiohttp.ClientTimeout(total=ANSWER_S)
        async with (
            aiohttp.ClientSession(timeout=timeout, headers={"Authorization": login} if login else {}) as session,
            session.post(address, data="SELECT 1") as answer,
        ):
            return answer.status == 200 and (await answer.text()).strip() == "1"
    except (aiohttp.ClientError, OSError, TimeoutError):
        return False


async def service_ready(url: str) -> bool:
    """`GET /readyz` of a service gives 200."""
    try:
        timeout = aiohttp.ClientTimeout(total=ANSWER_S)
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(f"{url}/readyz") as answer:
            return answer.status == 200
    except (aiohttp.ClientError, OSError, TimeoutError):
        return False


async def until(question: Callable[[], Awaitable[bool]], name: str, address: str, within_s: float) -> None:
    """Ask until the answer is yes. Raises EngineUnavailable after `within_s` seconds."""
    deadline = time.monotonic() + within_s
    while not await question():
        if time.monotonic() > deadline:
            raise EngineUnavailable(name, address, within_s)
        await asyncio.sleep(POLL_S)


async def _listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(host, int(port)), ANSWER_S)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
