"""The partitions of a log read as one, in the order of append time: what a copy of it to other partitions is made from.

Records with a key come as they are. A command for everybody (`schemas.feedback.EVERYWHERE`) has no key and stands in
every partition; it comes once, where all of its copies have been reached: after every record that lies before a copy in
its own partition, and before every record that lies after one. Its copies are told by their bytes: those of the same
bytes, none of them appended `APART_MS` after the one before, are one command, and in a partition that holds several of
them the last one counts. Ticks do not come: time moves with the records.

No broker here: partitions are asynchronous iterators.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from schemas.feedback import EVERYWHERE, Tick
from stream.domain.reading import appended_ms, read
from stream.domain.view import LogRecord

APART_MS: Final = 60_000  # longer than the door tries to publish one command, with its client's quick retries


class Copy(NamedTuple):
    """One standing of a command for everybody."""

    partition: int
    offset: int
    at_ms: int
    value: bytes
    place: bytes | None = None  # where it stood in the log it was first appended to (`stream.domain.places`)


@dataclass(frozen=True, eq=False)
class Command:
    """One command for everybody. `places`: by partition, the offset of its last copy; `times`: when that was appended;
    `at_ms`: of the last of all. `place`: of the log it was first appended to, where this one is a copy."""

    at_ms: int
    value: bytes
    places: Mapping[int, int]
    times: Mapping[int, int] = field(default_factory=dict)
    place: bytes | None = None


class Placed(NamedTuple):
    """One record in the order of the merge, and the partition it lies in."""

    partition: int
    record: LogRecord


def is_copy(record: LogRecord) -> bool:
    """Whether a record is a command for everybody. With a key it is one too: the fold asks for none."""
    return isinstance(read(record.value), EVERYWHERE)


def commands(copies: Iterable[Copy]) -> list[Command]:
    """The commands that some copies are of, oldest first; none for none."""
    of_bytes: defaultdict[bytes, list[Copy]] = defaultdict(list)
    for copy in copies:
        of_bytes[copy.value].append(copy)
    found = [command for alike in of_bytes.values() for command in _split(alike)]
    return sorted(found, key=lambda command: (command.at_ms, command.value))


def _split(alike: list[Copy]) -> Iterator[Command]:
    group: list[Copy] = []
    for copy in sorted(alike, key=lambda copy: (copy.at_ms, copy.partition, copy.offset)):
        if group and copy.at_ms - group[-1].at_ms > APART_MS:
            yield _one(group)
            group = []
        group.append(copy)
    yield _one(group)


def _one(group: Sequence[Copy]) -> Command:
    last: dict[int, Copy] = {}
    for copy in group:
        if copy.partition not in last or copy.offset > last[copy.partition].offset:
            last[copy.partition] = copy
    return Command(
        group[-1].at_ms,
        group[-1].value,
        {partition: copy.offset for partition, copy in last.items()},
        {partition: copy.at_ms for partition, copy in last.items()},
        next((copy.place for copy in group if copy.place is not None), None),
    )


async def in_place(
    partition: int, batches: AsyncIterator[Sequence[LogRecord]], plan: Sequence[Command]
) -> AsyncIterator[tuple[int, LogRecord | Command]]:
    """One partition: (stream time, record or command). Copies are left out; each command comes at its place.

    In a partition that has no copy (the door could not reach it, and nobody tried again) a command comes before the
    first record that was appended later.
    """
    placed = sorted((command.places[partition], command) for command in plan if partition in command.places)
    missing = [command for command in plan if partition not in command.places]
    known_ms = 0
    async for records in batches:
        for record in records:
            known_ms = max(known_ms, appended_ms(record))
            while missing and missing[0].at_ms < known_ms:
                yield missing[0].at_ms, missing.pop(0)
            while placed and placed[0][0] <= record.offset:
                yield known_ms, placed.pop(0)[1]
            message = read(record.value)
            if not isinstance(message, EVERYWHERE) and not (record.key is None and isinstance(message, Tick)):
                yield known_ms, record
    for command in (*(command for _, command in placed), *missing):
        yield max(known_ms, command.at_ms), command


@dataclass
class _Waiting:
    """Partitions that have come to a command, and those of them that must not go on before the others have."""

    arrived: int = 0
    held: list[int] = field(default_factory=list)


async def merged(
    partitions: Mapping[int, AsyncIterator[tuple[int, LogRecord | Command]]],
) -> AsyncIterator[Placed | Command]:
    """Partitions as `in_place` gives them, as one: by stream time, then partition; within a partition in its order.

    A partition that has come to a command waits there for the others: so the command has one place that is right for
    all of them. Two commands that stand in different orders in two partitions would wait for each other; then the one
    that was come to first is let pass, and comes where the last partition gets to it.
    """
    heads: dict[int, LogRecord | Command] = {}
    heap: list[tuple[int, int]] = []
    waiting: dict[Command, _Waiting] = {}

    async def forward(partition: int) -> None:
        found = await anext(partitions[partition], None)
        if found is not None:
            heads[partition] = found[1]
            heapq.heappush(heap, (found[0], partition))

    for partition in sorted(partitions):
        await forward(partition)
    while heap or waiting:
        if not heap:
            let_pass = next(one for one in waiting.values() if one.held)
            held, let_pass.held = let_pass.held, []
            for partition in held:
                await forward(partition)
            continue
        _, partition = heapq.heappop(heap)
        head = heads.pop(partition)
        if not isinstance(head, Command):
            yield Placed(partition, head)
            await forward(partition)
            continue
        one = waiting.setdefault(head, _Waiting())
        one.arrived += 1
        one.held.append(partition)
        if one.arrived == len(partitions):
            yield head
            for other in waiting.pop(head).held:
                await forward(other)
