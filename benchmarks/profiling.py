"""Where a worker's time goes: py-spy watches who holds the interpreter, and each sample counts for one part."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final

RATE_PER_S: Final = 250
LONGEST_S: Final = 600
# A sample belongs to the first part that one of its frames names.
PARTS: Final = (
    ("fold", re.compile(r"stream/domain/")),
    ("write state", re.compile(r"stream/state\.py")),
    ("send outputs", re.compile(r"stream/outbox\.py|aiokafka/producer/")),
    ("fetch", re.compile(r"aiokafka/consumer/|faust/transport/")),
    ("Kafka protocol", re.compile(r"aiokafka/")),
)
REST: Final = "everything else"


def watch(pid: int, record_to: Path) -> subprocess.Popen[bytes]:
    """Record the process's stacks until py-spy gets SIGINT; then `record_to` holds them, one line a stack."""
    record_to.parent.mkdir(parents=True, exist_ok=True)
    return subprocess.Popen(
        [
            *(str(Path(sys.executable).with_name("py-spy")), "record", "--pid", str(pid), "--gil"),
            *("--rate", str(RATE_PER_S), "--duration", str(LONGEST_S), "--format", "raw", "--output", str(record_to)),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def shares(stacks: Iterable[str]) -> dict[str, float]:
    """Share of the samples by part, largest first; empty when there are none. A line: `frame;frame;… count`."""
    counts: Counter[str] = Counter()
    for line in stacks:
        stack, _, count = line.rpartition(" ")
        part = next((name for name, frames in PARTS if frames.search(stack)), REST)
        counts[part] += int(count)
    total = counts.total()
    return {part: count / total for part, count in counts.most_common()}
