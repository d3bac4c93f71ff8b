"""From the append of a record to what comes of it, while answers arrive at a steady rate.

`output_p50_ms`, `output_p99_ms`: 200 answers a second over all partitions. `others_p99_ms`: the same over 15 partitions
while the sixteenth gets 50,000 a second (`hot_per_s`: how many it really got). Kafka, the worker, the senders and the
reader share the machine's cores.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.broker import broker
from benchmarks.machine import all_cores, plain_environment
from benchmarks.pouring import Outputs, pour, teams_of
from benchmarks.worker import Worker, worker
from schemas import topics

RATE_PER_S: Final = 200
SECONDS: Final = 30.0
WARM_UP_S: Final = 10.0  # the broker's JVM compiles its hot paths meanwhile
HOT_PER_S: Final = 50_000
HOT_S: Final = 15.0
HOT_TEAM: Final = b"hot"


def run() -> dict[str, float]:
    """Raises RuntimeError when the worker ends or an answer causes nothing."""
    with tempfile.TemporaryDirectory(prefix="pulse-bench-") as name:
        folder = Path(name)
        with broker(folder / "kafka", all_cores()) as kafka, worker(kafka, folder / "state") as measured:
            return asyncio.run(_measure(kafka, measured))


async def _measure(kafka: str, measured: Worker) -> dict[str, float]:
    await measured.until_ready()
    everything = range(topics.PARTITIONS)
    await _took_ms(kafka, everything, WARM_UP_S)
    took = await _took_ms(kafka, everything, SECONDS)
    found = {"output_p50_ms": statistics.median(took), "output_p99_ms": _p99(took)}
    hot = topics.partition_of(HOT_TEAM)
    flood = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.pouring", kafka, HOT_TEAM.decode(), str(HOT_PER_S), str(HOT_S)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=plain_environment(),
    )
    try:
        if flood.stdin is None or flood.stdout is None:
            raise RuntimeError("the flood has no pipes")
        await flood.stdout.readline()
        flood.stdin.write(b"go\n")
        others = await _took_ms(kafka, [number for number in everything if number != hot], HOT_S)
        found |= {"others_p99_ms": _p99(others), "hot_per_s": float(await flood.stdout.readline())}
    finally:
        if flood.returncode is None:
            flood.terminate()
        await flood.wait()
    return found


async def _took_ms(kafka: str, partitions: Sequence[int], seconds: float) -> list[float]:
    outputs = Outputs()
    async with outputs.reading(kafka, partitions):
        sent = await pour(kafka, teams_of(partitions), RATE_PER_S, seconds, seed=int(seconds))
        await outputs.until_seen(sent)
    return [outputs.took_ms[response_id] for response_id in sent]


def _p99(took: Sequence[float]) -> float:
    return statistics.quantiles(took, n=100)[98]
