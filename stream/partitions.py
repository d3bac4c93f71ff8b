"""The partitions a worker holds: opening (decision 4), applying batches, ticking, closing.

P = the state's position, C = the group's committed offset: every output below C is acknowledged
P >= C   drain the outbox; records below P are skipped by the fold
P <  C   a stale or new disk: go on from the newest checkpoint of this log, if one is further: its position is P then;
         still P < C: drop the outbox, fold [P, C) without output, remember quiet_until = C
record P-1 is not the one the state remembers: stop, `state_not_of_this_log`; C is beyond the log's end: `log_mismatch`
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, TypeVar

import structlog
from msgspec import structs

from schemas.generations import Generation
from stream import metrics, upkeep
from stream.checkpoints import Checkpoints, furthest
from stream.domain.fold import fold
from stream.domain.messages import Message
from stream.domain.values import Meta
from stream.domain.view import LogRecord
from stream.errors import LogMismatch, Revoked, StateNotOfThisLog, fatal_on_error
from stream.log import Log, foreign, outdated
from stream.outbox import Entry, Outbox, WorkerOutbox
from stream.state import State, folder_of, shared_memory
from stream.upkeep import Upkeep

log = structlog.get_logger()
T = TypeVar("T")

# told(partition, position): everything below position has been emitted and may be committed.
Told = Callable[[int, int], None]


class Partition:
    """One open partition. Batches are applied one after another; the outbox of the last one may still be on its way."""

    def __init__(
        self,
        number: int,
        generation: Generation,
        state: State,
        outbox: Outbox,
        told: Told,
        copies: Checkpoints | None = None,
    ) -> None:
        self.number = number
        self.revoked = asyncio.Event()
        self._generation = generation.number
        self._partitions = generation.partitions
        self._state = state
        self._outbox = outbox
        self._told = told
        self._copies = copies
        self._copied = 0
        self._working: asyncio.Future[Any] | None = None
        self._draining: asyncio.Task[None] | None = None
        self._upkeep = Upkeep()
        self._position = self._known_ms = 0

    async def catch_up(self, source: Log) -> None:
        """Opening: make sure of the state, and bring it to where the log's outputs are acknowledged."""
        committed = await source.committed(self.number)
        first, end = await source.bounds(self.number)
        if committed > end:
            raise LogMismatch(f"the group has committed {committed} in partition {self.number}, its log ends at {end}")
        meta = await self._sound(source, first, end)
        if meta.position < committed and self._copies is not None:
            meta = await self._restored(source, self._copies, meta, (first, end))
        if meta.position < committed:
            await self._rebuild(source, meta, committed)
        for position, messages in list(self._state.outbox()):
            await self._send(position, messages)
        meta = self._state.meta
        self._position, self._known_ms = meta.position, meta.known_ms
        self._told(self.number, self._position)

    async def _restored(self, source: Log, copies: Checkpoints, meta: Meta, bounds: tuple[int, int]) -> Meta:
        """Become the checkpoint that is furthest, if one is worth it; the meta of what we are then."""
        try:
            readable = await self._threaded(lambda: copies.readable(self.number))
            one = await furthest(source, self.number, self._generation, readable, meta, bounds)
            if one is None:
                return meta
            path = await self._threaded(lambda: copies.fetch(self.number, one, self.revoked.is_set))
        except OSError as error:  # the log has everything too
            log.warning("checkpoint_not_restored", partition=self.number, error=str(error))
            return meta
        self._still_ours()
        self._state.become(path)
        metrics.RESTORED.inc()
        log.info("checkpoint_restored", partition=self.number, position=one.position, instead_of=meta.position)
        return self._state.meta

    async def checkpoint(self) -> None:
        """Copy the state to the checkpoints; nothing when nothing came since the last one. Raises OSError, Revoked."""
        copies, position = self._copies, self._position
        if copies is not None and position != self._copied:
            await self._threaded(lambda: copies.make(self.number, self._state.snapshot, self.revoked.is_set))
            self._copied = position

    async def _threaded(self, work: Callable[[], T]) -> T:
        """Long work on files, beside the loop. `close` waits until it has ended, which is soon once we are revoked."""
        self._working = asyncio.get_running_loop().run_in_executor(None, work)
        return await asyncio.shield(self._working)

    async def _rebuild(self, source: Log, meta: Meta, committed: int) -> None:
        """Fold what others have emitted already, without saying it again."""
        log.info("rebuild_started", partition=self.number, position=meta.position, committed=committed)
        for position, _ in list(self._state.outbox()):
            self._state.clear_outbox(position)
        self._state.set_meta(structs.replace(meta, quiet_until=committed))
        async with aclosing(source.read(self.number, meta.position, committed)) as batches:
            async for records in batches:
                self._still_ours()
                self._state.commit(fold(self._state, records, self.number, self._generation, self._partitions), ())
                metrics.REBUILT.inc(len(records))
                await asyncio.sleep(0)  # heartbeats, other partitions, and a revocation
        log.info("rebuild_finished", partition=self.number, position=self._state.meta.position)

    async def _sound(self, source: Log, first: int, end: int) -> Meta:
        """The state's meta, after checking that it was folded from this log; a fresh one if it has to be."""
        meta = self._state.meta
        if meta.position == 0:
            return meta
        old = outdated(meta, self._generation, first)
        if old is not None:
            log.warning("state_outdated", partition=self.number, position=meta.position, why=old)
            self._state.clear()
            return Meta()
        why = await foreign(source, self.number, meta, (first, end))
        if why is not None:
            raise StateNotOfThisLog(self.number, meta.position, why)
        return meta

    async def apply(self, first: int, records: Iterable[LogRecord], source: Log) -> None:
        """Fold one batch and write it; its outbox is sent while the next batch of another partition is folded.

        `first`: the offset from which on `records` are all that the log holds.
        The order is the design: (1) what the batch before has to say is acknowledged, (2) changes, position and outbox
        are one atomic write, (3) the outbox is sent and acknowledged, (4) cleared, (5) the offset may be committed.
        """
        await self.drained()
        await self._fill(first, source)
        self._emit(records)

    def _emit(self, records: Iterable[LogRecord]) -> None:
        self._still_ours()
        started = time.perf_counter()
        effects = fold(self._state, records, self.number, self._generation, self._partitions)
        self._state.commit(effects, effects.outputs)
        self._position, self._known_ms = effects.meta.position, effects.meta.known_ms
        metrics.folded(self.number, effects, time.perf_counter() - started)
        self._draining = asyncio.create_task(self._send(effects.meta.position, effects.outputs))

    async def _fill(self, first_offset: int, source: Log) -> None:
        """Fold what the consumer has skipped, should it ever skip anything that the log still holds."""
        if first_offset <= self.position:
            return
        log.warning("gap_read_from_the_log", partition=self.number, position=self.position, first_offset=first_offset)
        async with aclosing(source.read(self.number, self.position, first_offset)) as batches:
            async for records in batches:
                self._emit(records)
                await self.drained()

    async def drained(self) -> None:
        """Wait until the last batch's outbox is acknowledged. Raises Revoked when the partition is taken away."""
        task = self._draining
        if task is None:
            return
        await asyncio.wait({task})  # it stays in its place meanwhile: `close` has to find it
        if self._draining is task:
            self._draining = None
        if task.cancelled():
            raise Revoked
        task.result()

    async def _send(self, position: int, messages: Sequence[Message]) -> None:
        with fatal_on_error():
            await self._outbox.send(self.number, messages)
            self._still_ours()
            self._state.clear_outbox(position)
            self._told(self.number, position)

    def tick_is_due(self, now_ms: int) -> bool:
        """See `Upkeep`."""
        return self._upkeep.tick_is_due(self._state, self._known_ms, now_ms)

    def to_carry(self) -> list[Entry]:
        """See `Upkeep`."""
        return self._upkeep.to_carry(self._state, self._state.meta)

    @property
    def position(self) -> int:
        """Next offset to apply."""
        return self._position

    async def close(self) -> None:
        """Stop what is under way and let go of the files. The outbox keeps what was not acknowledged."""
        self.revoked.set()
        task, self._draining = self._draining, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if self._working is not None:
            await asyncio.gather(self._working, return_exceptions=True)
        self._state.close()

    def _still_ours(self) -> None:
        if self.revoked.is_set():
            raise Revoked


