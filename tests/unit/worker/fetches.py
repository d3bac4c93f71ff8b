"""Fetches as a broker answers them: real record batches, made by aiokafka's own builder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from aiokafka.consumer import consumer, fetcher
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from faust.types import TP

from stream.fetched import Fetched, Unopened, records_off_the_wire
from tests.unit.stream.fakes import Record


def record_batch(records: Sequence[Record], *, compression: int = 0) -> bytes:
    """One record batch as it stands in the log."""
    base = records[0].offset
    builder = DefaultRecordBatchBuilder(2, compression, 0, -1, -1, -1, 1 << 20)
    for record in records:
        headers = list(record.headers)
        builder.append(record.offset - base, record.timestamp, record.key, record.value, headers)
    raw = bytearray(builder.build())
    raw[:8] = base.to_bytes(8, "big")  # the broker's part; the checksum leaves it out
    return bytes(raw)


def unopened(tp: TP, raw: bytes, fetch_offset: int, *, check_crcs: bool = True) -> Any:
    """What aiokafka's fetcher makes of an answer."""
    return Unopened(tp, MemoryRecords(raw), None, fetch_offset, None, None, check_crcs, 0)


def fetched(tp: TP, records: Sequence[Record]) -> Fetched:
    """A fetch of these records."""
    (one,) = unopened(tp, record_batch(records), records[0].offset)
    assert isinstance(one, Fetched)
    return one


@contextmanager
def off_the_wire() -> Iterator[None]:
    """Consumers give whole fetches inside, and afterwards what they gave before."""
    before = fetcher.PartitionRecords, consumer.Fetcher
    records_off_the_wire()
    try:
        yield
    finally:
        fetcher.PartitionRecords, consumer.Fetcher = before
