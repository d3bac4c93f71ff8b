"""The memory of one worker that holds many teams: 100,000 of them, 5 million answers, every partition.

`many_teams_rss_mb`: the most resident memory (MB of 10^6 bytes) seen while it folded the whole log from an empty disk.
`many_teams_per_s`: how fast, on one core; each batch of a partition holds hardly two answers of one team.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Final

from benchmarks.broker import broker, log_ends
from benchmarks.filling import fill
from benchmarks.machine import cores
from benchmarks.worker import FOLDED, Worker, worker

TEAMS: Final = 100_000
ANSWERS: Final = 5_000_000
LOOK_EVERY_S: Final = 0.2


def run(answers: int = ANSWERS, teams: int = TEAMS) -> dict[str, float]:
    """Raises RuntimeError when the worker ends, TimeoutError when it takes over ten minutes."""
    with tempfile.TemporaryDirectory(prefix="pulse-bench-") as name:
        folder = Path(name)
        core, rest = cores()
        with broker(folder / "kafka", rest) as kafka:
            asyncio.run(fill(kafka, answers, teams))
            with worker(kafka, folder / "state", core) as measured:
                return asyncio.run(_measure(kafka, measured))


async def _measure(kafka: str, measured: Worker) -> dict[str, float]:
    ends = await log_ends(kafka)
    before = await measured.until_counted(FOLDED)
    started = time.perf_counter()
    done = asyncio.create_task(measured.until_committed(kafka, ends))
    most = 0
    while not done.done():
        most = max(most, measured.rss())
        await asyncio.sleep(LOOK_EVERY_S)
    await done
    per_s = (sum(ends.values()) - before) / (time.perf_counter() - started)
    return {"many_teams_rss_mb": most / 1e6, "many_teams_per_s": per_s}
