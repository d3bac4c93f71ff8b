"""Copies of a partition's state outside the worker's disk: a rebuild begins at the newest one, not at the log's start.

DIR/partition-NN/MADE-POSITION   a RocksDB as it was at POSITION, made at MADE (ms); the newest two of a partition stay
DIR/partition-NN/.NAME           one that is being made or taken away: a rename is what makes it count, or no longer

On one filesystem the tables are hard links, which cost nothing; else they are copied.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import structlog

from stream import metrics
from stream.domain.values import Meta
from stream.errors import Revoked
from stream.log import Log, foreign, outdated
from stream.state import discard, folder_of, peek

log = structlog.get_logger()
KEPT: Final = 2
WORTH_RECORDS: Final = 50_000
_TABLE: Final = ".sst"  # RocksDB never changes a table once it is written; it appends to its other files

# Whether to leave it: asked between two files, so that a revocation need not wait for a large copy.
Leave = Callable[[], bool]


class Checkpoint(NamedTuple):
    """A finished checkpoint, as its name has it."""

    path: Path
    made_ms: int
    position: int


class Checkpoints:
    """The folder of all partitions' checkpoints. Several workers may share it."""

    def __init__(self, root: Path, state_dir: Path) -> None:
        self._root = root
        self._state_dir = state_dir

    def of(self, partition: int) -> list[Checkpoint]:
        """The finished checkpoints of a partition, the newest first; empty when there are none."""
        folder = folder_of(self._root, partition)
        found = [_named(path) for path in folder.iterdir()] if folder.is_dir() else []
        return sorted((one for one in found if one is not None), key=lambda one: one.made_ms, reverse=True)

    def readable(self, partition: int) -> list[tuple[Checkpoint, Meta]]:
        """Those that open as a state, with where they stand, the greatest position first."""
        found = []
        for one in self.of(partition):
            try:
                found.append((one, peek(one.path)))
            except (OSError, ValueError) as error:
                log.warning("checkpoint_unreadable", partition=partition, path=str(one.path), error=str(error))
        return sorted(found, key=lambda pair: pair[1].position, reverse=True)

    def make(self, partition: int, snapshot: Callable[[Path], None], leave: Leave) -> Checkpoint:
        """Make a checkpoint of an open state. Blocks; meant for a thread.

        `snapshot(path)` writes a consistent copy to `path`, on the state's own filesystem: that takes milliseconds.
        Only then the copy goes where checkpoints are.
        Raises:  OSError when there is no room or no access; Revoked when `leave` says so. What counted stays as it was.
        """
        with metrics.CHECKPOINT_SECONDS.time():
            made = self._make(partition, snapshot, leave)
        metrics.CHECKPOINTS.labels("made").inc()
        return made

    def _make(self, partition: int, snapshot: Callable[[Path], None], leave: Leave) -> Checkpoint:
        folder = folder_of(self._root, partition)
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(".*"):  # of a worker that was killed
            shutil.rmtree(left, ignore_errors=True)
        staged = self._beside(partition)
        try:
            snapshot(staged)
            made_ms, position = int(time.time() * 1000), peek(staged).position
            name = f"{made_ms:015d}-{position:015d}"
            copy_database(staged, folder / f".{name}", leave)
        finally:
            shutil.rmtree(staged, ignore_errors=True)
        (folder / f".{name}").rename(folder / name)
        _sync(folder)
        for old in self.of(partition)[KEPT:]:
            discard(old.path)
        return Checkpoint(folder / name, made_ms, position)

    def fetch(self, partition: int, one: Checkpoint, leave: Leave) -> Path:
        """Copy a checkpoint beside the states: the copy can be opened, changed and moved. Raises OSError, Revoked."""
        path = self._beside(partition)
        copy_database(one.path, path, leave)
        return path

    def _beside(self, partition: int) -> Path:
        path = folder_of(self._state_dir, partition).with_suffix(".copy")
        shutil.rmtree(path, ignore_errors=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


async def furthest(
    source: Log,
    partition: int,
    generation: int,
    readable: Sequence[tuple[Checkpoint, Meta]],
    own: Meta,
    bounds: tuple[int, int],
) -> Checkpoint | None:
    """The checkpoint to become in place of what the disk has; None when there is none that is of this log and worth it.

    A few records are folded sooner than a state is copied. `bounds`: as `Log.bounds` gives them.
    """
    for one, found in readable:
        if found.position <= own.position + (WORTH_RECORDS if own.position else 0):
            break
        why = outdated(found, generation, bounds[0]) or await foreign(source, partition, found, bounds)
        if why is None:
            return one
        log.warning("checkpoint_not_used", partition=partition, path=str(one.path), why=why)
    return None


def copy_database(source: Path, target: Path, leave: Leave) -> None:
    """Copy a RocksDB that nobody writes to into a new folder: tables as hard links where that is possible.

    Raises:  OSError; Revoked when `leave` says so. Either leaves an unfinished folder behind.
    """
    target.mkdir()
    for file in sorted(source.iterdir()):
        if leave():
            raise Revoked
        if file.name != "LOCK" and not (file.suffix == _TABLE and _linked(file, target / file.name)):
            shutil.copyfile(file, target / file.name)
            _sync(target / file.name)
    _sync(target)


def _linked(file: Path, target: Path) -> bool:
    try:
        target.hardlink_to(file)
    except OSError:  # another filesystem, or one without links
        return False
    return True


def _named(path: Path) -> Checkpoint | None:
    made_ms, _, position = path.name.partition("-")
    return Checkpoint(path, int(made_ms), int(position)) if made_ms.isdigit() and position.isdigit() else None


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
