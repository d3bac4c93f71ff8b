"""A log of several partitions in memory, and where a copy of it goes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncGenerator, Mapping, Sequence

from schemas.generations import Generation
from schemas.topics import FEEDBACK
from stream.copying import Headers
from stream.domain.view import LogRecord
from stream.log import Log
from tests.unit.stream.fakes import START_MS, Record
from tests.unit.worker.fakes import FakeLog


class Partitions:
    """A log of several partitions, each a fake of one."""

    def __init__(self, records: Mapping[int, Sequence[Record]], count: int) -> None:
        self._logs = {number: FakeLog(list(records.get(number, ()))) for number in range(count)}

    async def committed(self, partition: int) -> int:
        return await self._logs[partition].committed(partition)

    async def bounds(self, partition: int) -> tuple[int, int]:
        return await self._logs[partition].bounds(partition)

    def read(self, partition: int, start: int, stop: int) -> AsyncGenerator[list[LogRecord], None]:
        return self._logs[partition].read(partition, start, stop)


class Target:
    """Keeps what it is given, by topic and partition, as records with offsets of their own."""

    def __init__(self) -> None:
        self.given: defaultdict[tuple[str, int], list[Record]] = defaultdict(list)

    async def append(
        self, topic: str, partition: int, at_ms: int, key: bytes | None, value: bytes | None, headers: Headers = ()
    ) -> None:
        held = self.given[topic, partition]
        held.append(Record(len(held), at_ms, key, value, tuple(headers)))

    def log(self) -> dict[int, list[Record]]:
        return {number: records for (topic, number), records in self.given.items() if topic == FEEDBACK}


class Filling:
    """A log that is being written: records with growing times."""

    def __init__(self, generation: Generation) -> None:
        self._generation = generation
        self.records: defaultdict[int, list[Record]] = defaultdict(list)
        self.at_ms = START_MS

    def put(self, partition: int, key: bytes | None, value: bytes | None, headers: Headers = ()) -> None:
        self.at_ms += 1_000
        held = self.records[partition]
        held.append(Record(len(held), self.at_ms, key, value, tuple(headers)))

    def of(self, team: str, value: bytes) -> None:
        """A record of a team, where its key lies."""
        key = team.encode()
        self.put(self._generation.partition_of(key), key, value)

    def everywhere(self, value: bytes, but: int | None = None) -> None:
        for number in self._generation.numbers():
            if number != but:
                self.put(number, None, value)

    def log(self) -> Log:
        return Partitions(self.records, self._generation.partitions)
