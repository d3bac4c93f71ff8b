"""Opening a partition: P, the state's position, against C, the group's committed offset (decision 4)."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from msgspec import structs

from schemas import topics
from schemas.changes import ChangesRecord, Position
from schemas.generations import FIRST
from stream.domain import keys, values
from stream.domain.fold import fold
from stream.domain.messages import Message
from stream.errors import LogMismatch, Revoked, StateNotOfThisLog
from stream.partitions import Partition
from tests.unit.stream.fakes import PARTITION, LogBuilder, Record, play
from tests.unit.worker.fakes import FakeLog, FakeOutbox, Journal, JournalState, until


class World:
    """One partition with everything around it. The state has folded `position` records, C is `committed`."""

    def __init__(self, records: list[Record], position: int = 0, committed: int = 0) -> None:
        self.journal: Journal = []
        self.log = FakeLog(records, committed)
        self.outbox = FakeOutbox(self.journal)
        self.state = JournalState(self.journal)
        if position:
            effects = fold(self.state, records[:position], PARTITION)
            self.state.commit(effects, effects.outputs)
            self.journal.clear()
        self.partition = Partition(PARTITION, FIRST, self.state.as_state(), self.outbox, self._told)

    def _told(self, partition: int, position: int) -> None:
        self.journal.append(("told", position))

    async def open(self) -> None:
        await self.partition.catch_up(self.log)

    async def apply(self, *records: Record) -> None:
        await self.partition.apply(records[0].offset, records, self.log)
        await self.partition.drained()

    @property
    def emitted(self) -> list[int]:
        """`through` of the position messages that were sent."""
        found = [msgspec.json.decode(m.value or b"", type=ChangesRecord) for m in self.outbox.of(topics.TEAM_CHANGES)]
        return [record.through for record in found if isinstance(record, Position)]


def a_log(records: int = 6) -> list[Record]:
    builder = LogBuilder()
    for number in range(records):
        builder.now_ms += 1_000
        builder.answer(number, number % 11)
    return builder.records


def settled(state: JournalState) -> dict[bytes, bytes]:
    """The state's keys, but for what a rebuild notes about itself and for the outbox."""
    meta = structs.replace(state.meta, quiet_until=0)
    kept = {key: value for key, value in state.data.items() if key[:1] != keys.OUTBOX}
    return kept | {keys.META: values.META.pack(meta)}


async def test_a_fresh_state_of_a_fresh_group_says_everything() -> None:
    world = World(a_log())
    await world.open()
    assert world.journal == [("told", 0)]
    await world.apply(*world.log.records)
    assert world.emitted == [6]


async def test_a_state_ahead_of_the_group_sends_its_outbox_again_and_skips_what_it_has_folded() -> None:
    records = a_log()
    world = World(records, position=4, committed=2)
    await world.open()
    assert world.emitted == [4]
    assert not list(world.state.outbox())
    assert world.journal[-1] == ("told", 4)
    assert world.log.reads == [(3, 4)]  # only the record before its position, to know the log again
    folded = settled(world.state)
    await world.apply(*records[2:4])
    assert settled(world.state) == folded
    await world.apply(*records[2:])
    assert settled(world.state) == settled(World(records, position=6).state)


async def test_a_state_level_with_the_group_drains_and_goes_on() -> None:
    world = World(a_log(), position=4, committed=4)
    await world.open()
    assert world.emitted == [4]


async def test_a_state_behind_the_group_drops_its_outbox_and_folds_quietly_up_to_it() -> None:
    records = a_log()
    world = World(records, position=2, committed=5)
    await world.open()
    assert world.outbox.sent == []
    assert world.state.meta.quiet_until == 5
    assert world.state.meta.position == 5
    assert not list(world.state.outbox())
    assert world.journal[-1] == ("told", 5)
    await world.apply(records[5])
    assert world.emitted == [6]
    assert settled(world.state) == settled(World(records, position=6).state)


async def test_a_new_disk_is_rebuilt_quietly() -> None:
    records = a_log()
    world = World(records, committed=6)
    await world.open()
    assert world.outbox.sent == []
    assert settled(world.state) == settled(World(records, position=6).state)


async def test_a_rebuild_that_was_cut_short_goes_on_where_it_was() -> None:
    records = a_log()
    world = World(records, committed=6)
    world.log.hold.clear()
    opening = asyncio.create_task(world.open())
    world.log.hold.set()
    await until(lambda: world.state.meta.position == 2)
    opening.cancel()
    await asyncio.wait({opening})
    assert world.log.open_reads == 0  # no consumer is left behind
    world.partition = Partition(PARTITION, FIRST, world.state.as_state(), world.outbox, lambda *_: None)
    await world.open()
    assert world.log.reads[-1] == (2, 6)
    assert world.outbox.sent == []
    assert settled(world.state) == settled(World(records, position=6).state)


