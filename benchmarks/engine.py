"""Answers a second through one worker from a full topic, beside what a plain read of the same topic gives.

Each alone beside the broker, both free to use all cores, as on a machine of their own. (a) `benchmarks.reader`:
aiokafka and msgspec alone. (b) `pulse worker`, the process of production with everything on: state, outbox,
acknowledgements, commits. Its clock runs from the first look at its metrics that shows a folded answer (answers folded
by then are not counted; the start of the process and joining the group are not in it) until the group has committed the
end of the log: by then every output is acknowledged. Then (c) `benchmarks.peers`, on the same topic.
"""

from __future__ import annotations

import asyncio
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import msgspec

from benchmarks import profiling
from benchmarks.broker import broker, log_ends, rewind
from benchmarks.filling import fill
from benchmarks.machine import Measured, all_cores, pinned, plain_environment
from benchmarks.peers import run as peers
from benchmarks.worker import FOLDED, GROUP, worker
from stream import compiled

RECORDS: Final = 2_000_000  # the reference load; the rest of it stands in `benchmarks.filling`
RUNS: Final = 3


def run(
    records: int = RECORDS, runs: int = RUNS, profile: Path | None = None, peer_seconds: float = peers.SECONDS
) -> dict[str, float]:
    """Medians: `engine_per_s`, `aiokafka_per_s`, and the processor time of an answer in microseconds; then the peers.

    `peer_seconds`: how long each peer is measured on the same topic; 0 leaves them out.

    `profile`: py-spy records the worker's runs into this folder, one file each, and the shares are said on stderr.
    It costs a little, so figures with it are not compared with figures without.
    """
    cores = all_cores()
    _say(f"the fold is {'compiled' if compiled.in_use() else 'plain Python (make compiled)'}")
    with tempfile.TemporaryDirectory(prefix="pulse-bench-") as name:
        folder = Path(name)
        with broker(folder / "kafka", cores) as kafka:
            filled_s = asyncio.run(fill(kafka, records))
            _say(f"filled the log with {records:,} answers in {filled_s:.1f} s")
            read, folded = [], []
            for number in range(runs):
                read.append(_read(kafka, cores, records))
                _say(f"aiokafka and msgspec alone: {read[-1]}")
                record_to = profile / f"worker-{number}.raw" if profile else None
                folded.append(asyncio.run(_fold(kafka, cores, folder / f"state-{number}", record_to)))
                _say(f"the worker: {folded[-1]}")
                if record_to is not None:
                    _say_shares(record_to)
                asyncio.run(rewind(kafka, GROUP))
            found = peers.run(kafka, cores, records, folder / "peers", peer_seconds) if peer_seconds else {}
    return found | {
        "engine_per_s": statistics.median(measured.per_s for measured in folded),
        "aiokafka_per_s": statistics.median(measured.per_s for measured in read),
        "engine_cpu_us": statistics.median(measured.cpu_us for measured in folded),
        "aiokafka_cpu_us": statistics.median(measured.cpu_us for measured in read),
    }


def _read(kafka: str, cores: str, records: int) -> Measured:
    command = pinned(cores, [sys.executable, "-m", "benchmarks.reader", kafka, str(records)])
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, env=plain_environment())
    found = msgspec.json.decode(done.stdout)
    return Measured(found["records"], found["seconds"], found["cpu_seconds"])


async def _fold(kafka: str, cores: str, state: Path, record_to: Path | None) -> Measured:
    """One run of a worker that has nothing yet, until it has committed the whole log."""
    ends = await log_ends(kafka)
    with worker(kafka, state, cores) as measured:
        before = await measured.until_counted(FOLDED)
        started, cpu = time.perf_counter(), measured.cpu_s()
        spy = None if record_to is None else profiling.watch(measured.pid, record_to)
        try:
            await measured.until_committed(kafka, ends)
            seconds, used = time.perf_counter() - started, measured.cpu_s() - cpu
        finally:
            if spy is not None:
                spy.send_signal(signal.SIGINT)
                spy.wait(timeout=60)
    return Measured(sum(ends.values()) - before, seconds, used)


def _say_shares(recorded: Path) -> None:
    with recorded.open(encoding="utf-8") as stacks:
        parts = profiling.shares(stacks)
    _say("  " + ", ".join(f"{part} {100 * share:.0f} %" for part, share in parts.items()) + f"; stacks in {recorded}")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
