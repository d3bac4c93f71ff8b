"""Sending answers as batches: several at once, a team's answers in order, repeated until the log holds them.

Every answer carries its own id, so sending one again is harmless: whatever is not known to be held is sent again.
"""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import aiohttp
import msgspec

from schemas.responses import BatchItem, BatchResult, FieldError, ProblemBody
from services.cli.client import Client, problem_text, refused
from services.cli.codes import Exit, Fail
from services.cli.importer.rows import Item

LANES: Final = 4
MAX_ITEMS: Final = 1_000
MAX_BYTES: Final = 900 * 1024  # the door's limit is 1 MiB
MAX_BEHIND: Final = 4 * MAX_ITEMS  # rows: a lane of rare teams must not hold back what can be resumed
BACKOFF_S: Final = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
MAX_WAIT_S: Final = 60.0
POST_TIMEOUT_S: Final = 60.0
TELL_AFTER_S: Final = 3.0
TELL_EVERY_S: Final = 30.0

# Called once for each answer, when the log holds it or the door has refused it.
Settled = Callable[[Item, BatchItem], None]
Sleep = Callable[[float], Awaitable[None]]


@dataclass
class _Lane:
    buffer: list[Item] = field(default_factory=list)
    size: int = 0
    in_flight: dict[int, Item] = field(default_factory=dict)  # by row, in row order
    task: asyncio.Task[None] | None = None

    def first(self) -> int | None:
        """The first row of this lane that is not settled."""
        if self.in_flight:
            return next(iter(self.in_flight))
        return self.buffer[0].row if self.buffer else None


