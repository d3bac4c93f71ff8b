"""What every peer in Python shares: the job, what it is told by the environment, and how its rate is taken.

Only the standard library: a peer runs in an environment that has its framework and little else.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

# (name, length, hop): an answer lies in 60 + 24 + 7 = 91 windows.
WINDOWS: Final = (
    ("1h", timedelta(hours=1), timedelta(minutes=1)),
    ("24h", timedelta(hours=24), timedelta(hours=1)),
    ("7d", timedelta(days=7), timedelta(days=1)),
)
LATE: Final = timedelta(seconds=5)  # answers of a team come out of order by up to 3 s
TOPIC: Final = "feedback.v1"
PARTITIONS: Final = 16
LOOK_EVERY: Final = 16  # answers between two looks at the clock


def band(score: int) -> str:
    """Which of the three counts an answer belongs to.

    >>> band(10), band(8), band(6)
    ('promoters', 'passives', 'detractors')
    """
    if score >= 9:
        return "promoters"
    return "passives" if score >= 7 else "detractors"


class Meter:
    """Answers a second of this process: after a warm-up, for so many seconds or until the log has been read.

    Then it writes records, seconds and processor seconds to the result file and ends the process at once: what a peer
    would do at its end is no part of its rate.
    """

    def __init__(
        self,
        told: Mapping[str, str] = os.environ,
        clock: Callable[[], float] = time.perf_counter,
        cpu_clock: Callable[[], float] = time.process_time,
        end: Callable[[int], Any] = os._exit,
    ) -> None:
        """`told`: PEER_RECORDS, PEER_WARM_UP_S, PEER_SECONDS, PEER_RESULT."""
        self._records = int(told["PEER_RECORDS"])
        self._warm_up_s = float(told["PEER_WARM_UP_S"])
        self._seconds = float(told["PEER_SECONDS"])
        self._result = Path(told["PEER_RESULT"])
        self._clock, self._cpu_clock, self._end = clock, cpu_clock, end
        self._seen = 0
        self._first: tuple[int, float, float] | None = None
        self._begun: tuple[int, float, float] | None = None

    def answer(self) -> None:
        """One more answer has arrived; the ones before it are in their windows."""
        self._seen += 1
        if self._seen % LOOK_EVERY == 0 or self._seen == self._records:
            self._look()

    def _look(self) -> None:
        now = (self._seen, self._clock(), self._cpu_clock())
        if self._first is None:
            self._first = now
        if self._begun is None and now[1] - self._first[1] >= self._warm_up_s:
            self._begun = now
        over = self._seen >= self._records
        if over or (self._begun is not None and now[1] - self._begun[1] >= self._seconds):
            # A log that ends within the warm-up counts from its first answers.
            self._finish(self._begun or self._first, now)

    def _finish(self, begun: tuple[int, float, float], now: tuple[int, float, float]) -> None:
        records, seconds, cpu_seconds = (end - start for start, end in zip(begun, now, strict=True))
        found = {"records": records, "seconds": seconds, "cpu_seconds": cpu_seconds}
        self._result.write_text(json.dumps(found), encoding="utf-8")
        self._end(0)
