"""The wall clock. Only the parts that stand at a process's edge read it; everything else is told the time."""

from __future__ import annotations

import time


def wall_clock_ms() -> int:
    """Milliseconds since 1970, UTC, by this machine's clock."""
    return time.time_ns() // 1_000_000
