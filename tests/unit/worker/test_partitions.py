"""All partitions of a worker: opened once, closed whatever they are doing, ticked when something is due."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from aiokafka.errors import KafkaConnectionError

from schemas.carries import Carry
from schemas.generations import FIRST
from stream.errors import Revoked
from stream.partitions import Partitions
from stream.upkeep import CARRY_EVERY_S
from tests.unit.stream.fakes import DAY, HOUR, MINUTE, PARTITION, TEAMS, LogBuilder, Record
from tests.unit.worker.fakes import FakeLog, FakeOutbox, until

LATER_MS = 4_000_000_000_000  # something is due by then


class World:
    """A worker's partitions on a real RocksDB."""

    def __init__(self, root: Path) -> None:
        self.log = FakeLog()
        self.outbox = FakeOutbox()
        self.told: list[tuple[int, int]] = []
        self.partitions = Partitions(root, FIRST, self.outbox, self.log, lambda *told: self.told.append(told))

    async def apply(self, records: list[Record], number: int = PARTITION) -> None:
        await self.partitions.apply(number, records[0].offset, records)
        partition = await self.partitions.ensure(number)
        await partition.drained()

    async def tick(self, now_ms: int, highwater: int | None) -> None:
        await self.partitions.tick(now_ms, lambda _: highwater)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path)
    yield world
    await world.partitions.close_all()


def answers(count: int) -> list[Record]:
    builder = LogBuilder()
    for number in range(count):
        builder.answer(number, 9)
    return builder.records


async def test_a_batch_that_comes_before_the_signal_opens_its_partition(world: World) -> None:
    await world.apply(answers(3))
    task = world.partitions.begin(PARTITION)
    assert task.done()
    assert await world.partitions.ensure(PARTITION) is task.result()
    assert world.told == [(PARTITION, 0), (PARTITION, 3)]


async def test_a_partition_is_opened_once_however_many_ask(world: World) -> None:
    world.log.hold.clear()
    asking = [asyncio.create_task(world.partitions.ensure(PARTITION)) for _ in range(3)]
    await asyncio.sleep(0)
    assert world.partitions.not_open() == [PARTITION]
    world.log.hold.set()
    assert len({id(await task) for task in asking}) == 1
    assert world.partitions.not_open() == []


async def test_a_partition_taken_away_while_it_is_opened_lets_go_of_its_files(world: World) -> None:
    world.log.hold.clear()
    waiting = asyncio.create_task(world.partitions.apply(PARTITION, 0, answers(1)))
    await asyncio.sleep(0)
    await world.partitions.close([PARTITION])
    with pytest.raises(Revoked):
        await waiting
    world.log.hold.set()
    await world.apply(answers(1))  # the database's lock is free again
    assert world.told[-1] == (PARTITION, 1)


async def test_a_partition_given_back_and_taken_again_goes_on(world: World) -> None:
    records = answers(5)
    world.log.records = records
    await world.apply(records[:3])
    await world.partitions.close([PARTITION])
    world.log.group = 3
    await world.apply(records[2:])
    assert world.told[-1] == (PARTITION, 5)
    assert world.log.reads == [(2, 3)]


async def test_an_opening_that_ends_in_the_very_moment_it_is_cancelled_is_closed_too(world: World) -> None:
    """A library that swallows a cancellation must not leave a database open that nobody holds."""

    async def stubborn(partition: int) -> int:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return 0

    world.log.committed = stubborn  # type: ignore[method-assign]
    task = world.partitions.begin(PARTITION)
    await asyncio.sleep(0)
    await world.partitions.close([PARTITION])
    assert task.result().revoked.is_set()
    del world.log.committed
    await world.apply(answers(1))


async def test_partitions_nobody_has_opened_may_be_closed(world: World) -> None:
    await world.partitions.close([1, 2, 3])


