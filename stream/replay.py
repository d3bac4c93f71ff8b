"""Replaying the log: does it still come to the state and the outputs that a worker came to, and a state made anew.

`verify` folds a partition from the log's start to where a copy of its state stands, into a folder of its own, and
compares. `rebuild` folds it to what is committed and puts the result in place of the state. Neither sends anything.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from schemas.generations import Generation
from schemas.topics import TEAM_POLICIES, TEAM_SCORES
from stream.comparing import Outputs, Tally, compare_states
from stream.domain import messages
from stream.domain.fold import fold
from stream.domain.minutes import HORIZON_MS
from stream.domain.values import Meta
from stream.domain.view import UNLIMITED
from stream.domain.work import Effects
from stream.errors import LogMismatch, StateInUse
from stream.log import Log, foreign, outdated
from stream.state import State, discard, folder_of, shared_memory

# progressed(partition, records folded so far, records in all)
Progressed = Callable[[int, int, int], None]


@dataclass(frozen=True, slots=True)
class Report:
    """What became of one partition. `refused`: why it could not be compared at all; None when it could."""

    partition: int
    position: int
    records: int = 0
    seconds: float = 0.0
    keys: Tally = field(default_factory=Tally)
    outputs: Tally = field(default_factory=Tally)
    refused: str | None = None

    @property
    def equal(self) -> bool:
        """Whether everything that was compared is the same."""
        return self.refused is None and not self.keys.different and not self.outputs.different

    @property
    def per_s(self) -> int:
        """Records folded a second; 0 when there were none."""
        return round(self.records / self.seconds) if self.seconds else 0


async def verify(
    partition: int,
    held: State,
    log: Log,
    topics: Mapping[str, Log],
    scratch: Path,
    generation: Generation,
    progressed: Progressed,
) -> Report:
    """Fold the log to where `held` stands, and compare the state and everything said with what there is.

    `topics`: the output topics by name. `scratch`: a folder to fold into; emptied before and after.
    """
    meta = held.meta
    bounds = await log.bounds(partition)
    why = outdated(meta, generation.number, bounds[0]) or await foreign(log, partition, meta, bounds)
    if why is not None:
        return Report(partition, meta.position, refused=why)
    first = bounds[0]
    since_ms = max(0, meta.known_ms - HORIZON_MS) if first else 0
    outputs = Outputs(generation.number, first, meta.position, since_ms)

    def listen(effects: Effects) -> None:
        for out in effects.outputs:
            outputs.said(out.topic, out.value)

    with _empty(scratch):
        folded = State(scratch, shared_memory())
        try:
            records, seconds = await fold_log(folded, partition, log, meta.position, generation, listen, progressed)
            found = compare_states(_all_of(held), _all_of(folded), since_ms)
        finally:
            folded.close()
    for name in messages.TOPICS:
        await _stands(outputs, name, topics[name], partition)
    return Report(partition, meta.position, records, seconds, found, outputs.finish())


async def rebuild(partition: int, root: Path, log: Log, generation: Generation, progressed: Progressed) -> Report:
    """Replace the state of a partition by one folded from the log's start to what is committed, as a new disk would be.

    Raises:  StateInUse when a worker has it open; LogMismatch when the log is too short. What was there stays until
    the new one is whole.
    """
    path = folder_of(root, partition)
    path.mkdir(parents=True, exist_ok=True)
    with locked(path, partition):
        committed = await log.committed(partition)
        _, end = await log.bounds(partition)
        if committed > end:
            raise LogMismatch(f"the group has committed {committed} in partition {partition}, its log ends at {end}")
        fresh = path.with_suffix(".replay")
        with _empty(fresh):
            state = State(fresh, shared_memory())
            try:
                state.set_meta(Meta(generation=generation.number, quiet_until=committed))
                records, seconds = await fold_log(
                    state, partition, log, committed, generation, lambda _: None, progressed
                )
            finally:
                state.close()
            discard(path)
            fresh.rename(path)
    return Report(partition, committed, records, seconds)


@contextmanager
def locked(path: Path, partition: int) -> Iterator[None]:
    """Hold a state as RocksDB would, so that no worker opens it.

    Raises:  StateInUse when one has it open; OSError when there is no such folder.
    """
    descriptor = os.open(path / "LOCK", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StateInUse(partition, path) from None
        yield
    finally:
        os.close(descriptor)


async def fold_log(
    state: State,
    partition: int,
    log: Log,
    stop: int,
    generation: Generation,
    listen: Callable[[Effects], None],
    progressed: Progressed,
) -> tuple[int, float]:
    """Fold everything below `stop`; how many records, and the seconds it took."""
    began, done = time.perf_counter(), 0
    first, _ = await log.bounds(partition)
    if first < stop:
        async with aclosing(log.read(partition, first, stop)) as batches:
            async for records in batches:
                effects = fold(state, records, partition, generation.number, generation.partitions)
                state.commit(effects, ())
                listen(effects)
                done += len(records)
                progressed(partition, done, stop - first)
    return done, time.perf_counter() - began


async def _stands(outputs: Outputs, topic: str, log: Log, partition: int) -> None:
    first, end = await log.bounds(partition)
    if first and topic not in (TEAM_SCORES, TEAM_POLICIES):  # of which the newest stays
        outputs.truncated(topic)
    if first < end:
        async with aclosing(log.read(partition, first, end)) as batches:
            async for records in batches:
                for record in records:
                    outputs.stands(topic, record.value)


def _all_of(state: State) -> Iterator[tuple[bytes, bytes]]:
    return state.scan(b"", b"", b"\xff", UNLIMITED)


@contextmanager
def _empty(path: Path) -> Iterator[None]:
    shutil.rmtree(path, ignore_errors=True)
    try:
        yield
    finally:
        shutil.rmtree(path, ignore_errors=True)
