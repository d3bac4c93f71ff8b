"""How long it takes until somebody else answers, and how fast a lost state is folded again.

`failover_s`: two workers, 200 answers a second; one is killed with SIGKILL; seconds until a change has come from every
partition for an answer that was appended after that. It contains the session timeout, `benchmarks.worker.SESSION_S`.
`rebuild_per_s`: records a second of a worker that finds the whole log committed and its disk empty, from the first
look at its metrics that shows any until it is ready, on one core as the engine is.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from pathlib import Path
from typing import Final

from benchmarks.broker import broker, log_ends
from benchmarks.filling import fill
from benchmarks.machine import all_cores, cores
from benchmarks.pouring import Outputs, pour, teams_of
from benchmarks.worker import REBUILT, Worker, worker
from schemas import topics

RECORDS: Final = 500_000
RATE_PER_S: Final = 200
BEFORE_S: Final = 5.0
AFTER_S: Final = 30.0


def run(records: int = RECORDS) -> dict[str, float]:
    """Raises RuntimeError when a worker ends by itself or a partition stays silent."""
    with tempfile.TemporaryDirectory(prefix="pulse-bench-") as name:
        folder = Path(name)
        with broker(folder / "kafka", all_cores()) as kafka:
            found = {"rebuild_per_s": asyncio.run(_rebuild(kafka, folder / "state", records))}
            with worker(kafka, folder / "state") as one, worker(kafka, folder / "state-1", name="worker-1") as other:
                return found | {"failover_s": asyncio.run(_failover(kafka, one, other))}


async def _rebuild(kafka: str, state: Path, records: int) -> float:
    await fill(kafka, records)
    core, _ = cores()
    with worker(kafka, state, core) as first:
        await first.until_committed(kafka, await log_ends(kafka))
    shutil.rmtree(state)
    with worker(kafka, state, core) as second:
        before = await second.until_counted(REBUILT)
        started = time.perf_counter()
        await second.until_ready()
        return (records - before) / (time.perf_counter() - started)


async def _failover(kafka: str, one: Worker, other: Worker) -> float:
    await one.until_ready()
    await other.until_ready()
    everything = range(topics.PARTITIONS)
    names = teams_of(everything)
    outputs = Outputs()
    async with outputs.reading(kafka, everything):
        await outputs.until_seen(await pour(kafka, names, RATE_PER_S, BEFORE_S, seed=1))
        other.process.kill()
        killed_s = time.time()
        sent = await pour(kafka, names, RATE_PER_S, AFTER_S, seed=2)
        await outputs.until_seen(sent)
    first: dict[int, float] = {}
    for response_id in sent:
        partition, came_s = outputs.partition_of[response_id], outputs.came_s[response_id]
        first[partition] = min(came_s, first.get(partition, came_s))
    if silent := set(everything) - set(first):
        raise RuntimeError(f"no answer went to the partitions {sorted(silent)}")
    return max(first.values()) - killed_s
