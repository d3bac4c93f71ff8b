"""The dead man's switch: an outsider hears from us every minute, or knows that alerting itself is dead.

Each beat goes the whole way an alert goes. A tick is appended to every partition of the log; the fold that owns the
partition passes it, and says so on `followups.v1` behind everything it caused before (a `Position`); alerts reads
that here. Only when all partitions have come through, and what is to be told can be stored, the address is asked. A
dead broker, worker or alerts, one partition that nobody folds, a full disk: each of them stops it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import aiohttp
import msgspec
import structlog

from schemas.feedback import Tick
from services.alerts import metrics
from services.alerts.log_writer import NotWritten
from services.alerts.targets.posting import get

log = structlog.get_logger()

_TICK: Final = msgspec.json.encode(Tick())

Ping = Callable[[], Awaitable[str | None]]


class Log(Protocol):
    """Where ticks go; `LogWriter` is one."""

    async def append(self, partition: int, value: bytes, key: bytes | None = None) -> int: ...


class Passed(Protocol):
    """What the fold has passed, by partition; `Flow` is one."""

    async def passed(self, partition: int, offset: int) -> None: ...


def asking(session: aiohttp.ClientSession, url: str) -> Ping:
    """Asks the address: None when it answered 2xx, else what came instead."""

    async def ping() -> str | None:
        outcome = await get(session, url)
        return None if outcome.verdict == "delivered" else outcome.status

    return ping


class Heartbeat:
    """Beats until it is cancelled; a beat that fails is told, and the next one is tried in its turn."""

    def __init__(
        self,
        written: Log,
        read: Passed,
        partitions: int,
        ready: Callable[[], str | None],
        ping: Ping,
        every_s: float = 60.0,
    ) -> None:
        self._written = written
        self._read = read
        self._partitions = partitions
        self._ready = ready
        self._ping = ping
        self._every_s = every_s

    async def run(self) -> None:
        """One beat each `every_s`, counted from beat to beat."""
        missing = False
        next_s = time.monotonic()
        while True:
            wrong = await self.beat()
            metrics.HEARTBEATS.labels("missed" if wrong else "sent").inc()
            if wrong:
                log.error("heartbeat_missed", reason=wrong)
            elif missing:
                log.info("heartbeat_back")
            missing = wrong is not None
            next_s = max(next_s + self._every_s, time.monotonic())
            await asyncio.sleep(next_s - time.monotonic())

    async def beat(self) -> str | None:
        """One beat, within `every_s`; None: it was heard."""
        try:
            async with asyncio.timeout(self._every_s):
                offsets = await asyncio.gather(
                    *(self._written.append(number, _TICK) for number in range(self._partitions))
                )
                await asyncio.gather(*(self._read.passed(number, offset) for number, offset in enumerate(offsets)))
        except NotWritten as error:
            return f"not_written_{error}"
        except TimeoutError:
            return "not_folded"
        return self._ready() or await self._ping()
