"""The dead man's switch: heard when every partition came through, and not when one did not."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import msgspec
from aiokafka import TopicPartition

from schemas.changes import Position
from services.alerts.flow import Flow
from services.alerts.heartbeat import Heartbeat
from services.alerts.log_writer import NotWritten
from services.alerts.store import Store
from tests.unit.alerts.builders import until
from tests.unit.alerts.test_flow import Record


class Log:
    """Plays the log: the next offset of each partition; `down` takes nothing."""

    def __init__(self) -> None:
        self.ends = [10, 20, 30]
        self.down = False

    async def append(self, partition: int, value: bytes, key: bytes | None = None) -> int:
        if self.down:
            raise NotWritten("KafkaError")
        assert msgspec.json.decode(value)["type"] == "tick"
        self.ends[partition] += 1
        return self.ends[partition] - 1


class Line:
    """A log, a flow that reads what the fold says, and a switch on it."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder)
        self.log = Log()
        self.flow = Flow("unused:9092", self.store, [])
        self.unready: str | None = None
        self.answer: str | None = None
        self.pings = 0

    async def ping(self) -> str | None:
        self.pings += 1
        return self.answer

    def heartbeat(self, every_s: float = 0.3) -> Heartbeat:
        return Heartbeat(self.log, self.flow, 3, lambda: self.unready, self.ping, every_s)

    def grown(self, before: int) -> bool:
        return sum(self.log.ends) == before + 3

    async def fold(self, *partitions: int) -> None:
        """The fold passes all there is in these partitions."""
        for number in partitions:
            value = msgspec.json.encode(Position(partition=number, through=self.log.ends[number]))
            await self.flow.take({TopicPartition("followups.v1", number): [Record(value, number)]})


async def test_a_beat_is_heard_when_every_partition_has_come_through(tmp_path: Path) -> None:
    line = Line(tmp_path)
    beat = asyncio.create_task(line.heartbeat(5).beat())
    await until(lambda: line.log.ends == [11, 21, 31])
    await line.fold(0, 2)
    assert line.pings == 0
    await line.fold(1)
    assert await beat is None
    assert line.pings == 1
    line.store.close()


async def test_a_partition_that_nobody_folds_a_dead_log_and_a_full_disk_each_stop_it(tmp_path: Path) -> None:
    line = Line(tmp_path)
    await line.fold(0, 1, 2)  # what was folded before the beat is no proof
    assert await line.heartbeat().beat() == "not_folded"
    line.log.down = True
    assert await line.heartbeat().beat() == "not_written_KafkaError"
    assert line.pings == 0
    line.log.down = False
    for line.unready, line.answer, said in (("full", None, "full"), (None, "503", "503")):
        beat = asyncio.create_task(line.heartbeat(5).beat())
        before = sum(line.log.ends)
        await until(partial(line.grown, before))
        await line.fold(0, 1, 2)
        assert await beat == said
    assert line.pings == 1
    line.store.close()


async def test_beats_go_on_after_one_that_failed(tmp_path: Path) -> None:
    line = Line(tmp_path)
    line.log.down = True
    running = asyncio.create_task(line.heartbeat(0.02).run())
    await asyncio.sleep(0)
    line.log.down = False

    async def folded() -> bool:
        await line.fold(0, 1, 2)
        return line.pings >= 3

    await until(folded)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    line.store.close()
