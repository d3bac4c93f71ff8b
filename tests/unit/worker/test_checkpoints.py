"""Checkpoints of real RocksDB states: whole or not there, the newest two, and what a rebuild makes of them."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import structs

from schemas.generations import FIRST
from stream import checkpoints
from stream.checkpoints import Checkpoint, Checkpoints
from stream.domain import keys, values
from stream.domain.values import Meta
from stream.domain.view import UNLIMITED
from stream.errors import Revoked
from stream.partitions import Partitions
from stream.state import State, folder_of, peek, shared_memory
from tests.unit.stream.fakes import PARTITION, LogBuilder, Record
from tests.unit.worker.fakes import FakeLog, FakeOutbox, until
from tests.unit.worker.writing import stay, write

ROOT = Path(__file__).parents[3]


def content(path: Path) -> dict[bytes, bytes]:
    """All keys of a copy; the copy itself stays as it is."""
    copy = path.with_name("copy-to-read")
    checkpoints.copy_database(path, copy, stay)
    state = State(copy, shared_memory(8))
    found = dict(state.scan(b"", b"", b"\xff", UNLIMITED))
    state.close()
    shutil.rmtree(copy)
    return found


@pytest.fixture
def copies(tmp_path: Path) -> Checkpoints:
    return Checkpoints(tmp_path / "checkpoints", tmp_path / "state")


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    state = State(folder_of(tmp_path / "state", PARTITION), shared_memory(8))
    yield state
    state.close()


@pytest.mark.parametrize("links", [True, False], ids=["links", "another-filesystem"])
def test_a_checkpoint_holds_everything_at_the_position_in_its_name(
    copies: Checkpoints, state: State, links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not links:

        def refused(*_: object) -> None:
            raise OSError("cross-device link")

        monkeypatch.setattr(Path, "hardlink_to", refused)
    write(state, 7)
    made = copies.make(PARTITION, state.snapshot, stay)
    write(state, 8)
    assert made.position == 7
    assert made.path.name.endswith("-000000000000007")
    assert copies.of(PARTITION) == [made]
    assert peek(made.path) == Meta(position=7)
    found = content(made.path)
    assert {found[b"p%03d" % n] for n in range(200)} == {b"7"}
    assert [key for key in found if key[:1] == keys.OUTBOX] == [keys.OUTBOX + keys.number(7)]
    assert not list(folder_of(made.path.parents[1], PARTITION).glob(".*"))


def test_writing_goes_on_while_checkpoints_are_made(copies: Checkpoints, state: State) -> None:
    made: list[Checkpoint] = []

    def make() -> None:
        made.extend(copies.make(PARTITION, state.snapshot, stay) for _ in range(5))

    write(state, 1)
    thread = threading.Thread(target=make)
    thread.start()
    position = 1
    while thread.is_alive():
        position += 1
        write(state, position)
    thread.join()
    assert len(made) == 5
    for one in copies.of(PARTITION):
        found = content(one.path)
        assert {found[b"p%03d" % n] for n in range(200)} == {b"%d" % one.position}


def test_the_newest_two_stay(copies: Checkpoints, state: State) -> None:
    made = []
    for position in range(1, 5):
        write(state, position)
        made.append(copies.make(PARTITION, state.snapshot, stay))
    assert copies.of(PARTITION) == [made[3], made[2]]
    assert sorted(path.name for path in made[0].path.parent.iterdir()) == [made[2].path.name, made[3].path.name]


def test_one_that_was_left_half_way_does_not_count_and_is_cleared_away(copies: Checkpoints, state: State) -> None:
    write(state, 1)
    made = copies.make(PARTITION, state.snapshot, stay)
    asked: list[None] = []

    def leave() -> bool:
        asked.append(None)
        return len(asked) > 2

    write(state, 2)
    with pytest.raises(Revoked):
        copies.make(PARTITION, state.snapshot, leave)
    assert copies.of(PARTITION) == [made]
    assert list(made.path.parent.glob(".*"))
    copies.make(PARTITION, state.snapshot, stay)
    assert not list(made.path.parent.glob(".*"))


def test_a_folder_that_cannot_be_written_to_is_an_error_and_leaves_the_state_alone(
    copies: Checkpoints, state: State, tmp_path: Path
) -> None:
    (tmp_path / "checkpoints").write_text("not a folder")
    write(state, 1)
    with pytest.raises(OSError, match="checkpoints"):
        copies.make(PARTITION, state.snapshot, stay)
    write(state, 2)
    assert state.meta.position == 2


def test_what_is_no_state_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="CURRENT"):
        peek(tmp_path / "nothing")


MAKER = """
import sys
from pathlib import Path
from stream.checkpoints import Checkpoints
from stream.state import State, folder_of, shared_memory
from tests.unit.worker.writing import stay, write

