"""The state of one partition: a RocksDB of its own, changed by one atomic write a batch.

The write holds the changed keys, the position and the outbox together, so that state and position never disagree,
and whatever was to be sent can be sent again after a crash. Writes are not fsynced: kill -9 loses nothing, and a
power cut leaves an older position, from which the partition is folded on (`stream.partitions`).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple, cast

import msgspec
from rocksdict import (
    AccessType,
    BlockBasedOptions,
    Cache,
    Checkpoint,
    DBCompressionType,
    Options,
    Rdict,
    ReadOptions,
    WriteBatch,
    WriteBufferManager,
)

from schemas.generations import Generation
from stream.domain import keys, values
from stream.domain.values import Meta
from stream.domain.view import UNLIMITED
from stream.domain.work import Effects

_MIB: Final = 1 << 20


class Message(NamedTuple):
    """One encoded message of the outbox (`stream.domain.work.Out`). No value: a tombstone."""

    topic: str
    key: bytes | None
    value: bytes | None


_OUTBOX: Final = msgspec.msgpack.Decoder(list[Message])


class Memory(NamedTuple):
    """What all states of a process share: so it, not the number of partitions or teams, bounds the memory."""

    cache: Cache
    written: WriteBufferManager  # what is not in a file yet; beyond its size the largest go to theirs early


def shared_memory(cache_mib: int = 96, written_mib: int = 96) -> Memory:
    """So many MiB of blocks that were read, and of what was written last."""
    return Memory(Cache(cache_mib * _MIB), WriteBufferManager(written_mib * _MIB, False))


def root_of(folder: Path, generation: Generation) -> Path:
    """Where a generation's states or checkpoints are: each has a folder of its own, the first the folder itself."""
    return folder if generation.number == 1 else folder / f"g{generation.number}"


def folder_of(root: Path, partition: int) -> Path:
    """Where the state of a partition is, below the state folder of a worker."""
    return root / f"partition-{partition:02d}"


def peek(path: Path) -> Meta:
    """Where a state stands that nobody has open; it is not changed, a fresh `Meta` for an empty one.

    Raises:  OSError when there is no readable state; ValueError for one of an unknown version.
    """
    with _as_os_error():
        db = Rdict(str(path), _options(shared_memory(1)), access_type=AccessType.read_only(False))
        try:
            raw = db.get(keys.META)
        finally:
            db.close()
    return Meta() if raw is None else values.META.unpack(raw)


def discard(path: Path) -> None:
    """Remove a state's folder. What is left when it is cut short has another name, and is no state."""
    gone = path.with_name(f".{path.name}.gone")
    shutil.rmtree(gone, ignore_errors=True)
    path.rename(gone)
    shutil.rmtree(gone)


class State:
    """See the module. A `stream.domain.view.View`. One process a path: RocksDB locks it."""

    def __init__(self, path: Path, memory: Memory) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._memory = memory
        self._db = Rdict(str(path), _options(memory))

    def get_many(self, wanted: Sequence[bytes]) -> list[bytes | None]:
        """The values of keys, in their order; None for a key that is not there."""
        return cast("list[bytes | None]", self._db.get(list(wanted)))

    def scan(self, prefix: bytes, start: bytes, stop: bytes, limit: int) -> Iterator[tuple[bytes, bytes]]:
        """At most `limit` pairs with `prefix + start <= key < prefix + stop`, in key order."""
        bounds = ReadOptions()
        bounds.set_iterate_upper_bound(prefix + stop)
        iterator = self._db.iter(bounds)
        iterator.seek(prefix + start)
        while limit and iterator.valid():
            yield iterator.key(), iterator.value()
            iterator.next()
            limit -= 1

    def scan_back(self, prefix: bytes, limit: int) -> Iterator[tuple[bytes, bytes]]:
        """At most `limit` pairs whose key begins with `prefix`, the last key first."""
        iterator = self._db.iter()
        iterator.seek_for_prev(prefix + b"\xff" * 24)
        while limit and iterator.valid() and iterator.key().startswith(prefix):
            yield iterator.key(), iterator.value()
            iterator.prev()
            limit -= 1

    @property
    def meta(self) -> Meta:
        """Where the state stands; a fresh `Meta` for an empty one."""
        raw = self._db.get(keys.META)
        return Meta() if raw is None else values.META.unpack(raw)

    def commit(self, effects: Effects, messages: Sequence[Message]) -> None:
        """Write a batch's changes, its position and its outbox, all or nothing."""
        batch = WriteBatch(raw_mode=True)
        for key, value in effects.changes.items():
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        if messages:
            batch.put(_outbox_key(effects.meta.position), msgspec.msgpack.encode(messages))
        self._db.write(batch)

    def set_meta(self, meta: Meta) -> None:
        """Write the meta value alone."""
        self._db.put(keys.META, values.META.pack(meta))

    def outbox(self) -> Iterator[tuple[int, list[Message]]]:
        """What may not have been sent yet: (position after the batch, its messages), oldest first."""
        for key, raw in self.scan(keys.OUTBOX, keys.number(0), b"\xff" * 9, UNLIMITED):
            yield int.from_bytes(key[1:], "big"), _OUTBOX.decode(raw)

    def clear_outbox(self, position: int) -> None:
        """The messages of the batch that ended at `position` are acknowledged."""
        self._db.delete(_outbox_key(position))

    def close(self) -> None:
        """Let go of the files. Using the state afterwards is an error."""
        self._db.close()

    def clear(self) -> None:
        """Begin anew with no key: the log is the truth, and the state can be folded from it again."""
        self._db.close()
        discard(self._path)
        self._path.mkdir()
        self._db = Rdict(str(self._path), _options(self._memory))

    def snapshot(self, path: Path) -> None:
        """Copy the state as it is now to a new folder on the same filesystem: hard links. Other threads may go on.

        Raises:  OSError.
        """
        with _as_os_error():
            Checkpoint(self._db).create_checkpoint(str(path))  # not kept: it would keep the database open

    def become(self, path: Path) -> None:
        """Be the state in another folder of the same filesystem, which is moved here. What was here is gone."""
        self._db.close()
        discard(self._path)
        path.rename(self._path)
        self._db = Rdict(str(self._path), _options(self._memory))


@contextmanager
def _as_os_error() -> Iterator[None]:
    """RocksDB's errors come as bare exceptions."""
    try:
        yield
    except Exception as error:
        raise OSError(str(error)) from error


def _outbox_key(position: int) -> bytes:
    return keys.OUTBOX + keys.number(position)


def _options(memory: Memory) -> Options:
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_write_buffer_size(8 * _MIB)
    options.set_max_write_buffer_number(3)
    options.set_write_buffer_manager(memory.written)
    options.set_max_background_jobs(2)
    options.set_compression_type(DBCompressionType.lz4())
    options.set_level_compaction_dynamic_level_bytes(True)
    options.set_memtable_prefix_bloom_ratio(0.02)
    options.set_memtable_whole_key_filtering(True)
    options.set_keep_log_file_num(2)
    options.set_max_log_file_size(_MIB)
    options.set_max_open_files(64)
    table = BlockBasedOptions()
    table.set_bloom_filter(10, False)  # most reads ask for answers that are not there yet
    table.set_block_cache(memory.cache)
    table.set_cache_index_and_filter_blocks(True)
    table.set_pin_l0_filter_and_index_blocks_in_cache(True)
    options.set_block_based_table_factory(table)
    return options
