"""Which core does what: the measured process has one to itself, everything it talks to has the rest."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


def cores() -> tuple[str, str]:
    """(the core that is measured, the cores for the rest), as `taskset -c` takes them; both the same on one core."""
    allowed = sorted(os.sched_getaffinity(0))
    rest = allowed[1:] or allowed
    return str(allowed[0]), ",".join(map(str, rest))


def all_cores() -> str:
    """All of them, as `taskset -c` takes them."""
    return ",".join(map(str, sorted(os.sched_getaffinity(0))))


def pinned(core: str, command: Sequence[str]) -> list[str]:
    """`command`, held to `core` by taskset where there is one."""
    taskset = shutil.which("taskset")
    return [taskset, "-c", core, *command] if taskset else list(command)


def plain_environment() -> dict[str, str]:
    """Our environment without any setting of Pulse: a benchmark decides them all."""
    return {name: value for name, value in os.environ.items() if not name.upper().startswith("PULSE_")}


@contextmanager
def ended(process: subprocess.Popen[Any], within_s: float) -> Iterator[None]:
    """Ask a process to end when the body is left, and see to it that it does."""
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=within_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@dataclass(frozen=True, slots=True)
class Measured:
    """One run: how many answers, in how long, for how much processor time of the measured process."""

    records: int
    seconds: float
    cpu_seconds: float

    @property
    def per_s(self) -> float:
        return self.records / self.seconds

    @property
    def cpu_us(self) -> float:
        """Microseconds of processor time an answer."""
        return 1e6 * self.cpu_seconds / self.records

    def __str__(self) -> str:
        return (
            f"{self.records:,} in {self.seconds:.2f} s = {self.per_s:,.0f}/s, "
            f"{self.cpu_us:.2f} us of processor time each"
        )
