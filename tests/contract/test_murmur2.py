"""Keys find the partition that Kafka's own clients put them in."""

from __future__ import annotations

import pytest
from aiokafka.partitioner import murmur2 as murmur2_of_aiokafka
from hypothesis import given
from hypothesis import strategies as st

from schemas.topics import PARTITIONS, murmur2, partition_of


# Source: Apache Kafka, UtilsTest.testMurmur2; signed there.
@pytest.mark.parametrize(
    ("key", "signed"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2_is_that_of_kafka(key: bytes, signed: int) -> None:
    assert murmur2(key) == signed % 2**32


@pytest.mark.parametrize(("key", "partition"), [(b"team-1", 15), (b"team-9", 3), (b"none", 8), (b"a", 12)])
def test_teams_lie_in_these_partitions_of_16(key: bytes, partition: int) -> None:
    assert partition_of(key) == partition_of(key, PARTITIONS) == partition


@given(st.binary(max_size=80))
def test_murmur2_is_that_of_aiokafka(key: bytes) -> None:
    assert murmur2(key) == murmur2_of_aiokafka(key) % 2**32


@given(st.binary(max_size=80), st.integers(1, 100))
def test_a_key_has_one_of_the_partitions(key: bytes, partitions: int) -> None:
    assert partition_of(key, partitions) == (murmur2_of_aiokafka(key) & 0x7FFFFFFF) % partitions