async def test_offsets_that_hold_no_record_are_no_obstacle() -> None:
    builder = LogBuilder()
    for number in range(4):
        builder.append(*_answer(builder, number), skip=3)
    world = World(builder.records, committed=builder.next_offset)
    await world.open()
    assert world.state.meta.position == builder.next_offset


def _answer(builder: LogBuilder, number: int) -> tuple[bytes | None, bytes | None]:
    record = LogBuilder(builder.now_ms).answer(number, 9)
    return record.key, record.value


async def test_a_log_that_ends_before_the_state_is_another_log() -> None:
    records = a_log()
    world = World(records, position=6)
    world.log.records = records[:4]
    with pytest.raises(StateNotOfThisLog, match="the log ends at 4") as found:
        await world.open()
    assert found.value.code == "state_not_of_this_log"
    assert world.state.cleared == 0


@pytest.mark.parametrize("change", [{"timestamp": 7}, {"value": b"{}"}, {"key": b"other"}])
async def test_another_record_before_the_state_is_another_log(change: dict[str, object]) -> None:
    records = a_log()
    world = World(records, position=4, committed=4)
    fields = {name: getattr(records[3], name) for name in ("offset", "timestamp", "key", "value")} | change
    world.log.records[3] = Record(**fields)
    with pytest.raises(StateNotOfThisLog, match="another one"):
        await world.open()
    assert world.outbox.sent == []


async def test_no_record_before_the_state_is_another_log_too() -> None:
    records = a_log()
    world = World(records, position=4, committed=4)
    del world.log.records[3]
    with pytest.raises(StateNotOfThisLog):
        await world.open()


async def test_a_committed_offset_beyond_the_log_stops_the_worker_instead_of_waiting_for_ever() -> None:
    world = World(a_log(3), committed=9)
    with pytest.raises(LogMismatch, match="committed 9 in partition 3, its log ends at 3"):
        await world.open()


@pytest.mark.parametrize("change", [{"fold_version": values.FOLD_VERSION + 1}, {"generation": 2}])
async def test_an_outdated_state_is_cleared_and_rebuilt(change: dict[str, int]) -> None:
    records = a_log()
    world = World(records, position=6, committed=4)
    world.state.set_meta(structs.replace(world.state.meta, **change))
    await world.open()
    assert world.state.cleared == 1
    assert world.outbox.sent == []
    await world.apply(*records[4:])
    assert world.emitted == [6]
    assert settled(world.state) == settled(World(records, position=6).state)


async def test_the_state_of_an_older_generation_is_cleared_even_if_its_log_was_longer() -> None:
    records = a_log()
    world = World(records, position=6)
    world.state.set_meta(structs.replace(world.state.meta, generation=2))
    world.log.records = records[:3]
    await world.open()
    assert world.state.cleared == 1


async def test_a_state_from_before_what_the_log_still_holds_is_cleared() -> None:
    records = a_log()
    world = World(records, position=2, committed=5)
    world.log.first = 4
    await world.open()
    assert world.state.cleared == 1
    assert world.state.meta.position == 5
    await world.apply(records[5])
    assert world.emitted == [6]


async def test_a_state_right_where_the_log_begins_is_kept() -> None:
    world = World(a_log(), position=4, committed=4)
    world.log.first = 4
    await world.open()
    assert world.state.cleared == 0
    assert world.emitted == [4]


async def test_a_fresh_state_begins_where_the_log_does() -> None:
    records = a_log()
    world = World(records, committed=4)
    world.log.first = 4
    await world.open()
    await world.apply(*records[4:])
    assert settled(world.state) == settled_of(records[4:])


def settled_of(records: list[Record]) -> dict[bytes, bytes]:
    run = play(records)
    return {key: value for key, value in run.state.data.items() if key[:1] != keys.OUTBOX} | {
        keys.META: values.META.pack(structs.replace(run.state.meta, quiet_until=0))
    }


async def test_a_revocation_while_rebuilding_lets_go_at_once() -> None:
    world = World(a_log(), committed=6)
    world.log.hold.clear()
    opening = asyncio.create_task(world.open())
    await asyncio.sleep(0)
    world.partition.revoked.set()
    world.log.hold.set()
    with pytest.raises(Revoked):
        await opening
    assert world.state.meta.position < 6
    assert world.log.open_reads == 0
    assert ("told", 6) not in world.journal


async def test_several_batches_left_in_the_outbox_are_sent_in_their_order() -> None:
    records = a_log()
    world = World(records, position=2)
    effects = fold(world.state, records[2:4], PARTITION)
    world.state.commit(effects, effects.outputs)
    await world.open()
    assert world.emitted == [2, 4]
    assert [entry for entry in world.journal if entry[0] == "told"] == [("told", 2), ("told", 4), ("told", 4)]


def test_a_message_of_the_outbox_comes_back_as_it_was() -> None:
    state = JournalState()
    effects = fold(state, a_log(1), PARTITION)
    messages = [Message("a", None, b"x"), Message("b", b"k", b"\xff")]
    state.commit(effects, messages)
    assert list(state.outbox()) == [(1, messages)]