root, partition = Path(sys.argv[1]), int(sys.argv[2])
copies = Checkpoints(root / "checkpoints", root / "state")
state = State(folder_of(root / "state", partition), shared_memory(8))
position = state.meta.position
while True:
    position += 1
    write(state, position)
    copies.make(partition, state.snapshot, stay)
    print(position, flush=True)
"""


def test_kill_9_half_way_leaves_only_whole_checkpoints(copies: Checkpoints, tmp_path: Path) -> None:
    for kills in range(4):
        maker = subprocess.Popen(
            [sys.executable, "-c", MAKER, str(tmp_path), str(PARTITION)],
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        assert maker.stdout is not None
        for _ in range(3 + kills):
            last = int(maker.stdout.readline())
        maker.send_signal(signal.SIGKILL)
        maker.wait(timeout=10)
        maker.stdout.close()
        newest, *older = copies.of(PARTITION)
        assert newest.position >= last
        assert 1 <= len(older) <= 2  # the one that was to go may not have gone yet
        for one in (newest, *older):
            assert {value for key, value in content(one.path).items() if key[:1] == b"p"} == {b"%d" % one.position}


class World:
    """A worker with a checkpoint folder, on a real RocksDB; its log of twelve records has all been committed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        builder = LogBuilder()
        for number in range(12):
            builder.now_ms += 1_000
            builder.answer(number, number % 11)
        self.log = FakeLog(builder.records, committed=12)
        self.outbox = FakeOutbox()
        self.copies = Checkpoints(root / "checkpoints", root / "state")
        self.start()

    def start(self) -> None:
        """A worker that has opened nothing yet."""
        self.told: list[tuple[int, int]] = []
        self.partitions = Partitions(
            self.root / "state",
            FIRST,
            self.outbox,
            self.log,
            lambda *at: self.told.append(at),
            self.root / "checkpoints",
        )

    async def at(self, position: int) -> None:
        """Fold to a position and make a checkpoint there."""
        self.log.group = 0
        await self.fold(self.log.records[:position])
        await self.partitions.checkpoint()
        self.log.group = 12

    async def fold(self, records: list[Record]) -> None:
        await self.partitions.apply(PARTITION, records[0].offset, records)
        await (await self.partitions.ensure(PARTITION)).drained()

    async def wiped(self) -> None:
        """The disk is lost."""
        await self.partitions.close_all()
        shutil.rmtree(self.root / "state")
        self.log.reads.clear()
        self.outbox.sent.clear()
        self.start()

    async def all_keys(self) -> dict[bytes, bytes]:
        """The state's keys when everything is folded, without what is local to it."""
        await self.partitions.close_all()
        state = State(folder_of(self.root / "state", PARTITION), shared_memory(8))
        found = dict(state.scan(b"", b"", b"\xff", UNLIMITED))
        state.close()
        return {key: value for key, value in found.items() if key[:1] not in (keys.OUTBOX, keys.META)}


@pytest.fixture
async def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_a_wiped_disk_comes_back_from_the_newest_checkpoint_and_folds_only_the_tail(world: World) -> None:
    await world.at(5)
    await world.at(8)
    await world.wiped()
    await world.partitions.ensure(PARTITION)
    assert world.log.reads == [(7, 8), (8, 12)]  # the record before it, to know the log again, and the tail
    assert world.told == [(PARTITION, 12)]
    assert world.outbox.sent == []
    restored = await world.all_keys()
    await world.wiped()
    shutil.rmtree(world.root / "checkpoints")
    await world.partitions.ensure(PARTITION)
    assert world.log.reads == [(0, 12)]
    assert await world.all_keys() == restored


