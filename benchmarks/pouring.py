"""Answers into the log at a steady rate, and what comes out of the worker for each: how long it took.

Sender and reader need no join: an answer's change carries the append time of its record, by the broker's clock, and
broker and reader run on one machine. So a time is from the append of a record to the receipt of what came of it.

    python -m benchmarks.pouring KAFKA TEAM PER_S SECONDS     one team alone, in a process of its own
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from schemas import topics
from schemas.changes import ChangesRecord, TeamChanges
from schemas.feedback import Answer

TEAMS: Final = 500
STEP_S: Final = 0.01
MISSING_AFTER_S: Final = 120.0
_ENCODE: Final = msgspec.json.Encoder().encode
_DECODER: Final[msgspec.json.Decoder[ChangesRecord]] = msgspec.json.Decoder(ChangesRecord)


def answer(draw: random.Random) -> tuple[str, bytes]:
    """(id, value) of an answer, one in ten a detractor's, without a time of its own."""
    response_id = str(uuid.UUID(int=draw.getrandbits(128)))
    score = draw.choice((9, 10, 10, 9, 8, 7, 9, 10, 8, 3))
    return response_id, _ENCODE(Answer(response_id, score, f"{draw.getrandbits(128):032x}"))


def teams_of(partitions: Sequence[int], count: int = TEAMS) -> list[bytes]:
    """Names of teams whose place is in one of the partitions."""
    names = (f"team-{number}".encode() for number in range(1_000_000))
    found = []
    for name in names:
        if topics.partition_of(name) in partitions:
            found.append(name)
            if len(found) == count:
                break
    return found


class Outputs:
    """Reads `team-changes.v1` of some partitions from its end on, and notes when each answer's change came."""

    def __init__(self) -> None:
        self.took_ms: dict[str, float] = {}
        self.partition_of: dict[str, int] = {}
        self.came_s: dict[str, float] = {}

    @asynccontextmanager
    async def reading(self, kafka: str, partitions: Sequence[int]) -> AsyncIterator[None]:
        """Read while the body runs."""
        consumer = AIOKafkaConsumer(bootstrap_servers=kafka, fetch_max_wait_ms=100)
        await consumer.start()
        of_topic = [TopicPartition(topics.TEAM_CHANGES, partition) for partition in partitions]
        consumer.assign(of_topic)
        await consumer.seek_to_end(*of_topic)
        task = asyncio.create_task(self._read(consumer))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await consumer.stop()

    async def _read(self, consumer: AIOKafkaConsumer) -> None:
        while True:
            for tp, records in (await consumer.getmany(timeout_ms=1_000)).items():
                now_s = time.time()
                for record in records:
                    said = _DECODER.decode(record.value)
                    if isinstance(said, TeamChanges):
                        for one in said.answers:
                            if one.response_id not in self.came_s:
                                self.came_s[one.response_id] = now_s
                                self.took_ms[one.response_id] = 1_000 * now_s - one.known_ms
                                self.partition_of[one.response_id] = tp.partition

    async def until_seen(self, ids: Sequence[str]) -> None:
        """Wait until a change of every one of the answers has come. Raises RuntimeError for those that do not."""
        deadline = time.monotonic() + MISSING_AFTER_S
        while missing := sum(response_id not in self.came_s for response_id in ids):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{missing:,} answers have caused no change within {MISSING_AFTER_S:.0f} s")
            await asyncio.sleep(STEP_S)


async def pour(kafka: str, names: Sequence[bytes], per_s: float, seconds: float, seed: int = 1) -> list[str]:
    """Send single answers of random teams at fixed moments; their ids, once all are acknowledged."""
    draw = random.Random(seed)
    producer = AIOKafkaProducer(bootstrap_servers=kafka, enable_idempotence=True, acks="all")
    await producer.start()
    sent, waiting = [], []
    try:
        started = time.monotonic()
        for number in range(int(per_s * seconds)):
            await asyncio.sleep(max(0.0, started + number / per_s - time.monotonic()))
            response_id, value = answer(draw)
            key = draw.choice(names)
            waiting.append(await producer.send(topics.FEEDBACK, value, key, topics.partition_of(key)))
            sent.append(response_id)
        await asyncio.gather(*waiting)
    finally:
        await producer.stop()
    return sent


async def flood(kafka: str, team: bytes, per_s: int, seconds: float) -> None:
    """Send batches of one team's answers at a steady rate, once they are made, `ready` was said and a line has come."""
    draw = random.Random(2)
    values = [answer(draw)[1] for _ in range(int(per_s * seconds))]
    partition = topics.partition_of(team)
    producer = AIOKafkaProducer(
        bootstrap_servers=kafka, enable_idempotence=True, acks="all", max_batch_size=1 << 18, max_request_size=8 << 20
    )
    await producer.start()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    try:
        started, sent, waiting = time.monotonic(), 0, []
        while sent < len(values):
            due = min(len(values), int(per_s * (time.monotonic() - started)))
            while sent < due:
                batch = producer.create_batch()
                while sent < due and batch.append(timestamp=None, key=team, value=values[sent]) is not None:
                    sent += 1
                waiting.append(await producer.send_batch(batch, topics.FEEDBACK, partition=partition))
            await asyncio.sleep(STEP_S)
        await asyncio.gather(*waiting)
    finally:
        await producer.stop()
    print(f"{sent / (time.monotonic() - started):.0f}", flush=True)


if __name__ == "__main__":
    asyncio.run(flood(sys.argv[1], sys.argv[2].encode(), int(sys.argv[3]), float(sys.argv[4])))
