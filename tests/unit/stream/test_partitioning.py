"""The partition of a key is what Kafka's Java client makes it, so that any producer's records land where we look."""

from __future__ import annotations

import pytest
from aiokafka.partitioner import murmur2 as of_aiokafka
from hypothesis import given
from hypothesis import strategies as st

from schemas.topics import PARTITIONS, murmur2, partition_of
from tests.unit.stream.logs import PROPERTY


@pytest.mark.parametrize(
    ("key", "signed"),
    [
        # From Apache Kafka's own UtilsTest.testMurmur2.
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2_gives_what_kafkas_own_test_expects(key: bytes, signed: int) -> None:
    assert murmur2(key) == signed % (1 << 32)


@pytest.mark.parametrize(("key", "partition"), [(b"team-1", 15), (b"team-9", 3), (b"none", 8), (b"a", 12)])
def test_teams_lie_in_these_partitions_of_16(key: bytes, partition: int) -> None:
    assert partition_of(key) == partition_of(key, PARTITIONS) == partition


@PROPERTY
@given(st.binary(max_size=80))
def test_murmur2_equals_aiokafkas(key: bytes) -> None:
    assert murmur2(key) == of_aiokafka(key) % (1 << 32)
    assert partition_of(key) == (of_aiokafka(key) & 0x7FFFFFFF) % 16