class TestTicks:
    async def test_comes_when_something_is_due_and_everything_is_folded(self, world: World) -> None:
        await world.apply(answers(3))
        await world.tick(LATER_MS, highwater=3)
        assert world.outbox.ticks == [PARTITION]

    async def test_does_not_come_before_it_is_due(self, world: World) -> None:
        records = answers(1)
        await world.apply(records)
        an_hour_later = records[0].timestamp + 60 * MINUTE
        await world.tick(an_hour_later - MINUTE, highwater=1)
        assert world.outbox.ticks == []
        await world.tick(an_hour_later, highwater=1)
        assert world.outbox.ticks == [PARTITION]

    @pytest.mark.parametrize("highwater", [None, 4])
    async def test_does_not_come_while_records_wait_or_the_end_is_unknown(
        self, world: World, highwater: int | None
    ) -> None:
        await world.apply(answers(3))
        await world.tick(LATER_MS, highwater)
        assert world.outbox.ticks == []

    async def test_does_not_come_when_no_window_holds_anything(self, world: World) -> None:
        await world.partitions.ensure(PARTITION)
        await world.tick(LATER_MS, highwater=0)
        assert world.outbox.ticks == []

    async def test_comes_to_the_millisecond_when_something_is_to_be_said_of_a_case(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        clock = itertools.count(1_000.0)  # a second between any two looks
        monkeypatch.setattr(time, "monotonic", lambda: next(clock))
        builder = LogBuilder()
        builder.policy(contact_ms=5_000, resolve_ms=6_000)
        raised = builder.answer(1, 3)
        builder.tick(5_000)
        await world.apply(builder.records[:2])
        await world.tick(raised.timestamp + 4_999, highwater=2)
        assert world.outbox.ticks == []
        await world.tick(raised.timestamp + 5_000, highwater=2)
        assert world.outbox.ticks == [PARTITION]
        await world.apply(builder.records[2:])
        for after_ms, ticks in ((5_999, 1), (6_000, 2)):
            await world.tick(raised.timestamp + after_ms, highwater=3)
            assert len(world.outbox.ticks) == ticks

    async def test_comes_at_most_twice_a_second(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        clock = [1_000.0]
        monkeypatch.setattr(time, "monotonic", lambda: clock[0])
        await world.apply(answers(3))
        for elapsed, ticks in ((0.0, 1), (0.25, 1), (0.49, 1), (0.5, 2), (0.9, 2), (1.1, 3)):
            clock[0] = 1_000.0 + elapsed
            await world.tick(LATER_MS, highwater=3)
            assert len(world.outbox.ticks) == ticks, elapsed

    async def test_what_would_outlive_the_log_is_appended_once_everything_is_folded(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        clock = [1_000.0]
        monkeypatch.setattr(time, "monotonic", lambda: clock[0])
        builder = LogBuilder()
        builder.policy(contact_ms=HOUR)
        builder.tick(28 * DAY)
        await world.apply(builder.records)
        await world.tick(builder.now_ms, highwater=3)
        assert world.outbox.appended == []
        await world.tick(builder.now_ms, highwater=2)
        await world.tick(builder.now_ms, highwater=2)
        ((partition, key, value),) = world.outbox.appended
        assert (partition, key) == (PARTITION, TEAMS[0].encode())
        assert msgspec.json.decode(value, type=Carry).policy_version == 1 << 48
        builder.append(key, value)
        await world.apply(builder.records[2:])
        clock[0] += CARRY_EVERY_S
        await world.tick(builder.now_ms, highwater=3)
        assert len(world.outbox.appended) == 1

    async def test_a_broker_that_is_away_costs_a_tick_and_nothing_else(self, world: World) -> None:
        await world.apply(answers(3))
        for error in (KafkaConnectionError(), OSError(), TimeoutError()):
            world.outbox.tick_error = error
            await world.tick(LATER_MS, highwater=3)
        assert world.outbox.ticks == [PARTITION]

    async def test_a_partition_closed_while_another_ones_tick_is_on_its_way_is_left_alone(self, world: World) -> None:
        for number in (PARTITION, PARTITION + 1):
            await world.partitions.ensure(number)
        await world.apply(answers(3))
        asked: list[int] = []

        def highwater(number: int) -> int:
            asked.append(number)
            return 3

        async def revoked_meanwhile(partition: int) -> None:
            await world.partitions.close_all()

        world.outbox.tick = revoked_meanwhile  # type: ignore[method-assign]
        await world.partitions.tick(LATER_MS, highwater)
        assert asked == [PARTITION]

    async def test_a_partition_that_is_being_opened_is_not_ticked(self, world: World) -> None:
        world.log.hold.clear()
        world.partitions.begin(PARTITION)
        await world.tick(LATER_MS, highwater=0)
        assert world.outbox.ticks == []
        world.log.hold.set()
        await until(lambda: not world.partitions.not_open())
