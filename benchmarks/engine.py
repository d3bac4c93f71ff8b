"""Answers a second through one worker from a full topic, beside what a plain read of the same topic gives.

(a) `benchmarks.reader`: aiokafka and msgspec alone, on the measured core. (b) `pulse worker`, the process of production
with everything on: state, outbox, acknowledgements, commits; on the same core, Kafka on the other ones. Its clock runs
from the first look at its metrics that shows a folded answer (answers folded by then are not counted; the start of the
process and joining the group are not in it) until the group has committed the end of the log: by then every output is
acknowledged. Then (c) `benchmarks.peers`, on the same topic and core.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec
import psutil
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from prometheus_client.parser import text_string_to_metric_families

from benchmarks import profiling
from benchmarks.broker import broker, feedback_partitions, log_ends, rewind
from benchmarks.filling import fill
from benchmarks.machine import Measured, cores, pinned, plain_environment
from benchmarks.peers import run as peers

RECORDS: Final = 2_000_000  # the reference load; the rest of it stands in `benchmarks.filling`
RUNS: Final = 3
GROUP: Final = "pulse-worker"
LOOK_EVERY_S: Final = 0.05
GIVE_UP_S: Final = 600.0
FOLDED: Final = "pulse_worker_records_total"


def run(
    records: int = RECORDS, runs: int = RUNS, profile: Path | None = None, peer_seconds: float = peers.SECONDS
) -> dict[str, float]:
    """Medians: `engine_per_s`, `aiokafka_per_s`, and the processor time of an answer in microseconds; then the peers.

    `peer_seconds`: how long each peer is measured on the same topic; 0 leaves them out.

    `profile`: py-spy records the worker's runs into this folder, one file each, and the shares are said on stderr.
    It costs a little, so figures with it are not compared with figures without.
    """
    core, rest = cores()
    with tempfile.TemporaryDirectory(prefix="pulse-bench-") as name:
        folder = Path(name)
        with broker(folder / "kafka", rest) as kafka:
            filled_s = asyncio.run(fill(kafka, records))
            _say(f"filled the log with {records:,} answers in {filled_s:.1f} s")
            read, folded = [], []
            for number in range(runs):
                read.append(_read(kafka, core, records))
                _say(f"aiokafka and msgspec alone: {read[-1]}")
                record_to = profile / f"worker-{number}.raw" if profile else None
                folded.append(asyncio.run(_fold(kafka, core, folder / f"state-{number}", record_to)))
                _say(f"the worker: {folded[-1]}")
                if record_to is not None:
                    _say_shares(record_to)
                asyncio.run(rewind(kafka, GROUP))
            found = peers.run(kafka, core, records, folder / "peers", peer_seconds) if peer_seconds else {}
    return found | {
        "engine_per_s": statistics.median(measured.per_s for measured in folded),
        "aiokafka_per_s": statistics.median(measured.per_s for measured in read),
        "engine_cpu_us": statistics.median(measured.cpu_us for measured in folded),
        "aiokafka_cpu_us": statistics.median(measured.cpu_us for measured in read),
    }


def _read(kafka: str, core: str, records: int) -> Measured:
    command = pinned(core, [sys.executable, "-m", "benchmarks.reader", kafka, str(records)])
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, env=plain_environment())
    found = msgspec.json.decode(done.stdout)
    return Measured(found["records"], found["seconds"], found["cpu_seconds"])


async def _fold(kafka: str, core: str, state: Path, record_to: Path | None) -> Measured:
    """One run of a worker that has nothing yet, until it has committed the whole log."""
    ends = await log_ends(kafka)
    port = _free_port()
    environment = {
        **plain_environment(),
        "PULSE_KAFKA": kafka,
        "PULSE_STATE_DIR": str(state),
        "PULSE_WORKER_METRICS_PORT": str(port),
        "PULSE_SESSION_TIMEOUT": "PT6S",
    }
    command = pinned(core, [sys.executable, "-m", "services.cli", "worker"])
    worker = _start(command, environment, state.with_suffix(".log"))
    spy = None
    try:
        process = psutil.Process(worker.pid)
        async with aiohttp.ClientSession() as session:
            before = await _until_folding(session, port, worker)
        started, cpu = time.perf_counter(), _cpu(process)
        if record_to is not None:
            spy = profiling.watch(worker.pid, record_to)
        await _until_committed(kafka, ends, worker)
        seconds, used = time.perf_counter() - started, _cpu(process) - cpu
        return Measured(sum(ends.values()) - before, seconds, used)
    finally:
        if spy is not None:
            spy.send_signal(signal.SIGINT)
            spy.wait(timeout=60)
        worker.terminate()
        worker.wait(timeout=30)


async def _until_folding(session: aiohttp.ClientSession, port: int, worker: subprocess.Popen[bytes]) -> int:
    """Answers folded at the first look that shows any."""
    while True:
        _alive(worker)
        try:
            async with session.get(f"http://127.0.0.1:{port}/metrics") as answer:
                folded = _value(await answer.text(), FOLDED)
        except aiohttp.ClientError:
            folded = 0
        if folded:
            return folded
        await asyncio.sleep(LOOK_EVERY_S)


async def _until_committed(kafka: str, ends: dict[Any, int], worker: subprocess.Popen[bytes]) -> None:
    deadline = time.perf_counter() + GIVE_UP_S
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        while True:
            _alive(worker)
            with suppress(KafkaError):  # a broker that is short of processor time may say no for a moment
                committed = await admin.list_consumer_group_offsets(GROUP)
                if all(tp in committed and committed[tp].offset >= ends[tp] for tp in feedback_partitions()):
                    return
            if time.perf_counter() > deadline:
                raise TimeoutError(f"the worker has not committed the log within {GIVE_UP_S:.0f} s")
            await asyncio.sleep(LOOK_EVERY_S)
    finally:
        await admin.close()


def _start(command: list[str], environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as file:
        return subprocess.Popen(command, env=environment, stderr=file)


def _alive(worker: subprocess.Popen[bytes]) -> None:
    if worker.poll() is not None:
        raise RuntimeError(f"the worker ended with exit code {worker.returncode}")


def _value(text: str, name: str) -> int:
    return int(
        sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name
        )
    )


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _say_shares(recorded: Path) -> None:
    with recorded.open(encoding="utf-8") as stacks:
        parts = profiling.shares(stacks)
    _say("  " + ", ".join(f"{part} {100 * share:.0f} %" for part, share in parts.items()) + f"; stacks in {recorded}")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
