"""Kafka, as `/v1/position` sees it: where the log ends, and how far the fold has committed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from schemas.generations import FIRST, Generation
from schemas.topics import FEEDBACK
from services.common.problems import Unavailable

log = structlog.get_logger()

WORKER_GROUP: Final = "pulse-worker"  # the fold's consumer group; its commits say that every output is acknowledged
_RETRY_S: Final = 0.2


@dataclass(slots=True)
class _Clients:
    consumer: AIOKafkaConsumer
    admin: AIOKafkaAdminClient

    async def close(self) -> None:
        await asyncio.gather(self.consumer.stop(), self.admin.close(), return_exceptions=True)


class Log:
    """Asks the broker. Raises `Unavailable` for an outage or after `timeout_s`; then starts over with new clients."""

    def __init__(self, bootstrap: str, timeout_s: float = 5.0, generation: Generation = FIRST) -> None:
        self._group = generation.group(WORKER_GROUP)
        topic = generation.topic(FEEDBACK)
        self._partitions = [TopicPartition(topic, number) for number in generation.numbers()]
        self._bootstrap = bootstrap
        self._timeout_s = timeout_s
        self._clients: _Clients | None = None
        self._asking = asyncio.Lock()

    async def ends_and_commits(self) -> tuple[list[int], list[int]]:
        """By partition of the log: the offset its next record gets, and the offset the fold has committed (0: none)."""
        seen: Exception | None = None
        try:
            async with asyncio.timeout(self._timeout_s), self._asking:
                while True:
                    try:
                        return await self._ask()
                    except (KafkaError, OSError) as error:
                        # Perhaps a connection that broke while it lay idle, or a coordinator that is being elected.
                        seen = error
                        await self._forget()
                        await asyncio.sleep(_RETRY_S)
        except TimeoutError as error:
            await self._forget()
            log.warning("log_unavailable", error=type(seen or error).__name__)
            raise Unavailable("the log cannot be reached right now; try again shortly", retry_after_s=2) from error

    async def close(self) -> None:
        """Give the connections back."""
        await self._forget()

    async def _ask(self) -> tuple[list[int], list[int]]:
        clients = await self._connected()
        # In this order: what is committed by then can only lie below the end.
        commits = await clients.admin.list_consumer_group_offsets(self._group)
        ends = await clients.consumer.end_offsets(self._partitions)
        folded = [commits[tp].offset if tp in commits else 0 for tp in self._partitions]
        return [ends[tp] for tp in self._partitions], [max(0, offset) for offset in folded]

    async def _connected(self) -> _Clients:
        if self._clients is None:
            timeout_ms = int(self._timeout_s * 1000)
            clients = _Clients(
                AIOKafkaConsumer(bootstrap_servers=self._bootstrap, request_timeout_ms=timeout_ms),
                AIOKafkaAdminClient(bootstrap_servers=self._bootstrap, request_timeout_ms=timeout_ms),
            )
            try:
                await clients.consumer.start()
                await clients.admin.start()
            except BaseException:
                await asyncio.shield(clients.close())
                raise
            self._clients = clients
        return self._clients

    async def _forget(self) -> None:
        clients, self._clients = self._clients, None
        if clients is not None:
            await clients.close()
