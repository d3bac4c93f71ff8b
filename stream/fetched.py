"""What one fetch brought of one partition, as it came: whole record batches, opened by whoever folds them.

aiokafka opens each record on its own in the consumer's thread: a generator, a method and an object a record, and by
the time they are folded they have left the processor's cache. Opened where they are needed they cost a third.
There is no seam for it, hence the private name; only the processes that read in batches do this, as themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, dropwhile
from typing import Any, Final, Self

from aiokafka.consumer import consumer, fetcher
from aiokafka.errors import CorruptRecordException

from stream.domain.view import LogRecord

BEHIND_WAIT_MS: Final = 10


class Fetched:
    """Record batches of one partition, in log order, that hold records from `first` on; none at or after `stop`.

    `timestamp`: append time of the newest one, milliseconds UTC.
    """

    __slots__ = ("_batches", "first", "stop", "timestamp")

    def __init__(self, batches: list[Any], first: int) -> None:
        self._batches = batches
        self.first = first
        self.stop: int = batches[-1].next_offset
        self.timestamp: int = batches[-1].max_timestamp

    def records(self) -> Iterator[LogRecord]:
        """Open them one by one; to be done once. Compaction may have left none."""
        batches, self._batches = self._batches, []
        records: Iterator[LogRecord] = chain.from_iterable(batches)
        # A fetch brings the whole record batch that its offset is in.
        return dropwhile(lambda record: record.offset < self.first, records)


class Unopened:
    """Takes the place of aiokafka's `PartitionRecords`: an iterator over one `Fetched`, or nothing."""

    def __init__(
        self, tp: Any, records: Any, aborted: Any, fetch_offset: int, key: Any, value: Any, crcs: bool, level: Any
    ) -> None:
        self._tp = tp
        self._records = records
        self._check_crcs = crcs
        self.next_fetch_offset = fetch_offset

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Fetched:
        first, batches = self.next_fetch_offset, []
        while self._records.has_next():
            batch = self._records.next_batch()
            if self._check_crcs and not batch.validate_crc():
                raise CorruptRecordException(f"Invalid CRC - {self._tp}")
            # The last offset counts even where compaction has taken its record away: the next fetch goes on behind it.
            self.next_fetch_offset = batch.next_offset
            if not batch.is_control_batch:
                batches.append(batch)
        if not batches:
            raise StopIteration
        return Fetched(batches, first)


class Fetcher(fetcher.Fetcher):  # type: ignore[misc]  # aiokafka ships no types
    """Asks a broker for all partitions of which nothing waits to be consumed; one question at a time.

    While something waits, its partition is not asked for. A question about the others alone must not be a long one: the
    broker would keep it until one of them gets a record, and nothing could be asked about the first meanwhile. One
    partition that is behind while the others are quiet would come on by a fetch every half second.
    """

    @property
    def _fetch_max_wait_ms(self) -> int:
        return min(self._longest_wait_ms, BEHIND_WAIT_MS) if self._records else self._longest_wait_ms

    @_fetch_max_wait_ms.setter
    def _fetch_max_wait_ms(self, wait_ms: int) -> None:
        self._longest_wait_ms = wait_ms


def records_off_the_wire() -> None:
    """From now on every consumer of this process gives a `Fetched` for all records of a partition."""
    fetcher.PartitionRecords = Unopened
    consumer.Fetcher = Fetcher


def opened(found: Iterable[Any]) -> Iterator[LogRecord]:
    """The records of a fetch, whether it came unopened or not."""
    for item in found:
        if isinstance(item, Fetched):
            yield from item.records()
        else:
            yield item
