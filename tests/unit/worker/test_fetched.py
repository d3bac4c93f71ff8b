"""What a fetch brought, opened only where it is needed: the same records as aiokafka would have given."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka.consumer import consumer, fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.memory_records import MemoryRecords
from faust.types import TP

from schemas import topics
from stream.fetched import Fetched, Fetcher, Unopened, opened
from tests.unit.stream.fakes import Record
from tests.unit.worker.fetches import off_the_wire, record_batch, unopened

TP_3 = TP(topics.FEEDBACK, 3)


def record(offset: int, value: bytes | None = b"v") -> Record:
    return Record(offset, 1_000 + offset, b"team", value, (("h", b"%d" % offset),))


def told(found: Any) -> list[tuple[Any, ...]]:
    return [(one.offset, one.timestamp, one.key, one.value, list(one.headers)) for one in found]


@pytest.mark.parametrize("fetch_offset", [5, 6, 7])
@pytest.mark.parametrize("compression", [0, 1], ids=["plain", "gzip"])
def test_the_records_are_those_that_aiokafka_gives(fetch_offset: int, compression: int) -> None:
    first = record_batch([record(5), record(6, None), record(7)], compression=compression)
    raw = first + record_batch([record(9), record(10)], compression=compression)
    theirs = fetcher.PartitionRecords(TP_3, MemoryRecords(raw), None, fetch_offset, None, None, True, 0)
    expected = told(theirs)
    ours = unopened(TP_3, raw, fetch_offset)
    (one,) = ours
    assert told(one.records()) == expected
    assert expected[0][0] == fetch_offset
    assert ours.next_fetch_offset == theirs.next_fetch_offset == 11
    assert (one.first, one.stop, one.timestamp) == (fetch_offset, 11, 1_010)


def test_offsets_that_compaction_has_emptied_are_passed_over() -> None:
    ours = unopened(TP_3, record_batch([record(5), record(19)]), 6)  # 6 to 18 hold nothing
    (one,) = ours
    assert [found.offset for found in one.records()] == [19]
    assert ours.next_fetch_offset == 20


def test_a_fetch_of_nothing_gives_nothing() -> None:
    assert list(unopened(TP_3, b"", 3)) == []


def test_a_damaged_batch_is_told_before_anything_is_given() -> None:
    raw = bytearray(record_batch([record(5)]))
    raw[-1] ^= 1
    with pytest.raises(CorruptRecordException):
        next(unopened(TP_3, bytes(raw), 5))
    assert isinstance(next(unopened(TP_3, bytes(raw), 5, check_crcs=False)), Fetched)


@off_the_wire()
def test_the_fetcher_takes_them_for_its_own() -> None:
    """The seam is a private name: this is what has to hold after an update of aiokafka."""
    assert (fetcher.PartitionRecords, consumer.Fetcher) == (Unopened, Fetcher)
    raw = record_batch([record(5), record(6)])
    own: Any = fetcher.PartitionRecords(TP_3, MemoryRecords(raw), [], 5, None, None, True, 0)
    state = type(
        "State", (), {"position": 5, "paused": False, "consumed_to": lambda self, at: setattr(self, "position", at)}
    )()
    assignment = type("Assignment", (), {"active": True, "state_value": lambda *_: state})()
    result = fetcher.FetchResult(TP_3, assignment=assignment, partition_records=own, backoff=0)
    (one,) = result.getall(40)
    assert [found.offset for found in one.records()] == [5, 6]
    assert not result.has_more()
    assert state.position == 7


def test_records_are_opened_where_a_fetch_did_not_come_opened() -> None:
    (one,) = unopened(TP_3, record_batch([record(5), record(6)]), 6)
    assert [found.offset for found in opened([one, record(9)])] == [6, 9]
