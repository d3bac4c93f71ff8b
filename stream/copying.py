"""Copies a log, and the personal text beside it, to a generation with another number of partitions.

Every record keeps its append time, as its timestamp and in a header, so the fold of the copy knows what the fold of the
log knew, and retention takes a record away when it would have. Another header keeps its place, after which what it
causes is named. Memory holds a batch of each partition, the commands for
everybody, and of one partition's texts a digest each.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, Self

import msgspec
from aiokafka import AIOKafkaProducer

from schemas.feedback import Tick
from schemas.generations import Generation
from schemas.people import split_person_key
from schemas.topics import APPENDED_HEADER, FEEDBACK, PEOPLE, PLACE_HEADER
from stream.domain import places
from stream.domain.reading import appended_ms
from stream.domain.view import LogRecord
from stream.log import Log
from stream.merging import Command, Copy, commands, in_place, is_copy, merged

_TICK: Final = msgspec.json.encode(Tick())
_ON_THEIR_WAY: Final = 64  # batches that are not acknowledged yet
_TELL_EVERY: Final = 2_000

Headers = Sequence[tuple[str, bytes]]
Progressed = Callable[[int, int], None]  # (records done, records in all)


class Target(Protocol):
    """Where copies go."""

    async def append(
        self, topic: str, partition: int, at_ms: int, key: bytes | None, value: bytes | None, headers: Headers = ()
    ) -> None:
        """Append a record with this time, after those appended before. Raises KafkaError."""
        ...


@dataclass(frozen=True, slots=True)
class Seen:
    """What a log holds. `bounds`: (first, end) by partition. `known_ms`: the greatest append time, 0 for no record."""

    bounds: Mapping[int, tuple[int, int]]
    plan: Sequence[Command]
    known_ms: int

    @property
    def records(self) -> int:
        """How many records, at most."""
        return sum(end - first for first, end in self.bounds.values())

    def incomplete(self, partition: int) -> list[Command]:
        """Commands for everybody that do not stand in a partition."""
        return [command for command in self.plan if partition not in command.places]


@dataclass(slots=True)
class Copied:
    """What was copied. `misplaced`: left out, as the log rejects them where they lie and would count them elsewhere."""

    records: int = 0
    commands: int = 0
    misplaced: int = 0
    empty: int = 0
    texts: int = 0
    partitions: dict[int, int] = field(default_factory=dict)  # records by new partition


async def look(log: Log, generation: Generation, progressed: Progressed) -> Seen:
    """Read a log once, for what has to be known before its first record is copied."""
    bounds = {number: await log.bounds(number) for number in generation.numbers()}
    copies, known_ms, done = [], 0, 0
    total = sum(end - first for first, end in bounds.values())
    for number, (first, end) in bounds.items():
        async with aclosing(log.read(number, first, end)) as batches:
            async for records in batches:
                for record in records:
                    at_ms = appended_ms(record)
                    known_ms = max(known_ms, at_ms)
                    if is_copy(record):
                        place = places.given(record.headers)
                        copies.append(Copy(number, record.offset, at_ms, record.value or b"", place))
                done += len(records)
                progressed(done, total)
    return Seen(bounds, commands(copies), known_ms)


async def copy_log(
    log: Log, old: Generation, new: Generation, target: Target, seen: Seen, progressed: Progressed
) -> Copied:
    """Copy what was seen, in the order of `stream.merging`; then a tick everywhere, so that time stands where it stood.

    Ticks are not copied: whatever is due fires in the order of its due times before the record that moves time on, so
    only the last moment of a log needs one.
    """
    copied = Copied(partitions=dict.fromkeys(new.numbers(), 0))
    async with AsyncExitStack() as stack:
        partitions = {}
        for number, (first, end) in seen.bounds.items():
            batches = await stack.enter_async_context(aclosing(log.read(number, first, end)))
            partitions[number] = in_place(number, batches, seen.plan)
        async for item in merged(partitions):
            if isinstance(item, Command):
                copied.commands += 1
                place = _place_of(item, old)
                for number in new.numbers():
                    await _append(target, copied, number, item.at_ms, None, item.value, [place])
            else:
                await _copy(item.record, item.partition, old, new, target, copied)
            if (copied.records + copied.misplaced) % _TELL_EVERY == 0:
                progressed(copied.records, seen.records)
    if seen.known_ms:
        for number in new.numbers():
            await _append(target, copied, number, seen.known_ms, None, _TICK)
    progressed(seen.records, seen.records)
    return copied


async def _copy(
    record: LogRecord, partition: int, old: Generation, new: Generation, target: Target, copied: Copied
) -> None:
    key, value = record.key, record.value
    if key is None:
        if value is None:  # Kafka's client cannot write it, and it says nothing
            copied.empty += 1
            return
        number = partition % new.partitions  # rejected wherever it lies
    elif old.partition_of(key) != partition:
        copied.misplaced += 1
        return
    else:
        number = new.partition_of(key)
    copied.records += 1
    headers = list(record.headers or ())
    if places.given(headers) is None:
        headers.append(places.one(old.number, partition, record.offset))
    await _append(target, copied, number, appended_ms(record), key, value, headers)


def _place_of(command: Command, old: Generation) -> places.Header:
    """Where a command stood first: in this log, unless it says another."""
    if command.place is not None:
        return PLACE_HEADER, command.place
    found = [
        (command.places[number], command.times[number]) if number in command.places else None
        for number in old.numbers()
    ]
    return places.everywhere(old.number, found)


async def _append(
    target: Target,
    copied: Copied,
    partition: int,
    at_ms: int,
    key: bytes | None,
    value: bytes | None,
    headers: Headers = (),
) -> None:
    others = [header for header in headers or () if header[0] != APPENDED_HEADER]
    copied.partitions[partition] += 1
    await target.append(FEEDBACK, partition, at_ms, key, value, [*others, (APPENDED_HEADER, b"%d" % at_ms)])


async def copy_people(log: Log, old: Generation, new: Generation, target: Target, progressed: Progressed) -> int:
    """Copy the newest text of each answer to the partition of its team; how many. What was deleted stays out."""
    bounds = {number: await log.bounds(number) for number in old.numbers()}
    total, done, texts = 2 * sum(end - first for first, end in bounds.values()), 0, 0
    for number, (first, end) in bounds.items():
        newest: dict[bytes, int] = {}
        for copying in (False, True):  # a later record of a key decides whether this one is copied at all
            async with aclosing(log.read(number, first, end)) as batches:
                async for records in batches:
                    for record in records:
                        if not copying:
                            newest[_digest(record.key)] = record.offset
                        elif record.value is not None and newest[_digest(record.key)] == record.offset:
                            texts += await _copy_text(record, new, target)
                    done += len(records)
                    progressed(done, total)
    progressed(total, total)
    return texts


async def _copy_text(record: LogRecord, new: Generation, target: Target) -> int:
    try:
        team, _ = split_person_key(record.key or b"")
    except ValueError:  # nobody could ask for it, or erase it
        return 0
    number = new.partition_of(team.encode())
    await target.append(PEOPLE, number, record.timestamp, record.key, record.value, record.headers)
    return 1


def _digest(key: bytes | None) -> bytes:
    return hashlib.blake2b(key or b"", digest_size=12).digest()


class KafkaTarget:
    """The topics of a generation, written by one idempotent producer. Everything is acknowledged when it is left.

    Any error ends it: a copy that was cut short is thrown away and made again.
    """

    def __init__(self, kafka: str, generation: Generation) -> None:
        self._generation = generation
        self._producer = AIOKafkaProducer(
            bootstrap_servers=kafka, enable_idempotence=True, acks="all", max_batch_size=256 * 1024
        )
        self._batches: dict[tuple[str, int], Any] = {}
        self._sent: list[asyncio.Future[object]] = []

    async def __aenter__(self) -> Self:
        await self._producer.start()
        return self

    async def __aexit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                for place in list(self._batches):
                    await self._send(place)
                await asyncio.gather(*self._sent)
        finally:
            for future in self._sent:
                future.cancel()
            await self._producer.stop()

    async def append(
        self, topic: str, partition: int, at_ms: int, key: bytes | None, value: bytes | None, headers: Headers = ()
    ) -> None:
        """See `Target`."""
        place = self._generation.topic(topic), partition
        written = {"timestamp": at_ms, "key": key, "value": value, "headers": list(headers)}
        batch = self._batches.get(place)
        if batch is not None and batch.append(**written) is None:  # full
            await self._send(place)
            batch = None
        if batch is None:
            batch = self._batches[place] = self._producer.create_batch()
            batch.append(**written)

    async def _send(self, place: tuple[str, int]) -> None:
        topic, partition = place
        self._sent.append(await self._producer.send_batch(self._batches.pop(place), topic, partition=partition))
        if len(self._sent) >= _ON_THEIR_WAY:
            sent, self._sent = self._sent, []
            await asyncio.gather(*sent)
