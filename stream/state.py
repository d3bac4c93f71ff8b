"""The state of one partition: a RocksDB of its own, changed by one atomic write a batch.

The log is the write-ahead log: RocksDB keeps none. What was written since the last save is in memory only, and after
a crash the state stands at that save, an older position, from which the partition is folded on (`stream.partitions`).
A save takes everything along that has not been said yet: whatever position the state on the disk has, what is missing
of the outputs below it stands in its outbox. A save that is due waits for the next batch, because by then all outputs
of those before are acknowledged: so an outbox is hardly ever written.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
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
    WriteOptions,
)

from schemas.generations import Generation
from stream.domain import keys, values
from stream.domain.messages import Message
from stream.domain.values import Meta
from stream.domain.view import UNLIMITED
from stream.domain.work import Effects

_MIB: Final = 1 << 20
_MOST_UNSAVED: Final = 6 * _MIB  # of one state: what a crash leaves to be folded again
_SAVE_EVERY_S: Final = 600.0  # in a quiet partition, which holds little: a crash leaves that to be folded again
# RocksDB saves by itself beyond this, without the outbox: far from what we let come together before we do.
_WRITE_BUFFER: Final = 64 * _MIB


_NO_WAL: Final = WriteOptions()
_NO_WAL.disable_wal = True  # type: ignore[method-assign,assignment]  # its stub takes it for a method
_NO_WAL.memtable_insert_hint_per_batch = True  # a key is looked for beside the one before it: see `commit`
_OUTBOX: Final = msgspec.msgpack.Decoder(list[Message])


class Memory(NamedTuple):
    """What bounds the memory of a process, however many teams there are: both are shared by all of its states."""

    cache: Cache
    unsaved: int  # bytes of what one state may hold that is not in a file yet


def shared_memory(cache_mib: int = 96, unsaved_mib: float = 96, states: int = 1) -> Memory:
    """So many MiB of blocks that were read, and of what so many states together have written since their last save."""
    return Memory(Cache(cache_mib * _MIB), min(int(unsaved_mib * _MIB / states), _MOST_UNSAVED))


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
        self._unsaid: dict[int, Sequence[Message]] = {}  # by position; not in the outbox on the disk
        self._unsaved = 0
        self._saved_at = time.monotonic()
        self._saving = False  # a snapshot is being made: what is written meanwhile may be in it
        self._lock = threading.Lock()

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
        """Write a batch's changes and its position, all or nothing; its messages are in the outbox from then on."""
        if self._unsaved > self._memory.unsaved or time.monotonic() - self._saved_at > _SAVE_EVERY_S:
            self.save()
        changes = effects.changes
        batch = WriteBatch(raw_mode=True)
        for key in sorted(changes):  # costs less than finding the place of each anew among all that is not saved
            value = changes[key]
            if value is None:
                batch.delete(key)
            else:
                batch[key] = value
        with self._lock:
            if messages:
                self._unsaid[effects.meta.position] = messages
            self._unsaved += batch.size_in_bytes()
            if self._saving:
                self._take_along(batch)
            self._db.write(batch, _NO_WAL)

    def _take_along(self, batch: WriteBatch) -> None:
        """What has not been said is written with a batch."""
        for position, messages in self._unsaid.items():
            batch.put(_outbox_key(position), msgspec.msgpack.encode(messages))
        self._unsaid.clear()

    def save(self, wait: bool = False) -> None:
        """Put into files what is not yet, and the outbox with it; a crash from now on leaves the state as it is."""
        with self._lock:
            if self._unsaid:
                batch = WriteBatch(raw_mode=True)
                self._take_along(batch)
                self._db.write(batch, _NO_WAL)
            self._unsaved = 0
            self._saved_at = time.monotonic()
            self._db.flush(wait)

    def set_meta(self, meta: Meta) -> None:
        """Write the meta value alone."""
        self._db.put(keys.META, values.META.pack(meta), write_opt=_NO_WAL)

    def outbox(self) -> Iterator[tuple[int, list[Message]]]:
        """What may not have been sent yet: (position after the batch, its messages), oldest first."""
        stored = {
            int.from_bytes(key[1:], "big"): _OUTBOX.decode(raw)
            for key, raw in self.scan(keys.OUTBOX, keys.number(0), b"\xff" * 9, UNLIMITED)
        }
        stored.update((position, list(messages)) for position, messages in self._unsaid.items())
        yield from sorted(stored.items())

    def clear_outbox(self, position: int) -> None:
        """The messages of the batch that ended at `position` are acknowledged."""
        with self._lock:
            if self._unsaid.pop(position, None) is None:
                self._db.delete(_outbox_key(position), write_opt=_NO_WAL)

    def close(self) -> None:
        """Save, and let go of the files. Using the state afterwards is an error."""
        self.save(wait=True)
        self._db.close()

    def clear(self) -> None:
        """Begin anew with no key: the log is the truth, and the state can be folded from it again."""
        self._reopen(self._path.mkdir)

    def snapshot(self, path: Path) -> None:
        """Copy the state as it is now to a new folder on the same filesystem: hard links. Other threads may go on.

        Raises:  OSError.
        """
        self._saving = True
        try:
            self.save()
            with _as_os_error():
                Checkpoint(self._db).create_checkpoint(str(path))  # not kept: it would keep the database open
        finally:
            self._saving = False

    def become(self, path: Path) -> None:
        """Be the state in another folder of the same filesystem, which is moved here. What was here is gone."""
        self._reopen(lambda: path.rename(self._path))

    def _reopen(self, put_in_place: Callable[[], object]) -> None:
        self._db.close()
        discard(self._path)
        put_in_place()
        self._db = Rdict(str(self._path), _options(self._memory))
        self._unsaid.clear()
        self._unsaved = 0


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
    options.set_write_buffer_size(_WRITE_BUFFER)
    options.set_arena_block_size(_MIB // 2)
    options.set_max_write_buffer_number(3)
    options.set_unordered_write(True)  # RocksDB uses the hint only then; our writes come one at a time, so in order
    options.set_max_background_jobs(2)
    # What has just been saved is soon rewritten.
    options.set_compression_per_level([DBCompressionType.none(), *[DBCompressionType.lz4()] * 6])
    options.set_level_zero_file_num_compaction_trigger(8)
    options.set_level_compaction_dynamic_level_bytes(True)
    options.set_memtable_prefix_bloom_ratio(0.0025)
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
