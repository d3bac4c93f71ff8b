"""What a worker appends to the log by itself: ticks, so that time passes, and carries, so that the log forgets nothing.

Both only where everything in the log is folded, and both do no harm when they come twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

import msgspec
import structlog
from aiokafka.errors import KafkaError

from stream import metrics
from stream.domain import carrying
from stream.domain.deadlines import is_due
from stream.domain.values import Meta
from stream.domain.view import View
from stream.outbox import Entry, WorkerOutbox

if TYPE_CHECKING:
    from stream.partitions import Partition

log = structlog.get_logger()
TICK_EVERY_S: Final = 0.5
CARRY_EVERY_S: Final = 5.0
MOST_CARRIED: Final = 100  # things at a time


class Upkeep:
    """Of one partition: when it was last ticked and carried."""

    def __init__(self) -> None:
        self._ticked_at = self._carried_at = float("-inf")

    def tick_is_due(self, state: View, known_ms: int, now_ms: int) -> bool:
        """Whether the next due time has come by our own clock; at most twice a second."""
        if time.monotonic() - self._ticked_at < TICK_EVERY_S or not is_due(state, known_ms, now_ms):
            return False
        self._ticked_at = time.monotonic()
        return True

    def to_carry(self, state: View, meta: Meta) -> list[Entry]:
        """What is to be said again; at most every five seconds, so that it has been folded when it is asked again."""
        if time.monotonic() - self._carried_at < CARRY_EVERY_S:
            return []
        records = carrying.due(state, meta, MOST_CARRIED)
        self._carried_at = time.monotonic()
        return [(key, msgspec.json.encode(record)) for key, record in records]


async def append(
    opened: Iterator[tuple[int, Partition]],
    outbox: WorkerOutbox,
    now_ms: int,
    highwater: Callable[[int], int | None],
) -> None:
    """Append what is due to each open partition of which everything is folded. An outage costs it, until next time."""
    for number, partition in opened:
        end = highwater(number)
        if end is None or partition.position < end:
            continue
        try:
            if partition.tick_is_due(now_ms):
                await outbox.tick(number)
                metrics.TICKS.inc()
            elif carries := partition.to_carry():
                await outbox.append(number, carries)
                metrics.CARRIES.inc(len(carries))
        except (KafkaError, OSError, TimeoutError) as error:
            log.warning("tick_refused", partition=number, error=type(error).__name__)