class Partitions:
    """All partitions of one worker. `ensure` is idempotent: a batch may arrive before the signal of its assignment."""

    def __init__(
        self,
        root: Path,
        generation: Generation,
        outbox: WorkerOutbox,
        source: Log,
        told: Told,
        checkpoint_dir: Path | None = None,
    ) -> None:
        self._root = root
        self._generation = generation
        self._outbox = outbox
        self._source = source
        self._told = told
        self._copies = None if checkpoint_dir is None else Checkpoints(checkpoint_dir, root)
        self._memory = shared_memory(states=generation.partitions)
        self._opening: dict[int, asyncio.Task[Partition]] = {}

    async def ensure(self, number: int) -> Partition:
        """The open partition, opened now if need be. Raises Revoked when it is taken away meanwhile."""
        task = self.begin(number)
        if not task.done():
            await asyncio.wait({task})
        if task.cancelled():
            raise Revoked
        return task.result()

    def begin(self, number: int) -> asyncio.Task[Partition]:
        """Start to open a partition, if nobody has."""
        task = self._opening.get(number)
        if task is None:
            task = self._opening[number] = asyncio.create_task(self._open(number))
        return task

    async def apply(self, number: int, first: int, records: Iterable[LogRecord]) -> None:
        """Fold one batch of a partition, see `Partition.apply`. Raises Revoked when it is taken away meanwhile."""
        partition = await self.ensure(number)
        await partition.apply(first, records, self._source)

    async def close(self, numbers: Iterable[int]) -> None:
        """Let go of partitions: long work on them is cut short, their outboxes keep what was not acknowledged."""
        for number in numbers:
            task = self._opening.pop(number, None)
            if task is None:
                continue
            task.cancel()
            await asyncio.wait({task})
            if not task.cancelled() and task.exception() is None:
                await task.result().close()
            metrics.OPEN_PARTITIONS.set(len(self._opening))

    async def close_all(self) -> None:
        """Let go of everything."""
        await self.close(list(self._opening))

    def not_open(self) -> list[int]:
        """Partitions that are still being opened."""
        return [number for number, task in self._opening.items() if not task.done()]

    async def tick(self, now_ms: int, highwater: Callable[[int], int | None]) -> None:
        """Append ticks and carries where they are due (`stream.upkeep`)."""
        await upkeep.append(self._opened(), self._outbox, now_ms, highwater)

    async def checkpoint(self) -> None:
        """Copy out the state of each open partition in turn; what cannot be copied now is tried next time."""
        for number, partition in self._opened():
            try:
                await partition.checkpoint()
            except Revoked:
                continue
            except OSError as error:
                metrics.CHECKPOINTS.labels("failed").inc()
                log.warning("checkpoint_failed", partition=number, error=str(error))

    def _opened(self) -> Iterator[tuple[int, Partition]]:
        """The open partitions, each asked for at its turn: one may be closed while work on another goes on."""
        for number, task in list(self._opening.items()):
            if not task.done() or task.cancelled() or task.exception() is not None:
                continue
            if not task.result().revoked.is_set():
                yield number, task.result()

    async def _open(self, number: int) -> Partition:
        with fatal_on_error():
            state = State(folder_of(self._root, number), self._memory)
            partition = Partition(number, self._generation, state, self._outbox, self._told, self._copies)
            try:
                await partition.catch_up(self._source)
            except BaseException:
                await partition.close()
                raise
            metrics.OPEN_PARTITIONS.set(len(self._opening))
            return partition
