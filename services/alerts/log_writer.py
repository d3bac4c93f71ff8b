"""What alerts writes to the log. One producer, made when it is needed, replaced after any failure."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from schemas.generations import Generation
from schemas.topics import FEEDBACK

WITHIN_S: Final = 10.0
_STOP_S: Final = 2.0


class NotWritten(Exception):
    """The log did not acknowledge a record in time: it may be in it, or not."""


class LogWriter:
    """Appends to `feedback.v1`. Every method may be awaited by many at once."""

    def __init__(self, bootstrap: str, generation: Generation) -> None:
        self._bootstrap = bootstrap
        self._topic = generation.topic(FEEDBACK)
        self._producer: AIOKafkaProducer | None = None
        self._making = asyncio.Lock()

    async def append(self, partition: int, value: bytes, key: bytes | None = None) -> int:
        """The offset of the record, acknowledged by all in-sync replicas. Raises NotWritten."""
        try:
            async with asyncio.timeout(WITHIN_S):
                producer = await self._made()
                held = await producer.send_and_wait(self._topic, value, key, partition)
        except (KafkaError, TimeoutError, OSError) as error:
            await self.close()
            raise NotWritten(type(error).__name__) from None
        return int(held.offset)

    async def close(self) -> None:
        """Let go of the producer; the next record makes another."""
        producer, self._producer = self._producer, None
        if producer is not None:
            with contextlib.suppress(KafkaError, TimeoutError, OSError):
                async with asyncio.timeout(_STOP_S):
                    await producer.stop()

    async def _made(self) -> AIOKafkaProducer:
        async with self._making:
            if self._producer is None:
                made = AIOKafkaProducer(
                    bootstrap_servers=self._bootstrap, client_id="pulse-alerts", acks="all", request_timeout_ms=5_000
                )
                try:
                    await made.start()
                except BaseException:
                    with contextlib.suppress(KafkaError):
                        await made.stop()
                    raise
                self._producer = made
            return self._producer