class Sender:
    """Batches of one import. Answers of one team go through one lane, one batch at a time, so their order is kept.

    `tell` is given a line for a person when nothing moves. Raises Fail from `put` or `finish`: the key is refused, or
    nothing was settled for `give_up_s`.
    """

    def __init__(
        self,
        client: Client,
        settled: Settled,
        give_up_s: float,
        tell: Callable[[str], None],
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._client = client
        self._settled = settled
        self._give_up_s = give_up_s
        self._tell = tell
        self._sleep = sleep
        self._told_at = -TELL_EVERY_S
        self._lanes = [_Lane() for _ in range(LANES)]
        self._last_row = 0

    async def put(self, item: Item) -> None:
        """Take one answer; waits while its lane is busy."""
        lane = self._lanes[zlib.crc32(item.team.encode()) % LANES]
        if lane.buffer and (len(lane.buffer) >= MAX_ITEMS or lane.size + len(item.body) > MAX_BYTES):
            await self._flush(lane)
            for other in self._lanes:
                if other.buffer and other.buffer[0].row < item.row - MAX_BEHIND:
                    await self._flush(other)
        lane.buffer.append(item)
        lane.size += len(item.body) + 1
        self._last_row = item.row

    async def finish(self) -> None:
        """Send what is left and wait until everything is settled."""
        for lane in self._lanes:
            if lane.buffer:
                await self._flush(lane)
        for lane in self._lanes:
            if lane.task is not None:
                await lane.task

    async def one(self, item: Item) -> BatchItem:
        """Send one answer by itself, and return what became of it."""
        results: list[BatchItem] = []
        await self._deliver({item.row: item}, lambda _, result: results.append(result))
        return results[0]

    async def drain(self, seconds: float) -> None:
        """Give batches on their way up to `seconds` to be acknowledged; what is not yet on its way stays unsent."""
        tasks = {lane.task for lane in self._lanes if lane.task is not None}
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=seconds)
        for task in late:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def through(self) -> int:
        """The last row of an unbroken beginning that is settled."""
        firsts = [first for lane in self._lanes if (first := lane.first()) is not None]
        return min(firsts) - 1 if firsts else self._last_row

    async def _flush(self, lane: _Lane) -> None:
        for other in self._lanes:
            if other.task is not None and (other is lane or other.task.done()):
                await other.task  # raises what ended it
        lane.in_flight = {item.row: item for item in lane.buffer}
        lane.buffer, lane.size = [], 0
        lane.task = asyncio.create_task(self._deliver(lane.in_flight, self._settled))

    async def _deliver(self, items: dict[int, Item], settled: Settled) -> None:
        """Until every item is settled; settled ones leave `items`."""
        waits = iter(BACKOFF_S)
        since = time.monotonic()
        most = MAX_ITEMS
        while items:
            batch = list(items.values())[:most]
            outcome = await self._post(batch)
            if outcome.too_large:
                if len(batch) == 1:
                    outcome.results = [BatchItem(0, "rejected", errors=[FieldError("row", "is too large")])]
                else:
                    most = len(batch) // 2
                    continue
            progress = False
            for result in outcome.results:
                if result.status != "retry":
                    item = batch[result.index]
                    del items[item.row]
                    settled(item, result)
                    progress = True
            if progress:
                waits, since = iter(BACKOFF_S), time.monotonic()
            elif time.monotonic() - since > self._give_up_s:
                raise Fail(
                    Exit.NOT_READY,
                    f"no progress for {self._give_up_s:g} s ({outcome.why}); the same command goes on where this stops",
                )
            if items and not (progress and outcome.why is None):
                self._waiting(outcome.why, time.monotonic() - since)
                await self._sleep(min(MAX_WAIT_S, outcome.wait_s or next(waits, BACKOFF_S[-1])))

    def _waiting(self, why: str | None, waited_s: float) -> None:
        """Say now and then what a stalled import waits for."""
        if waited_s > TELL_AFTER_S and time.monotonic() - self._told_at > TELL_EVERY_S:
            self._told_at = time.monotonic()
            self._tell(f"waiting: {why}; giving up after {self._give_up_s:g} s without progress")

    async def _post(self, batch: Sequence[Item]) -> _Outcome:
        body = b"[" + b",".join(item.body for item in batch) + b"]"
        try:
            async with self._client.session.post(
                f"{self._client.door.url}/v1/responses/batch",
                data=body,
                headers={"Content-Type": "application/json"},
                timeout=aiohttp.ClientTimeout(total=POST_TIMEOUT_S, sock_connect=5),
            ) as response:
                answer = await response.read()
                status, wait_s = response.status, _retry_after(response.headers.get("Retry-After"))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return _Outcome(why=f"{self._client.door.url}: {type(error).__name__}")
        if status == 200:
            return self._results(batch, answer)
        if status == 413:
            return _Outcome(too_large=True)
        if status == 429 or status >= 500:
            return _Outcome(wait_s=wait_s, why=problem_text(answer), results=_rejected_of(answer, len(batch)))
        raise refused(self._client.door.url, status, answer)

    def _results(self, batch: Sequence[Item], answer: bytes) -> _Outcome:
        try:
            results = msgspec.json.decode(answer, type=BatchResult).items
        except msgspec.DecodeError:
            results = []
        if [result.index for result in results] != list(range(len(batch))):
            raise Fail(
                Exit.FAILED, f"{self._client.door.url} answered a batch with something else; is it a Pulse door?"
            )
        again = any(result.status == "retry" for result in results)
        return _Outcome(results=results, why="the log could not take every answer" if again else None)


@dataclass
class _Outcome:
    """What became of one request. `why` is None when nothing has to be sent again."""

    results: list[BatchItem] = field(default_factory=list)
    wait_s: float | None = None
    why: str | None = None
    too_large: bool = False


def _rejected_of(answer: bytes, count: int) -> list[BatchItem]:
    """The items of a 503 that are wrong in themselves; the others go again."""
    try:
        items = msgspec.json.decode(answer, type=ProblemBody).items or []
    except msgspec.DecodeError:
        return []
    return [item for item in items if item.status == "rejected" and item.index < count]


def _retry_after(value: str | None) -> float | None:
    """Seconds of a Retry-After header; None without a usable one."""
    try:
        return max(0.0, float(value)) if value is not None else None
    except ValueError:
        return None
