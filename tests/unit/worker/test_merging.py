"""The merge of a log's partitions: by append time, each in its own order, and one copy of a command at its place."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from itertools import pairwise

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from schemas.feedback import EraseRespondent, Tick
from schemas.topics import APPENDED_HEADER
from stream.domain.reading import appended_ms
from stream.domain.view import LogRecord
from stream.merging import APART_MS, Command, Copy, Placed, commands, in_place, is_copy, merged
from tests.unit.stream.fakes import Record
from tests.unit.stream.logs import PROPERTY

TICK = msgspec.json.encode(Tick())
Line = tuple[int, str]  # append time, what stands there: a word, "tick", or "!name" for a command about somebody


def record(offset: int, at_ms: int, what: str) -> Record:
    if what == "tick":
        return Record(offset, at_ms, None, TICK)
    if what.startswith("!"):
        return Record(offset, at_ms, None, erasure(what))
    return Record(offset, at_ms, what.encode(), b"{}")


def erasure(what: str) -> bytes:
    return msgspec.json.encode(EraseRespondent(what))


def log_of(partitions: Sequence[Sequence[Line]]) -> dict[int, list[Record]]:
    return {
        number: [record(offset, *line) for offset, line in enumerate(lines)] for number, lines in enumerate(partitions)
    }


def plan_of(log: Mapping[int, Sequence[Record]]) -> list[Command]:
    return commands(
        Copy(number, each.offset, appended_ms(each), each.value or b"")
        for number, records in log.items()
        for each in records
        if is_copy(each)
    )


async def batches(records: Sequence[LogRecord], size: int) -> AsyncIterator[Sequence[LogRecord]]:
    for at in range(0, len(records), size):
        yield records[at : at + size]


async def merge(log: Mapping[int, Sequence[Record]], size: int = 2) -> list[Placed | Command]:
    plan = plan_of(log)
    return [
        item
        async for item in merged(
            {number: in_place(number, batches(records, size), plan) for number, records in log.items()}
        )
    ]


def words(items: Sequence[Placed | Command]) -> list[str]:
    """Keys of the records, and the names of the commands."""
    return [
        msgspec.json.decode(item.value)["respondent"]
        if isinstance(item, Command)
        else (item.record.key or b"").decode()
        for item in items
    ]


async def test_records_come_by_append_time_then_partition_and_ticks_do_not() -> None:
    found = await merge(log_of([[(1, "a"), (3, "tick"), (5, "b")], [(1, "c"), (4, "d")], []]))
    assert words(found) == ["a", "c", "d", "b"]


async def test_a_time_that_goes_back_does_not_turn_a_partition_round() -> None:
    found = await merge(log_of([[(9, "a"), (2, "b")], [(5, "c")]]))
    assert words(found) == ["c", "a", "b"]


async def test_an_original_append_time_wins() -> None:
    copied = Record(0, 100, b"old", b"{}", ((APPENDED_HEADER, b"1"),))
    assert words(await merge({0: [record(0, 50, "new")], 1: [copied]})) == ["old", "new"]


async def test_copies_of_one_command_come_once_after_all_that_lies_before_any_of_them() -> None:
    found = await merge(log_of([[(1, "a"), (10, "!x"), (11, "after")], [(12, "b"), (13, "!x"), (14, "c")]]))
    assert words(found) == ["a", "b", "!x", "after", "c"]


async def test_one_command_given_again_at_once_is_one_and_its_last_copy_counts() -> None:
    found = await merge(log_of([[(1, "!x"), (2, "a"), (3, "!x")], [(2, "!x"), (4, "b")]]))
    assert words(found) == ["a", "!x", "b"]


async def test_one_command_given_again_after_another_holds_in_the_end() -> None:
    found = await merge(log_of([[(1, "!x"), (2, "!y"), (3, "!x")], [(1, "!x"), (3, "!y"), (4, "!x"), (5, "a")]]))
    assert words(found) == ["!y", "!x", "a"]


async def test_the_same_command_given_later_is_another() -> None:
    later = 2 + APART_MS
    found = await merge(log_of([[(1, "!x"), (2, "a"), (later, "!x")], [(1, "!x"), (later, "!x"), (later, "b")]]))
    assert words(found) == ["!x", "a", "!x", "b"]
    assert [len(command.places) for command in found if isinstance(command, Command)] == [2, 2]


async def test_a_command_that_a_partition_lacks_comes_there_by_time() -> None:
    found = await merge(log_of([[(5, "!x")], [(4, "a"), (6, "b")], [(5, "c")]]))
    assert words(found) == ["a", "c", "!x", "b"]


async def test_commands_that_crossed_do_not_wait_for_each_other_for_ever() -> None:
    found = await merge(log_of([[(1, "!x"), (2, "!y"), (9, "a")], [(1, "!y"), (2, "!x"), (9, "b")]]))
    assert sorted(words(found)) == ["!x", "!y", "a", "b"]


async def test_a_command_at_the_end_of_every_partition_comes() -> None:
    assert words(await merge(log_of([[(1, "!x")], [], [(1, "a"), (1, "!x")]]))) == ["a", "!x"]


lines = st.lists(st.tuples(st.integers(0, 40), st.sampled_from(["a", "b", "tick", "!x", "!y"])), max_size=8)


@PROPERTY
@given(st.lists(lines, min_size=1, max_size=4), st.integers(1, 3))
async def test_nothing_is_lost_or_turned_round_and_each_command_is_single(parts: list[list[Line]], size: int) -> None:
    log = log_of([sorted(part, key=lambda line: line[0]) for part in parts])
    found = await merge(log, size)
    for number, records in log.items():
        mine = [item.record for item in found if isinstance(item, Placed) and item.partition == number]
        assert mine == [each for each in records if each.key is not None]
    told = [item for item in found if isinstance(item, Command)]
    assert len(told) == len(set(told)) == len(plan_of(log)) == len({command.value for command in told})


@PROPERTY
@given(st.lists(lines, min_size=1, max_size=4))
async def test_a_lone_command_covers_what_it_covered_in_every_partition(parts: list[list[Line]]) -> None:
    only = [[line for line in part if line[1] != "!y"] for part in parts]
    log = log_of([sorted(part, key=lambda line: line[0]) for part in only])
    found = await merge(log)
    at = next((number for number, item in enumerate(found) if isinstance(item, Command)), None)
    if at is None:
        return
    command = found[at]
    assert isinstance(command, Command)
    for number, item in enumerate(found):
        if isinstance(item, Placed) and item.partition in command.places:
            assert (number < at) == (item.record.offset < command.places[item.partition])


async def test_without_commands_time_never_goes_back() -> None:
    found = await merge(log_of([[(1, "a"), (3, "b"), (3, "c")], [(2, "d"), (3, "e")]]))
    times = [item.record.timestamp for item in found if isinstance(item, Placed)]
    assert all(before <= after for before, after in pairwise(times))
