"""The ingest service as a process of its own, on a free port, over the session's real Kafka."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from aiokafka import AIOKafkaConsumer, TopicPartition

from deploy.local.spawn import leashed
from schemas.topics import PARTITIONS
from services.common.keys import key_hash
from tests.unit.ingest.fakes import ADMIN, IMPORT, ORIGIN, READ, SECRET, WIDGET, WRITE

START_S = 30.0
KINDS = {"write": WRITE, "import": IMPORT, "admin": ADMIN, "read": READ, "widget": WIDGET}


class IngestService:
    """A running `pulse ingest`. `url` is where it answers; its log is at `log`."""

    def __init__(self, kafka: str, below: Path, **variables: str) -> None:
        self.log = below / "ingest.log"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PULSE_")}
        environment = {
            **inherited,
            "PULSE_KAFKA": kafka,
            "PULSE_INGEST_PORT": "0",
            "PULSE_RESPONDENT_SECRET": SECRET,
            "PULSE_DEFAULT_REGION": "DK",
            "PULSE_KEY_HASHES": json.dumps({kind: [key_hash(key)] for kind, key in KINDS.items()}),
            "PULSE_WIDGET_ORIGINS": json.dumps([ORIGIN]),
            "PULSE_DEMO_WIDGET_KEY": WIDGET,
            "PULSE_WIDGET_RATE": "1000/second",
            **variables,
        }
        with self.log.open("wb") as output:
            self.process = leashed((sys.executable, "-m", "services.cli", "ingest"), environment, output)

    def events(self, event: str) -> list[dict[str, Any]]:
        """What it has logged under this name so far."""
        lines = (line for line in self.log.read_text().splitlines() if line.startswith("{"))
        return [found for found in map(json.loads, lines) if found.get("event") == event]

    @property
    def url(self) -> str:
        """Where it answers. Waits until it listens; fails when it ended instead."""
        deadline = time.monotonic() + START_S
        while not (listening := self.events("listening")):
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)
        return f"http://127.0.0.1:{listening[0]['port']}"

    async def ready(self, want: int = 200, within_s: float = START_S) -> float:
        """Wait until `/readyz` says `want`; how many seconds that took."""
        began = time.monotonic()
        async with aiohttp.ClientSession() as session:
            while True:
                async with session.get(f"{self.url}/readyz") as reply:
                    if reply.status == want:
                        return time.monotonic() - began
                    told = await reply.text()
                assert time.monotonic() - began < within_s, f"{told}\n{self.log.read_text()}"
                await asyncio.sleep(0.02)

    def stop(self, number: int = signal.SIGTERM, within_s: float = 20.0) -> int:
        """Send a signal and wait; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"did not stop within {within_s} s:\n{self.log.read_text()}") from None


def serving(kafka: str, **variables: str) -> Generator[IngestService, None, None]:
    """One service until the generator is closed."""
    with tempfile.TemporaryDirectory(prefix="pulse-ingest-") as below:
        service = IngestService(kafka, Path(below), **variables)
        try:
            yield service
        finally:
            service.stop(signal.SIGKILL)


async def until(condition: Callable[[], bool], what: str, within_s: float = START_S) -> None:
    """Wait until the condition holds; fails with `what` when it does not in time."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {within_s} s"
        await asyncio.sleep(0.02)


@asynccontextmanager
async def reader(kafka: str, topic: str) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer of all partitions of a topic, with no group, at their beginnings."""
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, enable_auto_commit=False, auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, number) for number in range(PARTITIONS)])
        yield consumer
    finally:
        await consumer.stop()


async def records(kafka: str, topic: str) -> list[Any]:
    """All records of a topic as it stands now."""
    async with reader(kafka, topic) as consumer:
        ends = await consumer.end_offsets(list(consumer.assignment()))
        found: list[Any] = []
        for partition, end in ends.items():
            while await consumer.position(partition) < end:
                for batch in (await consumer.getmany(partition, timeout_ms=1_000)).values():
                    found += [record for record in batch if record.offset < end]
        return found


async def record_at(kafka: str, topic: str, partition: int, offset: int) -> Any:
    """The record a receipt names."""
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, enable_auto_commit=False)
    await consumer.start()
    try:
        place = TopicPartition(topic, partition)
        consumer.assign([place])
        consumer.seek(place, offset)
        return await asyncio.wait_for(consumer.getone(place), START_S)
    finally:
        await consumer.stop()
