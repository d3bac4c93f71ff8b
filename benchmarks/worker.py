"""A worker of a benchmark's own: started with an empty disk, watched through its metrics, ended again."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import aiohttp
import psutil
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.broker import feedback_partitions
from benchmarks.machine import ended, pinned, plain_environment

GROUP: Final = "pulse-worker"
SESSION_S: Final = 6
END_WITHIN_S: Final = 30.0
LOOK_EVERY_S: Final = 0.05
GIVE_UP_S: Final = 1_800.0
FOLDED: Final = "pulse_worker_records_total"
REBUILT: Final = "pulse_worker_rebuilt_records_total"


class Worker:
    """`pulse worker` as a process. Times are seconds, memory bytes."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self.pid = process.pid
        self._address = f"http://127.0.0.1:{port}"
        self._watched = psutil.Process(process.pid)

    def cpu_s(self) -> float:
        """Processor time so far."""
        times = self._watched.cpu_times()
        return float(times.user + times.system)

    def rss(self) -> int:
        """Resident memory now."""
        return int(self._watched.memory_info().rss)

    def alive(self) -> None:
        """Raises RuntimeError when it has ended by itself."""
        if self.process.poll() is not None:
            raise RuntimeError(f"the worker ended with exit code {self.process.returncode}")

    async def counted(self, session: aiohttp.ClientSession, name: str) -> int:
        """A counter of its metrics; 0 as long as there is none."""
        try:
            async with session.get(f"{self._address}/metrics") as answer:
                return value(await answer.text(), name)
        except aiohttp.ClientError:
            return 0

    async def until_counted(self, name: str) -> int:
        """Wait until a counter is not 0 any more, and give it."""
        async with aiohttp.ClientSession() as session:
            while not (found := await self.counted(session, name)):
                self.alive()
                await asyncio.sleep(LOOK_EVERY_S)
        return found

    async def until_ready(self) -> None:
        """Wait until every partition of it is open."""
        async with aiohttp.ClientSession() as session:
            while True:
                self.alive()
                with suppress(aiohttp.ClientError):
                    async with session.get(f"{self._address}/readyz") as answer:
                        if answer.status == 200:
                            return
                await asyncio.sleep(LOOK_EVERY_S)

    async def until_committed(self, kafka: str, ends: Mapping[Any, int]) -> None:
        """Wait until the group has committed the log to `ends`. Raises TimeoutError."""
        deadline = time.perf_counter() + GIVE_UP_S
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
        await admin.start()
        try:
            while True:
                self.alive()
                with suppress(KafkaError):  # a broker that is short of processor time may say no for a moment
                    committed = await admin.list_consumer_group_offsets(GROUP)
                    if all(tp in committed and committed[tp].offset >= ends[tp] for tp in feedback_partitions()):
                        return
                if time.perf_counter() > deadline:
                    raise TimeoutError(f"the worker has not committed the log within {GIVE_UP_S:.0f} s")
                await asyncio.sleep(LOOK_EVERY_S)
        finally:
            await admin.close()


@contextmanager
def worker(kafka: str, state: Path, core: str | None = None, name: str = "worker-0") -> Iterator[Worker]:
    """Start a worker with its state in a folder, held to `core` if one is given; end it at last."""
    port = free_port()
    environment = {
        **plain_environment(),
        "PULSE_KAFKA": kafka,
        "PULSE_STATE_DIR": str(state),
        "PULSE_WORKER_ID": name,
        "PULSE_WORKER_METRICS_PORT": str(port),
        "PULSE_SESSION_TIMEOUT": f"PT{SESSION_S}S",
    }
    command = [sys.executable, "-m", "services.cli", "worker"]
    state.parent.mkdir(parents=True, exist_ok=True)
    with state.with_suffix(".log").open("ab") as file:
        process = subprocess.Popen(pinned(core, command) if core else command, env=environment, stderr=file)
    with ended(process, END_WITHIN_S):
        yield Worker(process, port)


def value(text: str, name: str) -> int:
    """The sum of a metric's samples in what a process says of itself; 0 for none."""
    return int(
        sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name
        )
    )


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
