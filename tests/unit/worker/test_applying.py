"""Applying batches: the order of effects, the gaps of a consumer, and a partition taken away in the middle."""

from __future__ import annotations

import asyncio

import pytest

from schemas import topics
from schemas.generations import FIRST
from stream.errors import Revoked
from stream.partitions import Partition
from tests.unit.stream.fakes import PARTITION, LogBuilder, Record
from tests.unit.worker.fakes import FakeLog, FakeOutbox, Journal, JournalState, until


class World:
    """One open, empty partition with everything around it."""

    def __init__(self, records: int = 6) -> None:
        builder = LogBuilder()
        for number in range(records):
            builder.now_ms += 1_000
            builder.answer(number, number % 11)
        self.records: list[Record] = builder.records
        self.journal: Journal = []
        self.log = FakeLog(self.records)
        self.outbox = FakeOutbox(self.journal)
        self.state = JournalState(self.journal)
        self.partition = Partition(PARTITION, FIRST, self.state.as_state(), self.outbox, self._told)

    def _told(self, partition: int, position: int) -> None:
        assert partition == PARTITION
        self.journal.append(("told", position))

    async def apply(self, start: int, stop: int) -> None:
        await self.partition.apply(self.records[start].offset, self.records[start:stop], self.log)

    @property
    def steps(self) -> list[str]:
        return [entry[0] for entry in self.journal]


async def test_state_then_outbox_then_clearing_then_the_leave_to_commit() -> None:
    world = World()
    await world.apply(0, 3)
    await world.partition.drained()
    assert world.steps == ["commit", "send", "acknowledged", "clear", "told"]
    assert world.journal[-1] == ("told", 3)


async def test_until_the_broker_has_acknowledged_nothing_may_be_committed() -> None:
    world = World()
    world.outbox.hold.clear()
    await world.apply(0, 3)
    await until(lambda: world.outbox.waiting == 1)
    assert world.steps == ["commit", "send"]
    assert [position for position, _ in world.state.outbox()] == [3]
    world.outbox.hold.set()
    await world.partition.drained()
    assert world.journal[-1] == ("told", 3)


async def test_the_next_batch_waits_until_the_one_before_is_acknowledged() -> None:
    world = World()
    world.outbox.hold.clear()
    await world.apply(0, 3)
    second = asyncio.create_task(world.apply(3, 6))
    await until(lambda: world.outbox.waiting == 1)
    assert world.steps.count("commit") == 1
    world.outbox.hold.set()
    await second
    await world.partition.drained()
    assert world.steps == ["commit", "send", "acknowledged", "clear", "told"] * 2


async def test_records_that_the_consumer_skipped_are_read_from_the_log() -> None:
    world = World()
    await world.apply(0, 1)
    await world.apply(4, 6)
    await world.partition.drained()
    assert world.log.reads == [(1, 4)]
    assert [entry for entry in world.journal if entry[0] == "told"] == [
        ("told", 1),
        ("told", 3),
        ("told", 4),
        ("told", 6),
    ]
    assert world.partition.position == 6
    assert len(world.outbox.of(topics.TEAM_SCORES)) == 4


async def test_records_that_come_again_are_folded_once() -> None:
    world = World()
    await world.apply(0, 4)
    await world.partition.drained()
    scores = world.outbox.of(topics.TEAM_SCORES)
    await world.apply(1, 4)
    await world.partition.drained()
    assert world.outbox.of(topics.TEAM_SCORES) == scores
    assert world.partition.position == 4
    assert world.log.reads == []


async def test_a_revocation_while_the_outbox_is_on_its_way_gives_way_at_once() -> None:
    world = World()
    world.outbox.hold.clear()
    await world.apply(0, 3)
    waiting = asyncio.create_task(world.apply(3, 6))
    await until(lambda: world.outbox.waiting == 1)
    await asyncio.wait_for(world.partition.close(), 1)
    with pytest.raises(Revoked):
        await waiting
    assert world.state.closed
    assert world.outbox.waiting == 0
    assert "told" not in world.steps
    assert "clear" not in world.steps


async def test_a_revocation_just_after_the_acknowledgement_leaves_the_outbox_to_the_next_opening() -> None:
    world = World()
    world.outbox.hold.clear()
    await world.apply(0, 3)
    await until(lambda: world.outbox.waiting == 1)
    world.outbox.hold.set()
    world.partition.revoked.set()
    with pytest.raises(Revoked):
        await world.partition.drained()
    assert "told" not in world.steps
    assert [position for position, _ in world.state.outbox()] == [3]


async def test_a_revocation_while_a_gap_is_read_gives_way() -> None:
    world = World()
    await world.apply(0, 1)
    world.log.hold.clear()
    waiting = asyncio.create_task(world.apply(4, 6))
    await until(lambda: world.log.open_reads == 1)
    await world.partition.close()
    world.log.hold.set()
    with pytest.raises(Revoked):
        await waiting
    assert world.log.open_reads == 0


async def test_a_revocation_while_an_empty_gap_is_read_gives_way() -> None:
    """The log holds nothing there: nothing is read, yet time passes, and the state is closed by then."""
    world = World()
    await world.apply(0, 1)
    await world.partition.drained()
    world.log.records = []
    world.log.before_reading = world.partition.close
    with pytest.raises(Revoked):
        await world.apply(4, 6)


async def test_nothing_is_folded_once_the_partition_is_somebody_elses() -> None:
    world = World()
    await world.partition.close()
    with pytest.raises(Revoked):
        await world.apply(0, 3)
    assert world.journal == []


async def test_closing_is_idempotent_for_what_is_under_way() -> None:
    world = World()
    world.outbox.hold.clear()
    await world.apply(0, 3)
    await world.partition.close()
    await world.partition.drained()  # there is nothing left to wait for
    assert world.outbox.waiting == 0
