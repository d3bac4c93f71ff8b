"""The real Kafka and the real ClickHouse engine for tests: started once a session, on free ports, in a temp folder.

Both are leashed to the pytest process: whatever ends it, they end too.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest

from deploy.local.ports import free_base, ports_of
from deploy.local.probes import clickhouse_answers, kafka_answers, until
from deploy.local.spawn import leashed
from deploy.migrate import migrate_tables
from deploy.topics import delete_topics, migrate_topics
from schemas.topics import TOPICS

T = TypeVar("T")
# The first start on a machine fetches the broker's jars.
START_S = 180.0


@dataclass(frozen=True, slots=True)
class Engine:
    """One engine process: how it is started, where it answers, and its process now."""

    name: str
    command: tuple[str, ...]
    address: str
    log: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def pid(self) -> int:
        return self.processes[-1].pid

    def start(self) -> None:
        with self.log.open("ab") as output:
            # A machine in another zone: nothing may depend on it.
            environment = {**os.environ, "TZ": "America/New_York"}
            self.processes.append(leashed(self.command, environment, output))

    def wait(self) -> None:
        """Until it answers. Fails the test with the log's end when it died instead."""

        async def answers() -> bool:
            if self.processes[-1].poll() is not None:
                pytest.fail(f"{self.name} ended: {self.log.read_text(errors='replace')[-2000:]}")
            return await (kafka_answers if self.name == "kafka" else clickhouse_answers)(self.address)

        in_own_loop(until(answers, self.name, self.address, START_S))

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        self.processes[-1].kill()
        self.processes[-1].wait()

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.processes[-1].send_signal(signal.SIGTERM)
        try:
            return self.processes[-1].wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.kill()
            raise


@dataclass(frozen=True, slots=True)
class Engines:
    """Addresses of the running engines, and what a test needs to have a place of its own in them."""

    kafka_engine: Engine
    clickhouse_engine: Engine

    @property
    def kafka(self) -> str:
        """Bootstrap address, 127.0.0.1:port."""
        return self.kafka_engine.address

    @property
    def clickhouse(self) -> str:
        """http://127.0.0.1:port, without a database."""
        return self.clickhouse_engine.address

    def topics(self, prefix: str = "", *, anew: bool = False) -> dict[str, str]:
        """Make all topics, their names after `prefix`; `anew` empties those that are there.

        Returns: declared name → name with the prefix. May be called from a test that is a coroutine.
        """
        names = {topic.name: prefix + topic.name for topic in TOPICS}
        if anew:
            in_own_loop(delete_topics(self.kafka, names.values()))
        in_own_loop(migrate_topics(self.kafka, prefix=prefix))
        return names

    def database(self) -> str:
        """Make a fresh database with all tables; its address, http://127.0.0.1:port/name."""
        url = f"{self.clickhouse}/test_{uuid.uuid4().hex[:12]}"
        migrate_tables(url)
        return url


@contextmanager
def running_engines(below: Path) -> Iterator[Engines]:
    """Both engines with their data below a folder, until the end of the block."""
    ports = ports_of(free_base(), workers=0)
    kafka = Engine(
        "kafka",
        (
            *(sys.executable, "-m", "deploy.local.kafka", "--data", str(below)),
            *("--port", str(ports["kafka"]), "--controller-port", str(ports["kafka-controller"])),
        ),
        f"127.0.0.1:{ports['kafka']}",
        below / "kafka.log",
    )
    clickhouse = Engine(
        "clickhouse",
        (sys.executable, "-m", "deploy.local.clickhouse", "--data", str(below), "--port", str(ports["clickhouse"])),
        f"http://127.0.0.1:{ports['clickhouse']}",
        below / "clickhouse.log",
    )
    started = (kafka, clickhouse)
    try:
        for engine in started:
            engine.start()
        for engine in started:
            engine.wait()
        yield Engines(kafka, clickhouse)
    finally:
        for engine in started:
            for process in engine.processes:
                process.kill()  # nothing in there is needed any more
                process.wait()


@contextmanager
def temporary() -> Iterator[Engines]:
    """Both engines, and their data gone at the end of the block."""
    below = Path(tempfile.mkdtemp(prefix="pulse-test-"))
    try:
        with running_engines(below) as running:
            yield running
    finally:
        shutil.rmtree(below, ignore_errors=True)


def in_own_loop(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in a loop and thread of its own, so that it works inside a running loop too."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


def wait_for(question: Callable[[], bool], within_s: float = 10.0, what: str = "the condition") -> None:
    """Ask until the answer is yes; fail the test after `within_s` seconds."""
    deadline = time.monotonic() + within_s
    while not question():
        if time.monotonic() > deadline:
            pytest.fail(f"{what} did not hold within {within_s} s")
        time.sleep(0.02)