async def test_what_is_restored_is_no_part_of_the_checkpoint_any_more(world: World) -> None:
    await world.at(8)
    (one,) = world.copies.of(PARTITION)
    before = content(one.path)
    await world.wiped()
    await world.partitions.ensure(PARTITION)
    await world.partitions.close_all()
    assert content(one.path) == before
    assert peek(one.path).position == 8


async def test_a_checkpoint_ahead_of_what_is_committed_says_again_what_was_not_acknowledged(world: World) -> None:
    world.outbox.hold.clear()
    world.log.group = 0
    await world.partitions.apply(PARTITION, 0, world.log.records[:6])
    await world.partitions.checkpoint()
    await world.wiped()
    world.log.group = 3
    world.outbox.hold.set()
    await world.partitions.ensure(PARTITION)
    assert world.told == [(PARTITION, 6), (PARTITION, 6)]
    assert world.outbox.sent
    assert world.log.reads == [(5, 6)]


@pytest.mark.parametrize("what", ["another log", "damaged", "older fold"])
async def test_a_checkpoint_that_cannot_be_used_is_passed_over_for_the_one_before_it(world: World, what: str) -> None:
    await world.at(5)
    await world.at(8)
    newest = world.copies.of(PARTITION)[0]
    await world.wiped()
    if what == "another log":
        record = world.log.records[7]
        world.log.records[7] = Record(7, record.timestamp + 1, record.key, record.value)
    elif what == "damaged":
        (newest.path / "CURRENT").unlink()
    else:
        meta = peek(newest.path)
        state = State(newest.path, shared_memory(8))
        state.set_meta(structs.replace(meta, fold_version=values.FOLD_VERSION - 1))
        state.close()
    await world.partitions.ensure(PARTITION)
    assert world.log.reads[-1] == (5, 12)
    assert world.told == [(PARTITION, 12)]
    await world.partitions.close_all()


async def test_without_a_usable_checkpoint_the_log_is_folded_from_its_start(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.at(5)
    await world.wiped()

    def refused(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(Checkpoints, "fetch", refused)
    await world.partitions.ensure(PARTITION)
    assert world.log.reads[-1] == (0, 12)
    await world.partitions.close_all()


async def test_a_disk_that_is_a_little_behind_is_folded_on_and_one_far_behind_is_not(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.log.group = 0
    await world.fold(world.log.records[:3])
    await world.partitions.close_all()
    shutil.copytree(world.root / "state", world.root / "stale")
    world.start()
    await world.at(8)
    for worth, start in ((50_000, 3), (4, 8)):
        monkeypatch.setattr(checkpoints, "WORTH_RECORDS", worth)
        await world.wiped()
        shutil.copytree(world.root / "stale", world.root / "state")
        await world.partitions.ensure(PARTITION)
        assert world.log.reads[-1] == (start, 12)
    await world.partitions.close_all()


async def test_nothing_is_copied_twice_when_nothing_came(world: World) -> None:
    await world.at(5)
    await world.partitions.checkpoint()
    assert len(world.copies.of(PARTITION)) == 1
    await world.partitions.close_all()


async def test_a_revocation_waits_for_no_copy_and_leaves_none_half(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    copying, go_on = threading.Event(), threading.Event()
    real = checkpoints.copy_database

    def slow(source: Path, target: Path, leave: checkpoints.Leave) -> None:
        copying.set()
        go_on.wait(10)
        real(source, target, leave)

    monkeypatch.setattr(checkpoints, "copy_database", slow)
    world.log.group = 0
    await world.fold(world.log.records[:5])
    making = asyncio.create_task(world.partitions.checkpoint())
    await until(copying.is_set)
    partition = await world.partitions.ensure(PARTITION)
    closing = asyncio.create_task(world.partitions.close([PARTITION]))
    await until(partition.revoked.is_set)
    assert not closing.done()  # the state stays open for as long as the thread uses it
    go_on.set()
    await closing
    await making
    assert world.copies.of(PARTITION) == []
    State(folder_of(world.root / "state", PARTITION), shared_memory(8)).close()  # its lock is free
